package provider

import (
	"net/http"
	"time"
)

// Outcome is how a call is answered. Every protocol has its own form of each.
type Outcome string

// The outcomes. Those that a protocol does not know are answered as their nearest kin.
const (
	// Success answers.
	Success Outcome = "success"

	// RateLimited is a 429, Overloaded a 503 (Anthropic: 529), Unavailable a 503, Failed a 500, Timeout a 504: nothing was
	// billed. BadGateway is the HTML page of a proxy, with 502.
	RateLimited Outcome = "rate_limited"
	Overloaded  Outcome = "overloaded"
	Unavailable Outcome = "unavailable"
	Failed      Outcome = "failed"
	Timeout     Outcome = "timeout"
	BadGateway  Outcome = "bad_gateway"
	// Quota is a quota that is used up, Billing an account without money: waiting heals neither.
	Quota   Outcome = "quota"
	Billing Outcome = "billing"
	// Auth is a 401, Forbidden a 403; ExpiredToken and ClockSkew are Bedrock's.
	Auth         Outcome = "auth"
	Forbidden    Outcome = "forbidden"
	ExpiredToken Outcome = "expired_token"
	ClockSkew    Outcome = "clock_skew"
	// Invalid is a 400, Missing the 404 of a model, TooLarge a 413, Conflict a 409: no repetition heals them.
	Invalid  Outcome = "invalid"
	Missing  Outcome = "missing_model"
	TooLarge Outcome = "too_large"
	Conflict Outcome = "conflict"
	// NotReady and ModelError are Bedrock's; Reply.Original is the status that a ModelError had at first.
	NotReady   Outcome = "model_not_ready"
	ModelError Outcome = "model_error"

	// Refused is the model's refusal, Filtered a content filter on the answer, FilteredInput one on the question, Guardrail a
	// guardrail that stepped in.
	Refused       Outcome = "refused"
	Filtered      Outcome = "filtered"
	FilteredInput Outcome = "filtered_input"
	Guardrail     Outcome = "guardrail"

	// Reset resets the connection without having worked on the call. Cut works on it, which a provider bills, and resets the
	// connection without an answer. Half breaks off in the middle of the answer.
	Reset Outcome = "reset"
	Cut   Outcome = "cut"
	Half  Outcome = "half"
	// Garbage is 200 with what is no JSON, EmptyBody 200 with nothing, ErrorIn200 200 with an error inside, FailedIn200 a
	// response of status failed (protocols without one: an error inside).
	Garbage     Outcome = "garbage"
	EmptyBody   Outcome = "empty_body"
	ErrorIn200  Outcome = "error_in_200"
	FailedIn200 Outcome = "failed_in_200"
	// NoUsage, NegativeUsage, AbsurdUsage and ZeroUsage answer, and lie about what it used.
	NoUsage       Outcome = "no_usage"
	NegativeUsage Outcome = "negative_usage"
	AbsurdUsage   Outcome = "absurd_usage"
	ZeroUsage     Outcome = "zero_usage"
	// Huge answers with 20 MB, Endless with a trickle that never ends.
	Huge    Outcome = "huge"
	Endless Outcome = "endless"
	// BrokenTool calls a tool with arguments that are no JSON object, EmptyAnswer answers without content.
	BrokenTool  Outcome = "broken_tool"
	EmptyAnswer Outcome = "empty_answer"
	// Raw answers with Reply.Status, Header and Body as they are.
	Raw Outcome = "raw"
)

// Outcomes are all of them, Raw left out.
func Outcomes() []Outcome {
	return []Outcome{
		Success, RateLimited, Overloaded, Unavailable, Failed, Timeout, BadGateway, Quota, Billing, Auth, Forbidden, ExpiredToken,
		ClockSkew, Invalid, Missing, TooLarge, Conflict, NotReady, ModelError, Refused, Filtered, FilteredInput, Guardrail, Reset, Cut,
		Half, Garbage, EmptyBody, ErrorIn200, FailedIn200, NoUsage, NegativeUsage, AbsurdUsage, ZeroUsage, Huge, Endless, BrokenTool,
		EmptyAnswer,
	}
}

// Billed tells whether a provider would bill the call, whether or not its caller heard the answer.
func (o Outcome) Billed() bool {
	switch o { //nolint:exhaustive // the others are errors
	case Success, Cut, Half, Refused, Filtered, Guardrail, Garbage, EmptyBody, NoUsage, NegativeUsage, AbsurdUsage, ZeroUsage, Huge, Endless,
		BrokenTool, EmptyAnswer:
		return true
	}
	return false
}

// RetryForm is how RetryAfter is written.
type RetryForm string

// The forms.
const (
	RetryMillis  RetryForm = ""        // Retry-After-Ms
	RetrySeconds RetryForm = "seconds" // Retry-After, whole seconds, rounded up
	RetryDate    RetryForm = "date"    // Retry-After, a date
)

// Usage is what an answer is said to have used. Input excludes what was read from or written into the cache, Output includes
// Reasoning.
type Usage struct {
	Input, CacheRead, CacheWrite5m, CacheWrite1h int64
	Output, Reasoning                            int64
}

// Prompt is all input, as OpenAI counts it.
func (u Usage) Prompt() int64 { return u.Input + u.CacheRead + u.CacheWrite5m + u.CacheWrite1h }

// Reply is what a script makes of a call.
type Reply struct {
	Outcome Outcome
	// After is how long the answer takes.
	After time.Duration
	// RetryAfter goes with errors, in the form of RetryForm; 0: not said.
	RetryAfter time.Duration
	RetryForm  RetryForm

	// Text is the answer in place of the provider's own; Fill makes it count as many tokens as the call allows. Usage and Tier
	// are said in place of what was counted, Model in place of what was asked for.
	Text  string
	Fill  bool
	Usage *Usage
	Tier  string
	Model string

	// Code and Message are said in place of an error's own, Original is the status inside a ModelError. Status, Header and Body
	// are the answer of Raw; Status and Header are also heeded in errors.
	Code     string
	Message  string
	Original int
	Status   int
	Header   http.Header
	Body     string
}

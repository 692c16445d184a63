package workertest

import (
	"errors"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/provider"
)

// Stage is a backend with the provider behind it, as RunBackendTests plays on it.
type Stage struct {
	Backend worker.Backend
	// Provider is the fake provider behind the backend; nil: there is none. With one, Fault, Hold and Calls may be left out.
	Provider *Provider
	// At makes a backend of the same kind for another provider, whose URL without a path is root.
	At func(t *testing.T, root string, bounds Bounds) worker.Backend
	// Can are the abilities of the backend; what is not among them it MUST refuse by name. Tells are what its provider tells.
	Can   []Ability
	Tells []Telling
	// Words are the provider's own for why an answer ended.
	Words Words
	// EmbeddingModel is a model of vectors; left out it is that of every call.
	EmbeddingModel string

	// Fault makes the provider meet call with a fault of class and, where it is above 0, ask to wait retryAfter. It returns
	// the call to be made, since a script may travel in it.
	Fault func(call ai.Call, class ai.Class, retryAfter time.Duration) ai.Call
	// Hold makes the provider sit on call. It returns the call to be made and what yields once the provider has it.
	Hold func(call ai.Call) (held ai.Call, arrived <-chan struct{})
	// Calls is how many calls of call's key the provider saw; nil where there is no provider.
	Calls func(call ai.Call) int
	// Secrets are what no error may say, such as the key.
	Secrets []string
}

// Bounds are those of a backend that Stage.At makes; what is 0 is the default.
type Bounds struct {
	Timeout          time.Duration
	MaxResponseBytes int64
	// Insecure permits http to hosts that are not loopback.
	Insecure bool
}

// Words are the provider's words for why an answer ended. What is empty is "stop", Length "length".
type Words struct{ Stop, Sequence, Length, Tool string }

// Ability is something that not every backend can do. It is named as a refusal names it.
type Ability string

// The abilities.
const (
	CanTopP       Ability = "top_p"
	CanTopK       Ability = "top_k"
	CanStop       Ability = "stop"
	CanSeed       Ability = "seed"
	CanTools      Ability = "tools"
	CanJSONObject Ability = "response_format json_object"
	CanJSONSchema Ability = "response_format json_schema"
	CanImages     Ability = "images"
	CanImageURLs  Ability = "images with a url"
	CanNames      Ability = "messages with a name"
	CanEmbeddings Ability = "input"
	CanDimensions Ability = "dimensions"
)

// Telling is something that not every provider tells.
type Telling string

// What providers tell.
const (
	TellsCache     Telling = "what was read from and written to its cache"
	TellsReasoning Telling = "how much of the output is reasoning"
	TellsTier      Telling = "its service tier"
	TellsQuota     Telling = "what it still takes"
	TellsRetry     Telling = "how long to wait"
	TellsFilter    Telling = "that a filter refused the question"
	TellsQuotaUsed Telling = "that a quota is used up"
)

// RunBackendTests holds a backend to the contract of worker.Backend. Stage is called once for every test and frees what it
// made with the test's Cleanup.
func RunBackendTests(t *testing.T, stage func(t *testing.T) Stage) {
	t.Helper()
	for _, test := range backendTests() {
		t.Run(test.name, func(t *testing.T) {
			s := stage(t).withDefaults()
			if test.remote && s.Provider == nil {
				t.Skip("there is no provider behind it")
			}
			test.run(t, s)
		})
	}
}

// backendTest is a test of the contract; remote ones need a provider.
type backendTest struct {
	name   string
	remote bool
	run    func(t *testing.T, s Stage)
}

func backendTests() []backendTest {
	return []backendTest{
		{"answers with text, model, reason and usage within its bound", false, testAnswers},
		{"takes temperature 0 as a value", false, testTemperature},
		{"obeys max_tokens", false, testMaxTokens},
		{"refuses a call that cannot be asked", false, testBadCalls},
		{"makes every fault one of its class after one call", false, testClasses},
		{"takes a refusal for a result", false, testRefusal},
		{"hands on how long the provider asks to wait", false, testRetryAfter},
		{"sends nothing for a context that has ended", false, testEnded},
		{"lets go of a call when its context ends", false, testCancelled},
		{"answers 64 calls at once", false, testConcurrency},
		{"leaves the call as it was", false, testLeavesCall},
		{"says nothing of prompt or secrets in errors", false, testSilence},
		{"refuses by name what it cannot do", false, testRefusesByName},
		{"sends what the system says", true, testSystem},
		{"sends our request id", true, testRequestID},
		{"sends what it can do", true, testSends},
		{"ends before a stop sequence", true, testStop},
		{"calls tools and goes on from their results", true, testTools},
		{"chooses tools as it is told", true, testToolChoice},
		{"answers in the form that is asked for", true, testForms},
		{"makes vectors in the order of the texts", true, testVectors},
		{"sorts usage into its classes", true, testUsage},
		{"knows when usage is not known", true, testUnknownUsage},
		{"hands on what the provider tells of its quota", true, testQuota},
		{"gives each status its class", true, testStatuses},
		{"takes every trouble for what it is", true, testTroubles},
		{"keeps an answer that is empty, and one whose tool has broken arguments", true, testOddAnswers},
		{"takes a filter's work for a result", true, testFilters},
		{"follows no redirect and obeys no hint to try again", true, testNoSecondRequest},
		{"bounds an answer in size and time", true, testBounds},
		{"names what kept it from the provider", true, testUnreached},
		{"goes through the proxy of the environment", true, testProxy},
	}
}

// withDefaults fills in what a provider gives.
func (s Stage) withDefaults() Stage {
	for word, usual := range map[*string]string{&s.Words.Stop: "stop", &s.Words.Sequence: "stop", &s.Words.Length: "length", &s.Words.Tool: "tool_calls"} {
		if *word == "" {
			*word = usual
		}
	}
	p := s.Provider
	if p == nil {
		return s
	}
	s.Secrets = append(s.Secrets, ProviderKey)
	if s.Fault == nil {
		s.Fault = func(call ai.Call, class ai.Class, wait time.Duration) ai.Call {
			p.Reply(call, provider.Reply{Outcome: outcomeOf(class), RetryAfter: wait})
			return call
		}
	}
	if s.Hold == nil {
		s.Hold = func(call ai.Call) (ai.Call, <-chan struct{}) { return call, p.Server.Hold(call.String()).Arrived() }
	}
	if s.Calls == nil {
		s.Calls = func(call ai.Call) int { return len(p.Seen(call.String())) }
	}
	return s
}

// outcomeOf is how a provider makes a fault of a class.
func outcomeOf(class ai.Class) provider.Outcome {
	return map[ai.Class]provider.Outcome{
		ai.ClassRateLimited: provider.RateLimited, ai.ClassOverloaded: provider.Overloaded, ai.ClassTransient: provider.Failed,
		ai.ClassQuota: provider.Quota, ai.ClassAuth: provider.Auth, ai.ClassInvalid: provider.Invalid, ai.ClassRefused: provider.Refused,
		ai.ClassInDoubt: provider.Half,
	}[class]
}

// promptMarker is in every prompt and must be in no error.
const promptMarker = "wisteria-7741"

// NewCall is a call that every backend can answer, under an id of its own.
func NewCall(id string) ai.Call {
	return ai.Call{
		Key: messages.Key{Tenant: "acme", ID: id}, Attempt: 1, Model: "test-model", Temperature: 0.7, MaxTokens: 200,
		Question: messages.Question{Messages: []messages.Message{
			{Role: "system", Content: "You are terse."},
			{Role: "user", Content: "Who keeps the " + promptMarker + "?"},
		}},
		Metadata: map[string][]byte{"ticket": []byte(`"T-1"`)},
	}
}

func answer(t *testing.T, s Stage, call ai.Call) ai.Answer {
	t.Helper()
	got, err := s.Backend.Call(t.Context(), call)
	if err != nil {
		t.Fatalf("Call: %v", err)
	}
	return got
}

// faultOf is the fault of an error, which every error of a backend must be.
func faultOf(t *testing.T, err error) *ai.Fault {
	t.Helper()
	var fault *ai.Fault
	if !errors.As(err, &fault) {
		t.Fatalf("error is %T (%v), want *ai.Fault", err, err)
	}
	if fault == nil || fault.Class == "" || fault.Detail == "" {
		t.Fatalf("fault %+v has no class or no detail", fault)
	}
	return fault
}

func (s Stage) wantCalls(t *testing.T, call ai.Call, want int) {
	t.Helper()
	if s.Calls == nil {
		return
	}
	if got := s.Calls(call); got != want {
		t.Errorf("the provider saw %d calls, want %d", got, want)
	}
}

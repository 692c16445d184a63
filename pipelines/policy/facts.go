package policy

import (
	"time"

	"flowgate/pipelines/rule"
)

// Facts are what rules may speak of, by the names of their JSON keys. A case leaves out what it does not care about.
type Facts struct {
	Tenant string `json:"tenant,omitempty"`
	ID     string `json:"id,omitempty"`
	// Class is rt, std or batch; Kind prompt, embedding, workflow or action; Priority low, normal or high.
	Class    string `json:"class,omitempty"`
	Kind     string `json:"kind,omitempty"`
	Priority string `json:"priority,omitempty"`
	// User and Department are "unknown" where nobody is named.
	User       string `json:"user,omitempty"`
	Department string `json:"department,omitempty"`
	Purpose    string `json:"purpose,omitempty"`
	// ReasonLength is that of the audit reason, in characters.
	ReasonLength int64 `json:"reason_length,omitempty"`
	// Trigger is that of the agreement that the request runs under.
	Trigger string `json:"trigger,omitempty"`
	// Model is the exact id.
	Model       string  `json:"model,omitempty"`
	Temperature float64 `json:"temperature,omitempty"`
	MaxTokens   int64   `json:"max_tokens,omitempty"`
	// PromptBytes are those of the whole conversation, which has so many Turns.
	PromptBytes int64 `json:"prompt_bytes,omitempty"`
	Turns       int64 `json:"turns,omitempty"`
	// Images and Tools count those of what is asked, Inputs the texts whose vectors are.
	Images int64 `json:"images,omitempty"`
	Tools  int64 `json:"tools,omitempty"`
	Inputs int64 `json:"inputs,omitempty"`
	// BoundMicroUSD is the worst case of one call, in micro-dollars.
	BoundMicroUSD int64 `json:"bound_microusd,omitempty"`
	// Findings count personal data and secrets by type; Data are the classes of what was found.
	Findings map[string]int64 `json:"findings,omitempty"`
	Data     []string         `json:"data,omitempty"`
	// Now is when the request is decided on, Submitted when it was accepted.
	Now       time.Time `json:"now,omitzero"`
	Submitted time.Time `json:"submitted,omitzero"`
}

// Bounds of facts, by which the cost of an expression is estimated.
const (
	maxFindings = 64
	maxData     = 8
)

// Vocabulary is what rules may speak of, read out of facts that have these in them.
func Vocabulary[F any](in func(*F) *Facts) []rule.Fact[F] {
	text := func(name, does string, of func(*Facts) string) rule.Fact[F] {
		return rule.Text(name, does, func(f *F) string { return of(in(f)) })
	}
	number := func(name, does string, of func(*Facts) int64) rule.Fact[F] {
		return rule.Number(name, does, func(f *F) int64 { return of(in(f)) })
	}
	moment := func(name, does string, of func(*Facts) time.Time) rule.Fact[F] {
		return rule.Moment(name, does, func(f *F) time.Time { return of(in(f)) })
	}
	return []rule.Fact[F]{
		text("tenant", "the tenant of the subject", func(f *Facts) string { return f.Tenant }),
		text("id", "the request's id", func(f *Facts) string { return f.ID }),
		text("class", "rt, std or batch", func(f *Facts) string { return f.Class }),
		text("kind", "prompt, embedding, workflow or action", func(f *Facts) string { return f.Kind }),
		text("priority", "low, normal or high", func(f *Facts) string { return f.Priority }),
		text("user", "who asks; unknown where nobody is named", func(f *Facts) string { return f.User }),
		text("department", "whose request it is; unknown where none is named", func(f *Facts) string { return f.Department }),
		text("purpose", "what the answer is for; empty where nothing is said", func(f *Facts) string { return f.Purpose }),
		number("reason_length", "characters of the audit reason", func(f *Facts) int64 { return f.ReasonLength }),
		text("trigger", "that of the agreement; empty where it runs under none", func(f *Facts) string { return f.Trigger }),
		text("model", "the exact id of the model; empty where none is asked", func(f *Facts) string { return f.Model }),
		rule.Real("temperature", "0 to 2", func(f *F) float64 { return in(f).Temperature }),
		number("max_tokens", "the bound of the answer", func(f *Facts) int64 { return f.MaxTokens }),
		number("prompt_bytes", "bytes of the whole conversation", func(f *Facts) int64 { return f.PromptBytes }),
		number("turns", "messages of the conversation", func(f *Facts) int64 { return f.Turns }),
		number("images", "images of what is asked", func(f *Facts) int64 { return f.Images }),
		number("tools", "tools that the model may ask for", func(f *Facts) int64 { return f.Tools }),
		number("inputs", "texts whose vectors are asked for", func(f *Facts) int64 { return f.Inputs }),
		number("bound_microusd", "what one call may cost at most, in micro-dollars", func(f *Facts) int64 { return f.BoundMicroUSD }),
		rule.Counts("findings", "personal data and secrets, counted by type", maxFindings, func(f *F) map[string]int64 { return in(f).Findings }),
		rule.Texts("data", "the classes of what was found: contact, identity, network, payment, secret", maxData, func(f *F) []string { return in(f).Data }),
		moment("now", "when the request is decided on", func(f *Facts) time.Time { return f.Now }),
		moment("submitted", "when it was accepted", func(f *Facts) time.Time { return f.Submitted }),
	}
}

// FactList lists what rules may speak of.
func FactList() []rule.Info { return rule.Infos(vocabulary()) }

func vocabulary() []rule.Fact[Facts] { return Vocabulary(func(f *Facts) *Facts { return f }) }

// Package corporate is layer 1, governance: who asks, why, under which agreement, with which model, at what cost at most.
//
// Read decide.go, then conclude.go.
package corporate

import (
	"time"

	"flowgate/messages"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/policy"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

// Policy is the versioned rule by which the layer decides.
type Policy struct {
	// Version names this policy in the record: that of its Settings.
	Version string
	// MinAuditReason is the least length of an audit reason, in characters, after trimming.
	MinAuditReason         int
	AllowUnknownUser       bool
	AllowUnknownDepartment bool
	// DefaultModel is taken where a request names none.
	DefaultModel string
	// Aliases maps names to exact model ids.
	Aliases map[string]string
	// Models has what a request has where it says nothing itself, by exact id.
	Models map[string]ModelDefaults
	// AllowedModels, where not empty, are the only exact ids that may be used.
	AllowedModels map[string]bool
	// Privacy says what is done with personal data and secrets; nil: nothing.
	Privacy *privacy.Guard
	Prices  *pricing.Table
	// Agreements are those of settings on record of an older version; nil: facts have the agreement.
	Agreements *flow.Book
	Limits     Limits
	// Rates are the tenant's limits on requests and tokens where operators set none.
	Rates RateLimits
	// BillableAttempts is how many calls that may have been billed an epoch may make; the reservation covers them all.
	BillableAttempts int
	// Rules are the company's policy; nil: there is none.
	Rules *policy.Policy
	// Controls are those of compliance, ComplianceLevel says which of them every request has to meet.
	Controls        *compliance.Book
	ComplianceLevel string
	// Location is the time zone of days and months.
	Location *time.Location
}

// ModelDefaults are a model's own defaults; nil is messages.DefaultMaxTokens and messages.DefaultTemperature, and of the others what the
// backend does by itself.
type ModelDefaults struct {
	MaxTokens   *int     `json:"max_tokens,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	TopK        *int     `json:"top_k,omitempty"`
	Stop        []string `json:"stop,omitempty"`
}

// sampling is what the section notes of them; nil: nothing.
func (m ModelDefaults) sampling() *messages.Sampling {
	if m.TopP == nil && m.TopK == nil && len(m.Stop) == 0 {
		return nil
	}
	return &messages.Sampling{TopP: m.TopP, TopK: m.TopK, Stop: m.Stop}
}

// Limits are in micro-dollars; 0 means that there is no limit of that kind.
type Limits struct {
	Request int64 `json:"request_microusd"`
	Day     int64 `json:"day_microusd"`
	Month   int64 `json:"month_microusd"`
}

// Facts are what the handler gathered about one message.
type Facts struct {
	messages.Address

	Now         time.Time
	SubmittedAt time.Time
	IngressSeq  uint64
	// Cancelled is the end of a request that an operator cancelled; nil: nobody did.
	Cancelled *refusal
	// Paused says what keeps the request waiting, and why; empty: nothing.
	Paused string
	// Budgets are those that operators set for whose request it is.
	Budgets []Budget
	// Credential names the broker's user that published the request; empty: not known.
	Credential string
	// Defaults are the fields that the credential filled: see Fill.
	Defaults []string
	// Directory is the tenant's directory of people; nil: it has none.
	Directory *Directory
	// Rates are the limits on requests and tokens that operators set for whose request it is, its model and backend.
	Rates []Rate
	// Serving are the backends that serve its model by the settings, in the order in which they are tried.
	Serving []Serving
	// Agreement is the one that the request runs under; nil: none.
	Agreement *Agreed
	// Meant are the triggers that a request may mean which is matched by none: of several likely ones, or near an unknown one.
	Meant []string
}

// Agreed is the agreement of a request, and how the request came to it.
type Agreed struct {
	flow.Entry

	By AgreedBy
	// Confidence is that of AgreedByText.
	Confidence float64
}

// AgreedBy says how a request came to its agreement.
type AgreedBy string

// The ways: it names the trigger, its text does, it is its tenant's default, or an action under it asks.
const (
	AgreedByTrigger AgreedBy = "trigger"
	AgreedByText    AgreedBy = "text"
	AgreedByDefault AgreedBy = "default"
	// AgreedByExecution is of requests that are no calls of the agreement by themselves: the one whose action asks them is.
	AgreedByExecution AgreedBy = "execution"
)

// UnknownName stands for a user or department that nobody named.
const UnknownName = "unknown"

// Scope is one bound on money that a reservation counts in.
type Scope struct {
	Name string `json:"name"`
	// Limit is in micro-dollars.
	Limit int64 `json:"limit"`
	// Reason refuses what does not fit.
	Reason messages.Reason `json:"reason"`
}

// Decision is what the layer decided before the ledger was asked. It is stored with the admission, so that the same message
// gets the same answer again.
type Decision struct {
	Kind    messages.Kind             `json:"kind"`
	Section messages.CorporateSection `json:"section"`
	Refusal *refusal                  `json:"refusal,omitempty"`
	// NotBefore makes the request wait.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Paused makes it wait for the end of a pause.
	Paused   bool      `json:"paused,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
	// Amount is to be reserved in every scope, in micro-dollars.
	Amount int64   `json:"amount"`
	Scopes []Scope `json:"scopes,omitempty"`
	// Tokens are to be counted in every one of Rates, and one request.
	Tokens int64       `json:"tokens,omitempty"`
	Rates  []RateScope `json:"rates,omitempty"`
	// ResumeAt is the state that an approved request goes to.
	ResumeAt messages.State `json:"resume_at"`
}

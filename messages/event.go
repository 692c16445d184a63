package messages

import (
	"encoding/json"
	"time"
)

// EventKind is the kind of an event.
type EventKind string

// The kinds of events.
const (
	// EventDuplicateID: a second request with an id that was admitted before was dropped.
	EventDuplicateID EventKind = "duplicate_id"
	// EventReplayRefused: a replay that does not follow the newest failure was dropped.
	EventReplayRefused EventKind = "replay_refused"
	// EventAttemptEnd: an attempt ended whose request had moved on meanwhile; it tells what was spent.
	EventAttemptEnd EventKind = "attempt_end"
	// EventOverBound: an attempt cost more than its bound; it is charged all the same.
	EventOverBound EventKind = "over_bound"
	// EventFreed: money became free in scopes; waiting requests may go on.
	EventFreed EventKind = "freed"
	// EventPaused and EventResumed: an operator stopped something, or let it go on.
	EventPaused  EventKind = "paused"
	EventResumed EventKind = "resumed"
	// EventPolicyActivated: an operator put a policy in force.
	EventPolicyActivated EventKind = "policy_activated"
	// EventBudgetSet: an operator set, raised or removed a budget.
	EventBudgetSet EventKind = "budget_set"
	// EventBudgetAlert: a budget has spent a part of its limit from which on people want to know; recorded once for each budget,
	// day or month, mark and limit.
	EventBudgetAlert EventKind = "budget_alert"
	// EventLimitSet: an operator set or removed a limit on requests and tokens.
	EventLimitSet EventKind = "limit_set"
	// EventAgreementChanged: somebody did something with a version of a FLOW agreement.
	EventAgreementChanged EventKind = "agreement_changed"
	// EventStreamLost: a recorded stream lost messages that the record may lack: it was made anew, or set back.
	EventStreamLost EventKind = "stream_lost"
)

// Event is something that happened beside the states of a request.
type Event struct {
	V    int       `json:"v"`
	Kind EventKind `json:"kind"`
	Key
	Epoch int       `json:"epoch"`
	At    time.Time `json:"at"`
	// Detail says more; never text of a prompt or answer, secrets or personal data.
	Detail string `json:"detail,omitempty"`
	// IngressSeq is the dropped message's sequence (duplicate_id, replay_refused).
	IngressSeq uint64 `json:"ingress_seq,omitempty"`
	// Attempt is set for attempt_end.
	Attempt *Attempt `json:"attempt,omitempty"`
	// Scopes are the names of the scopes in which money became free (freed).
	Scopes []string `json:"scopes,omitempty"`
	Worker string   `json:"worker,omitempty"`
	// Pause is set for paused and resumed.
	Pause *PauseNote `json:"pause,omitempty"`
	// Policy is set for policy_activated.
	Policy *PolicyNote `json:"policy,omitempty"`
	// Budget is set for budget_set.
	Budget *BudgetNote `json:"budget,omitempty"`
	// Alert is set for budget_alert.
	Alert *AlertNote `json:"alert,omitempty"`
	// Limit is set for limit_set.
	Limit *LimitNote `json:"limit,omitempty"`
	// Agreement is set for agreement_changed.
	Agreement *AgreementNote `json:"agreement,omitempty"`
}

// SystemTenant is under whose name an event of the whole deployment is published.
const SystemTenant = "_system"

// PauseNote says what an operator paused or resumed.
type PauseNote struct {
	// Kind is layer, class, tenant, backend or agreement.
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	Since  time.Time `json:"since"`
	// Version is the revision of the entry in the control bucket.
	Version uint64 `json:"version"`
}

// PolicyNote says which policy was put in force.
type PolicyNote struct {
	Name string `json:"name"`
	// Version names the bundle by its content; Previous is the version that was in force before, empty for none.
	Version  string `json:"version"`
	Previous string `json:"previous,omitempty"`
	Reason   string `json:"reason"`
	By       string `json:"by,omitempty"`
	// Bundle is the whole bundle, so that its decisions can be made again.
	Bundle json.RawMessage `json:"bundle"`
}

// BudgetNote says what somebody may spend from now on. Limits are in micro-dollars; 0 is none.
type BudgetNote struct {
	// Kind is tenant, department, user or agreement.
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Removed bool   `json:"removed,omitempty"`
	Request int64  `json:"request_microusd"`
	Day     int64  `json:"day_microusd"`
	Month   int64  `json:"month_microusd"`
	// Until is when a raise ends; Approver approved it.
	Until    time.Time `json:"until,omitzero"`
	Approver string    `json:"approver,omitempty"`
	Reason   string    `json:"reason"`
	By       string    `json:"by,omitempty"`
	// Version is the revision of the entry in the control bucket.
	Version uint64 `json:"version"`
}

// AlertNote says which mark a budget has passed. Amounts are in micro-dollars.
type AlertNote struct {
	// Kind is tenant, department, user or agreement.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Window is day or month; Scope names both in the ledger.
	Window string `json:"window"`
	Scope  string `json:"scope"`
	// Mark is the part of the limit that was passed, in percent.
	Mark  float64 `json:"mark_percent"`
	Limit int64   `json:"limit_microusd"`
	Spent int64   `json:"spent_microusd"`
	// Reserved is what open requests held beside it.
	Reserved int64 `json:"reserved_microusd"`
}

// LimitNote says how much somebody may ask from now on; 0 is no limit.
type LimitNote struct {
	// Kind is user, department, tenant, model or backend.
	Kind           string `json:"kind"`
	Name           string `json:"name"`
	Removed        bool   `json:"removed,omitempty"`
	RequestsMinute int64  `json:"requests_minute"`
	RequestsHour   int64  `json:"requests_hour"`
	TokensMinute   int64  `json:"tokens_minute"`
	TokensHour     int64  `json:"tokens_hour"`
	// Excess is refuse, wait, or empty: the class decides.
	Excess string `json:"excess,omitempty"`
	Reason string `json:"reason"`
	By     string `json:"by,omitempty"`
	// Version is the revision of the entry in the control bucket.
	Version uint64 `json:"version"`
}

// AgreementNote says what was done with a version of a FLOW agreement.
type AgreementNote struct {
	Trigger string `json:"trigger"`
	Version string `json:"version"`
	// Act is write, submit, return, approve, suspend, resume, retire or supersede; State is where the version stands from then on:
	// draft, review, approved, suspended or retired.
	Act    string `json:"act"`
	State  string `json:"state"`
	Reason string `json:"reason"`
	By     string `json:"by,omitempty"`
	// Revision is that of the agreements in the database.
	Revision int64 `json:"revision"`
}

// DecodeEvent reads an event. Errors are *FieldErrors.
func DecodeEvent(data []byte) (Event, error) {
	var e Event
	err := decodeOwn(data, &e, &e.V)
	return e, err
}

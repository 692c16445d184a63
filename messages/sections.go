package messages

import "time"

// LayerName is the name of a layer as users know it.
type LayerName string

// The layers.
const (
	LayerCorporate LayerName = "corporate_llm"
	LayerAI        LayerName = "ai_processing"
	LayerOptimizer LayerName = "workflow_optimizer"
)

// Layers lists the layers in the order of the chain.
func Layers() []LayerName { return []LayerName{LayerCorporate, LayerAI, LayerOptimizer} }

// Verdict is what a layer made of a request.
type Verdict string

// The verdicts.
const (
	VerdictApproved      Verdict = "approved"
	VerdictProcessed     Verdict = "processed"
	VerdictValidated     Verdict = "validated"
	VerdictNotApplicable Verdict = "not_applicable"
	VerdictCarriedOver   Verdict = "carried_over"
	VerdictWaiting       Verdict = "waiting"
	VerdictDenied        Verdict = "denied"
	VerdictFailed        Verdict = "failed"
)

// Stay is when and with what verdict a request stood in a layer. Every section has one.
type Stay struct {
	Verdict Verdict `json:"verdict"`
	Reason  Reason  `json:"reason,omitempty"`
	// StartedAt is when the layer first took the request up, FinishedAt when it let go of it.
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	// Checks are the layer's named checks, in the order in which they were made.
	Checks []Check `json:"checks,omitempty"`
	// Controls are those of the deployment's compliance that were judged here, in the version of ControlsVersion.
	Controls        []Control `json:"controls,omitempty"`
	ControlsVersion string    `json:"controls_version,omitempty"`
}

// Check is one named check and how it went.
type Check struct {
	Name string `json:"name"`
	// State is pass, fail or not_applicable.
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
}

// Finding counts the personal data or secrets of one type that were found in a text, and says what was done with them. It never
// has the data.
type Finding struct {
	// Type is one of those of flowgate scan.
	Type  string `json:"type"`
	Count int    `json:"count"`
	// Action is pass, flag, mask or deny.
	Action string `json:"action"`
}

// CorporateSection is what layer 1 decided.
type CorporateSection struct {
	Stay

	UserID      string   `json:"user_id"`
	Department  string   `json:"department"`
	Priority    Priority `json:"priority"`
	AuditReason string   `json:"audit_reason"`
	// ReasonLength is that of the audit reason as it came, in characters.
	ReasonLength int `json:"reason_length,omitempty"`
	// PartOf names the request whose action asked this one, without the proof.
	PartOf *PartOf `json:"part_of,omitempty"`
	// Purpose is what the request says it is for.
	Purpose string `json:"purpose,omitempty"`
	// CorrelationID joins the request with others that belong to the same.
	CorrelationID string `json:"correlation_id,omitempty"`
	// PromptBytes are those of the conversation, which has so many Turns and is at most InputBound tokens.
	PromptBytes int64 `json:"prompt_bytes,omitempty"`
	Turns       int   `json:"turns,omitempty"`
	InputBound  int64 `json:"input_bound_tokens,omitempty"`
	// Findings are of what a model would be asked, before it is known which.
	Findings []Finding `json:"findings,omitempty"`
	// Images and Tools count those of what is asked, Inputs the texts whose vectors are.
	Images int `json:"images,omitempty"`
	Tools  int `json:"tools,omitempty"`
	Inputs int `json:"inputs,omitempty"`

	// Model is the exact id after aliases; RequestedModel what the request said.
	Model          string  `json:"model,omitempty"`
	RequestedModel string  `json:"requested_model,omitempty"`
	Temperature    float64 `json:"temperature"`
	MaxTokens      int     `json:"max_tokens"`
	// Sampling is what settings say of the model, for a request that says nothing itself; absent where they say nothing.
	Sampling *Sampling `json:"sampling,omitempty"`

	// BoundMicroUSD is the worst case of one call. ReservedMicroUSD covers BillableAttempts of them.
	BoundMicroUSD    int64 `json:"bound_microusd"`
	ReservedMicroUSD int64 `json:"reserved_microusd"`
	BillableAttempts int   `json:"billable_attempts"`
	// Scopes are the names of the scopes of money that the reservation counts in.
	Scopes []string `json:"scopes,omitempty"`
	// Backend is the one that would be asked first, by the settings; its limit counts.
	Backend string `json:"backend,omitempty"`
	// Routes are the backends that may be asked, in order, with what the model is called there; absent in older records.
	Routes []Route `json:"routes,omitempty"`
	// Rates are the limits on requests and tokens that the request counts in, RateTokens how many tokens in each: the bound of a
	// call. Of a request that was refused or waits on their account they are those that were asked.
	Rates      []RateLimit `json:"rates,omitempty"`
	RateTokens int64       `json:"rate_tokens,omitempty"`
	// RateBlocked names the limit that had no room, RetryAt tells when it has.
	RateBlocked string    `json:"rate_blocked,omitempty"`
	RetryAt     time.Time `json:"retry_at,omitzero"`
	// PriceVersion is the version of the price row that bound and cost are computed from.
	PriceVersion string `json:"price_version,omitempty"`
	// PolicyVersion is the version of the settings that decided.
	PolicyVersion string `json:"policy_version"`
	// PrivacyVersion is the version of the rules on personal data by which Findings were judged.
	PrivacyVersion string `json:"privacy_version,omitempty"`
	// BundleVersion is the version of the policy's bundle of rules that decided; empty: none was in force.
	BundleVersion string `json:"bundle_version,omitempty"`
	// Flags are the rules of the bundle that flag the request.
	Flags []string `json:"flags,omitempty"`
	// PolicyTicket is the ticket that the activation of that bundle names.
	PolicyTicket string `json:"policy_ticket,omitempty"`
	// ComplianceLevel is the deployment's level of compliance, ControlsDue are the controls that later layers judge.
	ComplianceLevel string   `json:"compliance_level,omitempty"`
	ControlsDue     []string `json:"controls_due,omitempty"`

	// Credential names the broker's user that published the request; empty: not known.
	Credential string `json:"credential,omitempty"`
	// Defaults are the fields that the request left out and its credential's defaults filled.
	Defaults []string `json:"defaults,omitempty"`
	// Directory is what the directory of people said; absent where the tenant has none.
	Directory *DirectoryNote `json:"directory,omitempty"`
	// AllowedBackends and AllowedRegions, where not empty, are the only ones that layer 2 may ask.
	AllowedBackends []string `json:"allowed_backends,omitempty"`
	AllowedRegions  []string `json:"allowed_regions,omitempty"`

	Agreement *AgreementRef `json:"agreement,omitempty"`

	// Facts is what the section does not say anyway of what was decided by; older versions left it out.
	Facts *CorporateFacts `json:"facts,omitempty"`
}

// Sampling is how a model chooses its words, and where it ends. What is left out is the backend's own.
type Sampling struct {
	TopP *float64 `json:"top_p,omitempty"`
	TopK *int     `json:"top_k,omitempty"`
	Stop []string `json:"stop,omitempty"`
}

// Route is a backend that serves a request's model.
type Route struct {
	Backend string `json:"backend"`
	Region  string `json:"region,omitempty"`
	// Model is the exact id there, PriceVersion the version of its price row.
	Model        string `json:"model"`
	PriceVersion string `json:"price_version"`
}

// CorporateFacts are the rest of what layer 1 decided by: with section and settings they give the same decision again.
type CorporateFacts struct {
	// DecidedAt is when it was decided; left out it is started_at.
	DecidedAt time.Time `json:"decided_at,omitzero"`
	// Temperature and MaxTokens are the request's own.
	Temperature *float64 `json:"temperature,omitempty"`
	MaxTokens   *int     `json:"max_tokens,omitempty"`
	// Agreement is how the request came to its agreement; absent where it has none, and in older records.
	Agreement *AgreementFact `json:"agreement,omitempty"`
	// Meant are the triggers that the request may mean, where none is its agreement's.
	Meant []string `json:"meant,omitempty"`
	// Trigger is the request's, where the section names no agreement. One that ends with a space had what the record may not have.
	Trigger string `json:"trigger,omitempty"`
	// Growth is by how many bytes placeholders can make the conversation longer.
	Growth int64 `json:"growth,omitempty"`
	// Found counts personal data and secrets in a request that was refused before they were judged.
	Found []Finding `json:"found,omitempty"`
	// Budgets are those that operators had set for whose request it is.
	Budgets []BudgetFact `json:"budgets,omitempty"`
	// Rates are the limits on requests and tokens that operators had set for whose request it is, its model and backends.
	Rates []RateFact `json:"rates,omitempty"`
	// Unrouted are backends that serve the model and are left out: they have retired it, or its cost there cannot be bounded.
	Unrouted []Route `json:"unrouted,omitempty"`
	// BehindModel tells that a replay goes on behind the model, which reserves nothing.
	BehindModel bool `json:"behind_model,omitempty"`
	// Ended tells that the request was ended whatever had been decided: by its deadline, an operator, or crashes.
	Ended bool `json:"ended,omitempty"`
}

// End is f of a request that ended whatever had been decided; nil stays nil.
func (f *CorporateFacts) End() *CorporateFacts {
	if f == nil {
		return nil
	}
	ended := *f
	ended.Ended = true
	return &ended
}

// BudgetFact is what somebody might spend, in micro-dollars; 0 is no bound.
type BudgetFact struct {
	// Kind is tenant, department, user or agreement.
	Kind    string `json:"kind"`
	Request int64  `json:"request_microusd,omitempty"`
	Day     int64  `json:"day_microusd,omitempty"`
	Month   int64  `json:"month_microusd,omitempty"`
}

// RateLimit is a limit on requests and tokens in a window, as it held when a request was decided on; 0 is no limit.
type RateLimit struct {
	// Name is rate:<tenant>/<kind>/<whose>:<window>.
	Name     string `json:"name"`
	Requests int64  `json:"requests,omitempty"`
	Tokens   int64  `json:"tokens,omitempty"`
	// Wait tells that what finds no room waits for it; else it is refused.
	Wait bool `json:"wait,omitempty"`
}

// RateFact is how much somebody might ask for; 0 is no bound.
type RateFact struct {
	// Kind is tenant, department, user, model or backend.
	Kind           string `json:"kind"`
	Name           string `json:"name,omitempty"`
	RequestsMinute int64  `json:"requests_minute,omitempty"`
	RequestsHour   int64  `json:"requests_hour,omitempty"`
	TokensMinute   int64  `json:"tokens_minute,omitempty"`
	TokensHour     int64  `json:"tokens_hour,omitempty"`
	// Excess is refuse or wait; empty: batch requests wait, others are refused.
	Excess string `json:"excess,omitempty"`
}

// Usage is what one answer used, in tokens, in the classes that have prices of their own.
type Usage struct {
	// InputUncached excludes everything read from or written to the provider's cache.
	InputUncached     int64 `json:"input_uncached"`
	InputCacheRead    int64 `json:"input_cache_read,omitempty"`
	InputCacheWrite5m int64 `json:"input_cache_write_5m,omitempty"`
	InputCacheWrite1h int64 `json:"input_cache_write_1h,omitempty"`
	// Output includes OutputReasoning.
	Output          int64 `json:"output"`
	OutputReasoning int64 `json:"output_reasoning,omitempty"`
	// ServiceTier is the tier that the provider says it served the call in, in its own word; empty: it did not say.
	ServiceTier string `json:"service_tier,omitempty"`
	// Batch tells that it was answered in a batch job of the provider.
	Batch bool `json:"batch,omitempty"`
	// InferenceGeo is where the provider says that it computed the answer, where that decides the price.
	InferenceGeo string `json:"inference_geo,omitempty"`
}

// Input is the sum of all input classes.
func (u Usage) Input() int64 {
	return u.InputUncached + u.InputCacheRead + u.InputCacheWrite5m + u.InputCacheWrite1h
}

// AISection is what layer 2 did.
type AISection struct {
	Stay

	// Backend says who answered; "offline" never is a model.
	Backend string `json:"backend,omitempty"`
	Model   string `json:"model,omitempty"`
	// Region is where that backend processes what it is asked; empty: nobody said.
	Region string `json:"region,omitempty"`
	// Answer is the text, or AnswerClaim says where it is.
	Answer      string `json:"answer,omitempty"`
	AnswerClaim *Claim `json:"answer_claim,omitempty"`
	// AnswerLength is in characters.
	AnswerLength int    `json:"answer_length"`
	AnswerSHA256 string `json:"answer_sha256,omitempty"`
	// FinishReason is the provider's word for why the answer ended.
	FinishReason      string `json:"finish_reason,omitempty"`
	ProviderRequestID string `json:"provider_request_id,omitempty"`
	// ToolCalls are what the model asks of tools. Of an embedding Answer has the vectors, a JSON array of arrays of numbers.
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
	CacheHit  bool       `json:"cache_hit"`
	// Reused says where an answer came from that no call of this request brought.
	Reused *Reused `json:"reused,omitempty"`
	Usage  Usage   `json:"usage"`
	// CostMicroUSD is computed from Usage and the price row of PriceVersion.
	CostMicroUSD int64  `json:"cost_microusd"`
	PriceVersion string `json:"price_version,omitempty"`
	// ProcessingSeconds is the time of the call that answered, alone.
	ProcessingSeconds float64 `json:"processing_seconds"`
	Attempts          int     `json:"attempts"`
	// Findings are of what the backend was asked.
	Findings []Finding `json:"findings,omitempty"`
	// PrivacyVersion is the version of the rules on personal data that masked the request and judged the answer.
	PrivacyVersion string `json:"privacy_version,omitempty"`
	// AnswerFindings are of what it answered.
	AnswerFindings []Finding `json:"answer_findings,omitempty"`

	Agreement *AgreementRef `json:"agreement,omitempty"`
}

// ReusedRequest is Reused.From of an answer that an identical request brought which was on its way at the same time.
const ReusedRequest = "request"

// Reused says where an answer came from that no call of its request brought: the cache, or the call of an identical request.
type Reused struct {
	// From is memory, disk, shared (the cache of all workers) or request (an identical one that was on its way).
	From string `json:"from"`
	// Key is the cache's, 64 hexadecimal digits.
	Key string `json:"key"`
	// Leader is the id of the identical request whose call answered.
	Leader string `json:"leader,omitempty"`
	// CreatedAt is when the answer was made, AgeSeconds how old it was.
	CreatedAt  time.Time `json:"created_at,omitzero"`
	AgeSeconds float64   `json:"age_seconds"`
	// SavedMicroUSD and SavedSeconds are what the call had cost that was not made again.
	SavedMicroUSD int64   `json:"saved_microusd"`
	SavedSeconds  float64 `json:"saved_seconds"`
	// ShareMicroUSD is this request's share of what the leader's call cost: who leads pays, so it is 0 for all others.
	ShareMicroUSD int64 `json:"share_microusd"`
}

// OptimizerSection is what layer 3 did.
type OptimizerSection struct {
	Stay

	Agreement *AgreementRef `json:"agreement,omitempty"`
	// Execution is what came of the agreement's action, where the request asks for one.
	Execution *Execution `json:"execution,omitempty"`
}

// Billing says what is known about the bill of an attempt.
type Billing string

// The billings.
const (
	BillingNone    Billing = "none"
	BillingKnown   Billing = "known"
	BillingInDoubt Billing = "in_doubt"
)

// Attempt is one try at a backend, or one crash.
type Attempt struct {
	// K counts the attempts of the epoch from 1.
	K     int       `json:"k"`
	Layer LayerName `json:"layer"`
	// Backend and Model say who was asked.
	Backend string `json:"backend,omitempty"`
	Model   string `json:"model,omitempty"`
	// Class is the error class (providers' classes, or crash); empty for the attempt that answered.
	Class string `json:"class,omitempty"`
	// Code is the provider's own code or status.
	Code string `json:"code,omitempty"`
	// Detail never holds prompt, answer, secret or personal data.
	Detail     string    `json:"detail,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	DurationMS int64     `json:"duration_ms"`
	// Tries counts the calls of this attempt: quick retries need no state of their own where nothing was billed.
	Tries int `json:"tries,omitempty"`
	// Retried counts by class the faults after which the attempt went on with a quick retry; that which ended it is not among them.
	Retried map[string]int `json:"retried,omitempty"`
	// CallMS is how long the last call took, without waits and quick retries before it.
	CallMS int64 `json:"call_ms,omitempty"`
	// Repeats counts further attempts like this one that were folded into it (waiting for a busy backend).
	Repeats int `json:"repeats,omitempty"`
	// Billing decides what CostMicroUSD is: 0, the cost, or the bound.
	Billing       Billing `json:"billing"`
	CostMicroUSD  int64   `json:"cost_microusd"`
	BoundMicroUSD int64   `json:"bound_microusd,omitempty"`
	// PriceVersion is the version of the price row that it is charged by.
	PriceVersion string `json:"price_version,omitempty"`
	// Usage is set where the provider told it.
	Usage *Usage `json:"usage,omitempty"`
	// RetryAfterMS is what the provider asked us to wait.
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
	Worker       string `json:"worker,omitempty"`
}

// OverBound tells that it cost more than it could, as its bound said: an alarm, since limits on money rely on bounds.
func (a *Attempt) OverBound() bool { return a.BoundMicroUSD > 0 && a.CostMicroUSD > a.BoundMicroUSD }

// Cost is what the attempts cost together, in micro-dollars, those in doubt at their bound.
func Cost(history []Attempt) int64 {
	var sum int64
	for i := range history {
		sum += history[i].CostMicroUSD
	}
	return sum
}

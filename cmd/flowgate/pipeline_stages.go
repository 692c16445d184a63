package main

import (
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/postgres"
)

// The stages of a pipeline, in order.
const (
	stageAgreement  = "agreement"
	stageGovernance = "governance"
	stageAI         = "ai"
	stageOptimizer  = "optimizer"
	stageOutcome    = "outcome"
)

// pipelineStage is one stage of one request as it is recorded. Exactly one of its facts is there, unless it is pending or not reached.
type pipelineStage struct {
	Number int    `json:"number"`
	ID     string `json:"id"`
	Epoch  int    `json:"epoch"`
	Stage  string `json:"stage"`
	// State is what the stage came to: the verdict of a layer, the state of the agreement's check, or the status of the outcome. It is
	// pending where nothing is recorded yet, none without an agreement, and not_reached where the request ended before.
	State  string          `json:"state"`
	Reason messages.Reason `json:"reason,omitempty"`
	// At is when the stage began, OffsetMS how long after the first record of the trail, TookMS how long it took; absent where that is
	// not recorded.
	At       time.Time `json:"at,omitzero"`
	OffsetMS *float64  `json:"offset_ms,omitempty"`
	TookMS   *float64  `json:"took_ms,omitempty"`

	Agreement  *agreementFacts  `json:"agreement,omitempty"`
	Governance *governanceFacts `json:"governance,omitempty"`
	AI         *aiFacts         `json:"ai,omitempty"`
	Optimizer  *optimizerFacts  `json:"optimizer,omitempty"`
	Outcome    *outcomeFacts    `json:"outcome,omitempty"`
}

const (
	statePending    = "pending"
	stateNotReached = "not_reached"
	stateNone       = "none"
)

// agreementFacts are under what a request ran, and how it came to that.
type agreementFacts struct {
	messages.AgreementRef

	// By is trigger, text, default, or execution of a part of an action. Confidence is that of the match: 1 of a trigger that was named,
	// since only the very same is found; absent where nothing was matched.
	By         string   `json:"by,omitempty"`
	Confidence *float64 `json:"confidence,omitempty"`
	// Stood is where the agreement stood; Detail is what its check says.
	Stood  string `json:"stood,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Asked is the trigger of a request that runs under none, Meant are those that come near.
	Asked string   `json:"asked,omitempty"`
	Meant []string `json:"meant,omitempty"`
}

// governanceFacts are what layer 1 decided, and by what.
type governanceFacts struct {
	PolicyVersion   string `json:"policy_version"`
	BundleVersion   string `json:"bundle_version,omitempty"`
	PriceVersion    string `json:"price_version,omitempty"`
	ControlsVersion string `json:"controls_version,omitempty"`
	// Checks are the layer's own, Compliance is the score of the whole epoch with every control, Findings are what was found in the request.
	Checks     []messages.Check           `json:"checks"`
	Compliance *messages.ResultCompliance `json:"compliance,omitempty"`
	Findings   []messages.Finding         `json:"findings"`
	Flags      []string                   `json:"flags,omitempty"`
	// ReservedMicroUSD was held in each of Scopes; BoundMicroUSD is the most that one call could cost.
	BoundMicroUSD    int64    `json:"bound_microusd"`
	ReservedMicroUSD int64    `json:"reserved_microusd"`
	Scopes           []string `json:"scopes"`
}

// aiFacts are what layer 2 did.
type aiFacts struct {
	Backend  string             `json:"backend,omitempty"`
	Model    string             `json:"model,omitempty"`
	Region   string             `json:"region,omitempty"`
	Attempts []postgres.Attempt `json:"attempts"`
	// Cache is hit, shared (the call of an identical request) or miss.
	Cache          string             `json:"cache"`
	Reused         *messages.Reused   `json:"reused,omitempty"`
	TokensIn       int64              `json:"tokens_in"`
	TokensOut      int64              `json:"tokens_out"`
	CostMicroUSD   int64              `json:"cost_microusd"`
	FinishReason   string             `json:"finish_reason,omitempty"`
	AnswerFindings []messages.Finding `json:"answer_findings"`
	Checks         []messages.Check   `json:"checks"`
}

// optimizerFacts are what layer 3 checked, and what it carried out.
type optimizerFacts struct {
	Checks    []messages.Check    `json:"checks"`
	Execution *messages.Execution `json:"execution,omitempty"`
}

// outcomeFacts are how it ended.
type outcomeFacts struct {
	Message      string `json:"message"`
	Field        string `json:"field,omitempty"`
	Next         string `json:"next,omitempty"`
	Layer        string `json:"layer"`
	CostMicroUSD int64  `json:"cost_microusd"`
	// DeadLetter tells that it can be replayed.
	DeadLetter bool      `json:"dead_letter"`
	RetryAt    time.Time `json:"retry_at,omitzero"`
}

// stagesOf tells an epoch stage by stage; e is nil where its end is not recorded.
func stagesOf(number int, id string, story *postgres.EpochTimeline, e *messages.Envelope) []pipelineStage {
	var corporate *messages.CorporateSection
	var ai *messages.AISection
	var optimizer *messages.OptimizerSection
	if e != nil {
		corporate, ai, optimizer = e.Corporate, e.AI, e.Optimizer
	}
	stages := []pipelineStage{
		agreementStage(corporate), governanceStage(corporate, story, e), aiStage(ai, story), optimizerStage(optimizer), outcomeStage(e, story),
	}
	for i, name := range []string{stageAgreement, stageGovernance, stageAI, stageOptimizer, stageOutcome} {
		s := &stages[i]
		s.Number, s.ID, s.Epoch, s.Stage = number, id, story.Epoch, name
		switch {
		case s.State != "":
		case e != nil:
			s.State = stateNotReached
		default:
			s.State = statePending
		}
	}
	return stages
}

// stayed fills in when a layer had the request, and its verdict.
func (s *pipelineStage) stayed(in messages.Stay) {
	s.State, s.Reason, s.At = string(in.Verdict), in.Reason, in.StartedAt
	if !in.StartedAt.IsZero() && !in.FinishedAt.IsZero() {
		s.TookMS = new(float64(in.FinishedAt.Sub(in.StartedAt).Microseconds()) / 1000)
	}
}

func agreementStage(c *messages.CorporateSection) (s pipelineStage) {
	if c == nil {
		return s
	}
	s.At = c.StartedAt
	f := &agreementFacts{}
	for _, check := range c.Checks {
		if check.Name == stageAgreement {
			s.State, f.Detail = check.State, check.Detail
		}
	}
	if c.Agreement != nil {
		f.AgreementRef = *c.Agreement
	}
	if facts := c.Facts; facts != nil {
		f.Asked, f.Meant = facts.Trigger, facts.Meant
		if a := facts.Agreement; a != nil {
			f.By, f.Stood = a.By, a.State
			switch corporate.AgreedBy(a.By) {
			case corporate.AgreedByTrigger:
				f.Confidence = new(1.0)
			case corporate.AgreedByText:
				f.Confidence = &a.Confidence
			case corporate.AgreedByDefault, corporate.AgreedByExecution:
			}
		}
	}
	if f.Trigger == "" && f.Asked == "" && len(f.Meant) == 0 && s.State != "" && s.State != "fail" {
		s.State = stateNone
		return s
	}
	s.Agreement = f
	return s
}

// governanceStage: of an epoch that has not ended the admission and the intent tell what was decided.
func governanceStage(c *messages.CorporateSection, story *postgres.EpochTimeline, e *messages.Envelope) (s pipelineStage) {
	f := &governanceFacts{Checks: []messages.Check{}, Findings: []messages.Finding{}, Scopes: []string{}}
	if a := story.Admission; a != nil {
		s.State, s.Reason, s.At = a.State, messages.Reason(a.Reason), a.AdmittedAt
		f.ReservedMicroUSD, f.Scopes = a.Reserved, append(f.Scopes, a.Scopes...)
		s.Governance = f
	}
	if i := story.Intent; i != nil {
		f.PolicyVersion, f.PriceVersion, f.BoundMicroUSD = i.PolicyVersion, i.PriceVersion, i.Bound
	}
	if c == nil {
		return s
	}
	s.stayed(c.Stay)
	s.Governance = f
	f.PolicyVersion, f.BundleVersion, f.PriceVersion, f.ControlsVersion = c.PolicyVersion, c.BundleVersion, c.PriceVersion, c.ControlsVersion
	f.Checks, f.Findings, f.Flags = append(f.Checks, c.Checks...), append(f.Findings, c.Findings...), c.Flags
	f.Compliance = messages.Project(messages.Key{}, e).Compliance
	f.BoundMicroUSD = c.BoundMicroUSD
	if story.Admission == nil {
		f.ReservedMicroUSD, f.Scopes = c.ReservedMicroUSD, append(f.Scopes, c.Scopes...)
	}
	return s
}

// aiStage: of an epoch that has not ended the calls are known, and no more.
func aiStage(a *messages.AISection, story *postgres.EpochTimeline) (s pipelineStage) {
	f := &aiFacts{Attempts: append([]postgres.Attempt{}, story.Attempts...), AnswerFindings: []messages.Finding{}, Checks: []messages.Check{}, Cache: "miss"}
	for i := range story.Attempts {
		f.CostMicroUSD += story.Attempts[i].Charged
	}
	if len(story.Attempts) > 0 {
		s.At, s.AI = story.Attempts[0].At, f
	}
	if a == nil {
		return s
	}
	s.stayed(a.Stay)
	if s.State == string(messages.VerdictNotApplicable) {
		return s
	}
	s.AI = f
	f.Backend, f.Model, f.Region, f.Reused, f.FinishReason = a.Backend, a.Model, a.Region, a.Reused, a.FinishReason
	f.TokensIn, f.TokensOut = a.Usage.Input(), a.Usage.Output
	f.AnswerFindings, f.Checks = append(f.AnswerFindings, a.AnswerFindings...), append(f.Checks, a.Checks...)
	switch {
	case a.Reused != nil && a.Reused.From == messages.ReusedRequest:
		f.Cache = "shared"
	case a.CacheHit:
		f.Cache = "hit"
	}
	return s
}

func optimizerStage(o *messages.OptimizerSection) (s pipelineStage) {
	if o == nil {
		return s
	}
	s.stayed(o.Stay)
	s.Optimizer = &optimizerFacts{Checks: append([]messages.Check{}, o.Checks...), Execution: o.Execution.Bare()}
	return s
}

func outcomeStage(e *messages.Envelope, story *postgres.EpochTimeline) (s pipelineStage) {
	if e == nil {
		return s
	}
	end := e.End
	s.State, s.Reason, s.At = string(end.Status), end.Reason, end.FinishedAt
	s.Outcome = &outcomeFacts{
		Message: end.Message(), Field: end.Field, Layer: string(end.Layer), CostMicroUSD: end.CostMicroUSD,
		DeadLetter: story.DeadLetter != nil, RetryAt: end.RetryAt,
	}
	if end.Status != messages.StatusSuccess {
		s.Outcome.Next = messages.Explain(end.Reason).Next
	}
	return s
}

// Package optimizer is layer 3: operations on workflows, and the check of every result against what was agreed.
package optimizer

import (
	"cmp"
	"fmt"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
)

// Facts are what the handler gathered about one message.
type Facts struct {
	messages.Address

	Now time.Time
	// Execution is what came of the agreement's action; nil: nobody here carries actions out.
	Execution *messages.Execution
}

// Policy is the rule by which the layer decides.
type Policy struct {
	Agreements *flow.Book
	// Controls are those of compliance; nil: there are none.
	Controls *compliance.Book
	// ComplianceLevel is the level that requests have to meet which were admitted by a version without controls.
	ComplianceLevel string
}

// Decide fills in the layer's section and closes the envelope. There is no next state but done.
func Decide(e *messages.Envelope, f Facts, p Policy) {
	s := &messages.OptimizerSection{Stay: messages.Stay{StartedAt: f.Now, FinishedAt: f.Now}}
	if e.Corporate != nil {
		s.Agreement = e.Corporate.Agreement
	}
	e.Optimizer = s
	refused := check(e, s, f, p)
	if gate := controls(e, s, f, p); refused == nil && gate != nil {
		refused = gate
		if e.AI != nil {
			ai.Withhold(e.AI)
		}
	}
	switch {
	case refused == nil && s.Verdict == "":
		s.Verdict, s.Reason = messages.VerdictValidated, messages.ReasonOK
	case refused != nil:
		s.Verdict, s.Reason = messages.VerdictDenied, refused.Reason
		switch refused.Status {
		case messages.StatusDenied:
		case messages.StatusPartial:
			s.Verdict = messages.VerdictValidated
		case messages.StatusSuccess, messages.StatusFailure, messages.StatusTimeout, messages.StatusRateLimited:
			s.Verdict = messages.VerdictFailed
		}
	}
	pipelines.End(e, messages.LayerOptimizer, refused, f.Now)
}

func check(e *messages.Envelope, s *messages.OptimizerSection, f Facts, p Policy) *pipelines.Refusal {
	note := func(name, state, detail string) {
		s.Checks = append(s.Checks, messages.Check{Name: name, State: state, Detail: detail})
	}
	refused := ai.Validate(e, p.Agreements, f.Tenant, f.Now)
	switch {
	case refused != nil:
		note("agreement", "fail", "")
		return refused
	case s.Agreement == nil:
		note("agreement", "not_applicable", "no trigger")
	default:
		note("agreement", "pass", s.Agreement.Version)
	}
	switch {
	case e.Kind == messages.KindAction:
		if refused := executed(s, f, note); refused != nil {
			return refused
		}
	case !e.Kind.AsksModel():
		note("operation", "fail", "not available yet")
		return pipelines.Deny(messages.ReasonNotAvailableYet, "", "it does not execute operations on workflows")
	}
	return checkSLA(e, s, f, note)
}

// Executes tells whether the agreement's action is to be carried out: the request asks for it, and the agreement is valid now.
func Executes(e *messages.Envelope, f Facts, p Policy) (flow.Agreement, bool) {
	if e.Kind != messages.KindAction || e.Corporate == nil || e.Corporate.Agreement == nil || ai.Validate(e, p.Agreements, f.Tenant, f.Now) != nil {
		return flow.Agreement{}, false
	}
	a, found := p.Agreements.Find(e.Corporate.Agreement.Trigger)
	return a.Agreement, found
}

// executed judges what came of an action.
func executed(s *messages.OptimizerSection, f Facts, note func(name, state, detail string)) *pipelines.Refusal {
	x := f.Execution
	if x == nil {
		why := "this worker of layer 3 carries out no actions: start all of them with --layer optimizer,actions"
		note("operation", "fail", why)
		return pipelines.Deny(messages.ReasonActionUnknown, "trigger", why)
	}
	s.Execution = x
	switch x.Mode {
	case messages.ExecutionReal:
		note("operation", "pass", x.Action)
		return nil
	case messages.ExecutionFallback:
		note("operation", "fail", x.Because)
		return &pipelines.Refusal{Status: messages.StatusPartial, Reason: messages.ReasonActionFallback, Detail: x.Because}
	case messages.ExecutionDenied:
		note("operation", "fail", x.Because)
		return pipelines.Deny(cmp.Or(x.Reason, messages.ReasonActionUnknown), "trigger", x.Because)
	case messages.ExecutionFailed:
	}
	note("operation", "fail", x.Because)
	return pipelines.Fail(messages.ReasonActionFailed, x.Because)
}

func checkSLA(e *messages.Envelope, s *messages.OptimizerSection, f Facts, note func(name, state, detail string)) *pipelines.Refusal {
	if s.Agreement == nil || s.Agreement.SLASeconds <= 0 || e.AI == nil {
		note("sla", "not_applicable", "none agreed")
		if s.Agreement == nil {
			s.Verdict, s.Reason = messages.VerdictNotApplicable, messages.ReasonOK
		}
		return nil
	}
	until := e.AI.FinishedAt
	if e.Kind == messages.KindAction {
		until = f.Now // that is when it was carried out
	}
	if e.AI.Verdict == messages.VerdictCarriedOver {
		until = f.Now // the answer is older than this epoch, which began with its replay
	}
	took := until.Sub(e.SubmittedAt)
	detail := fmt.Sprintf("took %.3f s of %.3f s", took.Seconds(), s.Agreement.SLASeconds)
	if took.Seconds() > s.Agreement.SLASeconds {
		note("sla", "fail", detail)
		return pipelines.Fail(messages.ReasonSLAMissed, detail)
	}
	note("sla", "pass", detail)
	return nil
}

// controls judges by the controls that apply at the end, and by those on answers where this one is carried over: the layer that
// answered did not see it in this epoch.
func controls(e *messages.Envelope, s *messages.OptimizerSection, f Facts, p Policy) *pipelines.Refusal {
	if e.Corporate == nil || p.Controls == nil {
		return nil
	}
	known := ai.Facts{Address: f.Address, Now: f.Now}
	facts := ai.ControlFacts(e, known)
	var carried compliance.Outcome
	if e.AI != nil {
		facts = facts.WithAnswer(e.AI)
		if e.AI.Verdict == messages.VerdictCarriedOver {
			carried = ai.AfterAnswer(e, e.AI, known, ai.Policy{Controls: p.Controls, ComplianceLevel: p.ComplianceLevel})
		}
	}
	out := p.Controls.Judge(compliance.StageEnd, facts, corporate.Levels(e.Corporate, p.ComplianceLevel)...)
	s.Controls, s.ControlsVersion = append(carried.Results, out.Results...), p.Controls.Version()
	if refused := pipelines.Gate(carried); refused != nil {
		return refused
	}
	return pipelines.Gate(out)
}

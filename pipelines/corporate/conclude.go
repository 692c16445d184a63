package corporate

import (
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
)

// Grant is what the ledger granted: a recorded fact.
type Grant struct {
	Approved bool
	// Waiting holds the request back for Reason.
	Waiting bool
	// Least is set where the money for one call alone was left: no other may be paid for.
	Least bool
	// Reason is why it was refused or waits.
	Reason messages.Reason
	// Blocked names the limit on requests or tokens that had no room, RetryAt tells when it has.
	Blocked string
	RetryAt time.Time
	Now     time.Time
}

// Conclude writes decision and grant into the envelope and names its next state.
func Conclude(e *messages.Envelope, d Decision, g Grant) messages.State {
	section := d.Section
	e.Kind, e.NotAfter, e.Corporate = d.Kind, d.NotAfter, &section
	section.FinishedAt = g.Now
	switch {
	case d.Refusal != nil:
		return refuse(e, &section, d.Refusal, g.Now)
	case g.Waiting:
		if d.Paused {
			g.Reason = messages.ReasonPaused
		}
		section.Verdict, section.Reason = messages.VerdictWaiting, g.Reason
		section.RateBlocked, section.RetryAt = g.Blocked, g.RetryAt
		e.Wait, e.NotBefore = g.Reason, d.NotBefore
		return messages.StateHold
	case !g.Approved:
		section.ReservedMicroUSD, section.Scopes = 0, nil
		if g.Reason == messages.ReasonAgreementExhausted { // the ledger does not know when the day ends
			g.RetryAt = time.Time{}
		}
		section.RateBlocked, section.RetryAt = g.Blocked, g.RetryAt
		return refuse(e, &section, refusalOf(g), g.Now)
	}
	if g.Least {
		section.BillableAttempts, section.ReservedMicroUSD = 1, section.BoundMicroUSD
	}
	section.Verdict, section.Reason = messages.VerdictApproved, messages.ReasonOK
	e.Wait, e.NotBefore = "", time.Time{}
	return d.ResumeAt
}

// refusalOf is the refusal of the ledger: for now, where a limit on requests or tokens has room later, else by rule.
func refusalOf(g Grant) *refusal {
	switch {
	case g.Reason == messages.ReasonAgreementExhausted:
		return pipelines.Deny(g.Reason, "trigger", "")
	case g.RetryAt.IsZero():
		return pipelines.Deny(g.Reason, "", "")
	}
	at := g.RetryAt.Add(time.Second - 1).Truncate(time.Second).UTC() // a whole second, never too early
	return &refusal{Status: messages.StatusRateLimited, Reason: g.Reason, RetryAt: at, Detail: "there is room at " + at.Format(time.RFC3339)}
}

func refuse(e *messages.Envelope, s *messages.CorporateSection, r *pipelines.Refusal, now time.Time) messages.State {
	s.Verdict, s.Reason = messages.VerdictDenied, r.Reason
	if r.Status != messages.StatusDenied && r.Status != messages.StatusRateLimited {
		s.Verdict = messages.VerdictFailed
	}
	pipelines.End(e, messages.LayerCorporate, r, now)
	return messages.StateDone
}

// Resume decides where a replay goes on: at the layer in which the request died, or where the operator says, but never
// behind the model where the request or its model changed. old is the envelope of the epoch that failed.
func Resume(d *Decision, old *messages.Envelope, asked messages.State, edited bool) {
	at := asked
	if at == "" {
		at = messages.StateAI
		if old.End != nil && old.End.Layer == messages.LayerOptimizer {
			at = messages.StateOptimizer
		}
	}
	answered := old.AI != nil && (old.AI.Verdict == messages.VerdictProcessed || old.AI.Verdict == messages.VerdictCarriedOver)
	changed := edited || old.Corporate == nil || old.Corporate.Model != d.Section.Model ||
		answered && old.AI.PrivacyVersion != d.Section.PrivacyVersion // what was answered may not be given any more
	if at != messages.StateOptimizer || changed || !answered {
		d.ResumeAt = messages.StateAI
		return
	}
	d.behindModel()
}

// ResumeHeld is Resume for a replay that was held back meanwhile: it goes on where it was to, unless the model or the rules on
// personal data have changed since its answer.
func ResumeHeld(d *Decision, e *messages.Envelope) {
	if e.Replay == nil || e.Replay.ResumeAt != messages.StateOptimizer {
		return
	}
	if e.AI == nil || e.Corporate == nil || e.Corporate.Model != d.Section.Model || e.AI.PrivacyVersion != d.Section.PrivacyVersion {
		return
	}
	d.behindModel()
}

// behindModel lets a replay go on where the model has answered.
func (d *Decision) behindModel() {
	d.ResumeAt = messages.StateOptimizer
	d.free()
	if d.Section.Facts != nil {
		facts := *d.Section.Facts
		facts.BehindModel = true
		d.Section.Facts = &facts
	}
}

// free reserves nothing: no model is asked. The request counts as one without tokens, in none of a model or backend.
func (d *Decision) free() {
	d.Amount, d.Scopes, d.Section.ReservedMicroUSD, d.Section.Scopes = 0, nil, 0, nil
	d.Tokens, d.Section.RateTokens = 0, 0
	scopes, limits := d.Rates, d.Section.Rates
	d.Rates, d.Section.Rates = nil, nil
	for i, r := range scopes {
		if r.Reason != messages.ReasonLimitRateModel && r.Reason != messages.ReasonLimitRateBackend {
			d.Rates, d.Section.Rates = append(d.Rates, r), append(d.Section.Rates, limits[i])
		}
	}
}

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
	Now    time.Time
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
		e.Wait, e.NotBefore = g.Reason, d.NotBefore
		return messages.StateHold
	case !g.Approved:
		section.ReservedMicroUSD, section.Scopes = 0, nil
		return refuse(e, &section, pipelines.Deny(g.Reason, "", ""), g.Now)
	}
	if g.Least {
		section.BillableAttempts, section.ReservedMicroUSD = 1, section.BoundMicroUSD
	}
	section.Verdict, section.Reason = messages.VerdictApproved, messages.ReasonOK
	e.Wait, e.NotBefore = "", time.Time{}
	return d.ResumeAt
}

func refuse(e *messages.Envelope, s *messages.CorporateSection, r *pipelines.Refusal, now time.Time) messages.State {
	s.Verdict, s.Reason = messages.VerdictDenied, r.Reason
	if r.Status != messages.StatusDenied {
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
	d.ResumeAt = messages.StateOptimizer
	d.free()
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
	d.ResumeAt = messages.StateOptimizer
	d.free()
}

// free reserves nothing: no model is asked.
func (d *Decision) free() {
	d.Amount, d.Scopes, d.Section.ReservedMicroUSD, d.Section.Scopes = 0, nil, 0, nil
}

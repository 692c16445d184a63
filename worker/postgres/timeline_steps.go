package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
)

// steps tells an epoch in one line each, in order of time.
func (e *EpochTimeline) steps() []Step {
	var steps []Step
	add := func(at time.Time, what, text string) { steps = append(steps, Step{At: at, What: what, Text: text}) }
	if i := e.Intent; i != nil && i.SubmittedAt != nil {
		add(*i.SubmittedAt, "submitted", "")
	} else if o := e.Outcome; o != nil && o.SubmittedAt != nil {
		add(*o.SubmittedAt, "submitted", "")
	}
	if a := e.Admission; a != nil {
		if a.DecidedAt.After(a.AdmittedAt) {
			add(a.AdmittedAt, "admission waiting", "")
		}
		add(a.DecidedAt, "admission "+a.State, admissionText(a))
	}
	if i := e.Intent; i != nil {
		add(i.StoredAt, "intent", fmt.Sprintf("model %s, at most %s a call, user %s, request %s, %q",
			i.Model, dollars(i.Bound), i.UserID, shortDigest(i.RequestSHA256), i.AuditReason))
	}
	for i := range e.Attempts {
		text := attemptText(&e.Attempts[i])
		if i > 0 && e.Attempts[i-1].Backend != e.Attempts[i].Backend {
			text += ", after " + e.Attempts[i-1].Backend
		}
		add(e.Attempts[i].At, fmt.Sprintf("attempt %d", e.Attempts[i].K), text)
	}
	for i := range e.Layers {
		if l := &e.Layers[i]; l.FinishedAt != nil {
			add(*l.FinishedAt, l.Layer+" "+l.Verdict, joined([]string{value(l.Reason), findingsText(l.Section), reusedText(l.Section)}))
		}
	}
	for i := range e.Events {
		at := e.Events[i].StoredAt
		if e.Events[i].At != nil {
			at = *e.Events[i].At
		}
		add(at, "event "+e.Events[i].Kind, e.Events[i].Detail)
	}
	if o := e.Outcome; o != nil {
		add(o.StoredAt, "outcome "+o.Status, outcomeText(o))
	}
	if d := e.DeadLetter; d != nil {
		add(d.StoredAt, "dead letter", fmt.Sprintf("%d bytes", d.Bytes))
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At.Compare(b.At) })
	return steps
}

// findingsText is what a layer's section has on personal data.
func findingsText(section []byte) string {
	var s struct {
		Findings       []messages.Finding `json:"findings"`
		AnswerFindings []messages.Finding `json:"answer_findings"`
	}
	if json.Unmarshal(section, &s) != nil {
		return ""
	}
	var parts []string
	for _, f := range s.Findings {
		parts = append(parts, fmt.Sprintf("found %s %d: %s", f.Type, f.Count, f.Action))
	}
	for _, f := range s.AnswerFindings {
		parts = append(parts, fmt.Sprintf("answered %s %d: %s", f.Type, f.Count, f.Action))
	}
	return joined(parts)
}

// reusedText is what the section of the AI layer has on an answer that no call of the epoch brought.
func reusedText(section []byte) string {
	var s struct {
		Reused *messages.Reused `json:"reused"`
	}
	if json.Unmarshal(section, &s) != nil || s.Reused == nil {
		return ""
	}
	return fmt.Sprintf("answer %s, saved %s, share %s", s.Reused.Words(), dollars(s.Reused.SavedMicroUSD), dollars(s.Reused.ShareMicroUSD))
}

func admissionText(a *Admission) string {
	parts := []string{a.Reason}
	if a.Reserved > 0 {
		parts = append(parts, dollars(a.Reserved)+" reserved in "+strings.Join(a.Scopes, ", "))
	}
	return joined(parts)
}

func attemptText(a *Attempt) string {
	return joined([]string{a.Backend, a.Model, strings.TrimSpace(a.Class + " " + a.Code), a.Billing + " " + dollars(a.Charged), fmt.Sprintf("%d ms", a.DurationMS)})
}

func outcomeText(o *Outcome) string {
	return joined([]string{o.Reason, o.Field, o.Detail, "cost " + dollars(o.CostMicroUSD)})
}

func joined(parts []string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// dollars writes micro-dollars.
func dollars(micro int64) string {
	sign := ""
	if micro < 0 {
		sign, micro = "-", -micro
	}
	return fmt.Sprintf("%s$%d.%06d", sign, micro/1_000_000, micro%1_000_000)
}

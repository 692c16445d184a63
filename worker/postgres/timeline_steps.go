package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// steps tells an epoch in one line each, in order of time.
func (e *EpochTimeline) steps() []Step {
	var steps []Step
	add := func(s Step) { steps = append(steps, s) }
	ingress, work := Step{Layer: string(messages.LayerCorporate)}, ""
	if a := e.Admission; a != nil {
		ingress.Stream, ingress.Seq, work = worker.IngressStream, a.IngressSeq, worker.WorkStream(a.P)
	}
	if at := e.submittedAt(); at != nil {
		add(Step{At: *at, What: "submitted", Stream: ingress.Stream, Seq: ingress.Seq})
	}
	if a := e.Admission; a != nil {
		if a.DecidedAt.After(a.AdmittedAt) {
			add(Step{At: a.AdmittedAt, What: "admission waiting", Layer: ingress.Layer, Stream: ingress.Stream, Seq: ingress.Seq})
		}
		add(Step{At: a.DecidedAt, What: "admission " + a.State, Text: admissionText(a), Layer: ingress.Layer, Reason: a.Reason, Stream: ingress.Stream, Seq: ingress.Seq})
	}
	if i := e.Intent; i != nil {
		add(Step{At: i.StoredAt, What: "intent", Layer: string(messages.LayerCorporate), Stream: work, Seq: i.Seq, Text: intentText(i)})
	}
	for i := range e.Attempts {
		text := attemptText(&e.Attempts[i])
		if i > 0 && e.Attempts[i-1].Backend != e.Attempts[i].Backend {
			text += ", after " + e.Attempts[i-1].Backend
		}
		add(Step{At: e.Attempts[i].At, What: fmt.Sprintf("attempt %d", e.Attempts[i].K), Text: text, Layer: string(messages.LayerAI), Reason: e.Attempts[i].Class})
	}
	for i := range e.Layers {
		if l := &e.Layers[i]; l.FinishedAt != nil {
			add(Step{
				At: *l.FinishedAt, What: l.Layer + " " + l.Verdict, Layer: l.Layer, Reason: value(l.Reason),
				Text: joined([]string{value(l.Reason), findingsText(l.Section), reusedText(l.Section)}),
			})
		}
	}
	for i := range e.Events {
		add(e.Events[i].step())
	}
	if o := e.Outcome; o != nil {
		add(Step{At: o.StoredAt, What: "outcome " + o.Status, Text: outcomeText(o), Layer: o.Layer, Reason: o.Reason, Stream: work, Seq: o.Seq})
	}
	if d := e.DeadLetter; d != nil {
		add(Step{At: d.StoredAt, What: "dead letter", Text: fmt.Sprintf("%d bytes", d.Bytes)})
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At.Compare(b.At) })
	return steps
}

// submittedAt is when the request was, as far as it is recorded.
func (e *EpochTimeline) submittedAt() *time.Time {
	if i := e.Intent; i != nil && i.SubmittedAt != nil {
		return i.SubmittedAt
	}
	if e.Outcome != nil {
		return e.Outcome.SubmittedAt
	}
	return nil
}

func (e *Event) step() Step {
	s := Step{At: e.StoredAt, What: "event " + e.Kind, Text: e.Detail, Stream: e.Stream, Seq: e.Seq}
	if e.At != nil {
		s.At = *e.At
	}
	return s
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

func intentText(i *Intent) string {
	text := fmt.Sprintf("user %s, request %s, %q", i.UserID, shortDigest(i.RequestSHA256), i.AuditReason)
	if i.Model == "" { // none is asked
		return text
	}
	return fmt.Sprintf("model %s, at most %s a call, %s", i.Model, dollars(i.Bound), text)
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

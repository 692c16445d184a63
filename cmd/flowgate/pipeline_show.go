package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/corporate"
	"flowgate/worker/postgres"
)

func (v *pipelineView) show(cmd *cobra.Command, g *globals) error {
	if g.json {
		return printJSON(cmd.OutOrStdout(), v)
	}
	return v.write(newPage(cmd.OutOrStdout()))
}

// write prints a pipeline for people: the stages of each request, the trail of all of them, and the answer of the one that was run.
func (v *pipelineView) write(p *page) error {
	p.say("correlation id %s: %s, %s", v.CorrelationID, plural(len(v.Requests), "request"), plural(len(v.Trail), "record"))
	if v.More > 0 {
		p.say("  %d more are recorded and not shown", v.More)
	}
	for i := range v.Requests {
		p.say("")
		v.Requests[i].write(p)
		for j := range v.Stages {
			if v.Stages[j].Number == v.Requests[i].Number {
				v.Stages[j].write(p)
			}
		}
	}
	if len(v.Trail) > 0 {
		p.say("")
		v.writeTrail(p)
	}
	if r := v.Result; r != nil && r.Answer != "" {
		p.say("")
		for _, line := range wrapped(strings.Split(strings.TrimRight(printableText(r.Answer), "\n"), "\n"), pageWidth) {
			p.say("%s", line)
		}
	}
	return p.err
}

func (r *pipelineRequest) write(p *page) {
	if r.State == messages.ResultDone {
		p.say("#%d %s, epoch %d: %s (%s), %.3f s, %s", r.Number, r.ID, r.Epoch, r.Status, r.Reason, r.Seconds, dollars(r.CostMicroUSD))
	} else {
		p.say("#%d %s, epoch %d: %s, its end is not recorded", r.Number, r.ID, r.Epoch, r.State)
	}
	if r.Kind != "" && r.UserID != "" {
		p.fact("   ", fmt.Sprintf("%s by %s of %s: %q", r.Kind, r.UserID, r.Department, r.AuditReason))
	}
}

// stageIndent is how far the facts of a stage are indented.
const stageIndent = "               "

func (s *pipelineStage) write(p *page) {
	line := fmt.Sprintf("   %-12s%s", s.Stage, s.State)
	if s.Reason != "" && s.Reason != messages.ReasonOK {
		line += " (" + string(s.Reason) + ")"
	}
	if s.OffsetMS != nil {
		line += fmt.Sprintf(", at %.1f ms", *s.OffsetMS)
	}
	if s.TookMS != nil {
		line += fmt.Sprintf(", took %.1f ms", *s.TookMS)
	}
	p.say("%s", line)
	for _, fact := range s.facts() {
		if fact != "" {
			p.fact(stageIndent, fact)
		}
	}
}

// facts are what there is to tell of a stage, in lines.
func (s *pipelineStage) facts() []string {
	switch {
	case s.Agreement != nil:
		return s.Agreement.lines()
	case s.Governance != nil:
		return s.Governance.lines()
	case s.AI != nil:
		return s.AI.lines()
	case s.Optimizer != nil:
		lines := []string{checksText(s.Optimizer.Checks)}
		if x := s.Optimizer.Execution; x != nil {
			lines = append(lines, executionText(x))
		}
		return lines
	case s.Outcome != nil:
		return s.Outcome.lines()
	}
	return nil
}

func (f *agreementFacts) lines() []string {
	if f.Trigger == "" {
		return []string{prefixed("asked for ", f.Asked), f.Detail}
	}
	first := fmt.Sprintf("%s version %s", f.Trigger, f.Version)
	if how := map[corporate.AgreedBy]string{
		corporate.AgreedByTrigger: "named by the request", corporate.AgreedByText: "meant by its text", corporate.AgreedByDefault: "the tenant's default",
		corporate.AgreedByExecution: "that of the action which asks it",
	}[corporate.AgreedBy(f.By)]; how != "" {
		first += ", " + how
	}
	if f.Confidence != nil {
		first += fmt.Sprintf(", confidence %.2f", *f.Confidence)
	}
	if f.Stood != "" {
		first += ", " + f.Stood
	}
	var terms []string
	for _, t := range [][2]string{{"owner ", f.Owner}, {"approved by ", f.Approver}, {"compliance level ", f.ComplianceLevel}} {
		if t[1] != "" {
			terms = append(terms, t[0]+t[1])
		}
	}
	if f.SLASeconds > 0 {
		terms = append(terms, fmt.Sprintf("an answer within %g s", f.SLASeconds))
	}
	if !f.ValidUntil.IsZero() {
		terms = append(terms, "valid until "+f.ValidUntil.UTC().Format(time.RFC3339))
	}
	return []string{first, strings.Join(terms, ", ")}
}

func (f *governanceFacts) lines() []string {
	var rules []string
	for _, r := range [][2]string{{"settings ", f.PolicyVersion}, {"policy ", f.BundleVersion}, {"prices ", f.PriceVersion}, {"controls ", f.ControlsVersion}} {
		if r[1] != "" {
			rules = append(rules, r[0]+r[1])
		}
	}
	lines := []string{checksText(f.Checks), prefixed("by ", strings.Join(rules, ", ")), prefixed("controls: ", scoreLine(f.Compliance))}
	if len(f.Flags) > 0 {
		lines = append(lines, "flagged by "+strings.Join(f.Flags, ", "))
	}
	lines = append(lines, prefixed("found ", foundText(f.Findings)))
	if f.ReservedMicroUSD > 0 {
		lines = append(lines, fmt.Sprintf("held %s in %s", dollars(f.ReservedMicroUSD), strings.Join(f.Scopes, ", ")))
	}
	return lines
}

func (f *aiFacts) lines() []string {
	var lines []string
	if f.Backend != "" || f.Model != "" {
		lines = append(lines, fmt.Sprintf("%s, %s, %s, cache %s, tokens %d in and %d out, %s", orDash(f.Backend), orDash(f.Model),
			plural(len(f.Attempts), "attempt"), f.Cache, f.TokensIn, f.TokensOut, dollars(f.CostMicroUSD)))
	}
	if f.Reused != nil {
		lines = append(lines, reusedText(f.Reused))
	}
	for i := range f.Attempts {
		lines = append(lines, attemptLine(&f.Attempts[i]))
	}
	return append(lines, checksText(f.Checks), prefixed("answered ", foundText(f.AnswerFindings)))
}

func attemptLine(a *postgres.Attempt) string {
	text := fmt.Sprintf("attempt %d: %s, %s", a.K, a.Backend, a.Billing)
	if a.Billing == postgres.BillingCalling {
		return text + fmt.Sprintf(", at most %s", dollars(a.Bound))
	}
	return text + fmt.Sprintf(" %s, %d ms%s%s", dollars(a.Charged), a.DurationMS, prefixed(", ", strings.TrimSpace(a.Class+" "+a.Code)), prefixed(": ", a.Detail))
}

// checksText is how checks went: those that passed by their names, others with what they say.
func checksText(checks []messages.Check) string {
	var passed, other []string
	for _, c := range checks {
		switch {
		case c.State == "not_applicable":
		case c.State != "pass":
			other = append(other, c.Name+" "+c.State+prefixed(": ", c.Detail))
		case c.Name == "sla":
			passed = append(passed, c.Name+" ("+c.Detail+")")
		default:
			passed = append(passed, c.Name)
		}
	}
	if len(passed) > 0 {
		other = append(other, "passed "+strings.Join(passed, ", "))
	}
	return strings.Join(other, "; ")
}

// executionText is what came of an agreement's action, in one line.
func executionText(x *messages.Execution) string {
	text := fmt.Sprintf("action %s: %s%s", orDash(x.Action), x.Mode, prefixed(", ", x.Because))
	if x.Mode == messages.ExecutionReal || x.Mode == messages.ExecutionFallback {
		text += fmt.Sprintf(", %.3f s, %d samples, confidence %.2f", x.Seconds, x.Samples, x.Confidence)
	}
	if x.Mode == messages.ExecutionFallback {
		text += fmt.Sprintf(", measured %s before", secondsText(x.AgeSeconds))
	}
	return text
}

func (f *outcomeFacts) lines() []string {
	lines := []string{fmt.Sprintf("ended by %s, cost %s", f.Layer, dollars(f.CostMicroUSD))}
	if f.Next != "" { // it says nothing of what went well
		lines = append(lines, f.Message, prefixed("field: ", f.Field), "next: "+f.Next)
	}
	if !f.RetryAt.IsZero() {
		lines = append(lines, "room at "+f.RetryAt.UTC().Format(time.RFC3339))
	}
	if f.DeadLetter {
		lines = append(lines, "it is a dead letter, and can be replayed")
	}
	return lines
}

// writeTrail prints every record on a line.
func (v *pipelineView) writeTrail(p *page) {
	rows := make([][]string, len(v.Trail))
	for i, r := range v.Trail {
		layer := "-"
		if l, known := pipelines.Find(messages.LayerName(r.Layer)); known {
			layer = l.Queues[0].Name
		}
		record := "-"
		if r.Stream != "" {
			record = fmt.Sprintf("%s:%d", strings.TrimPrefix(r.Stream, "FLOWGATE_"), r.Seq)
		}
		what := r.Text
		if r.Reason != "" && r.Reason != string(messages.ReasonOK) {
			what = strings.TrimSuffix(r.Reason+", "+r.Text, ", ")
		}
		rows[i] = []string{fmt.Sprintf("%10.1f", r.OffsetMS), fmt.Sprint(r.Number), layer, r.Event, record, what}
	}
	p.table("", []string{"        MS", "#", "LAYER", "EVENT", "RECORD", "WHAT"}, rows)
}

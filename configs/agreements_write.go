package configs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"flowgate/pipelines/flow"
)

// WriteAgreement writes an agreement as LoadAgreements reads it, without version and approver: what is made of it is another version,
// which somebody approves. Texts are quoted as in JSON, which YAML reads.
func WriteAgreement(a flow.Agreement) ([]byte, error) {
	w := &agreementWriter{lead: "- "}
	w.text("trigger", a.Trigger)
	w.text("flow_encoding", a.FlowEncoding)
	w.text("expanded_meaning", a.ExpandedMeaning)
	w.text("action", a.Action)
	w.text("real_implementation", a.RealImplementation)
	w.text("fallback", a.Fallback)
	if len(a.Parameters) > 0 {
		w.line("parameters", a.Parameters)
	}
	w.text("expected_output", a.ExpectedOutput)
	if a.ConfidenceThreshold != 0 {
		w.line("confidence_threshold", a.ConfidenceThreshold)
	}
	w.text("owner", a.Owner)
	w.text("purpose", a.Purpose)
	w.list("tenants", a.Tenants)
	w.list("default_for", a.DefaultFor)
	w.nested("allowed", func() {
		w.list("models", a.Allowed.Models)
		w.list("backends", a.Allowed.Backends)
		w.list("regions", a.Allowed.Regions)
		w.list("purposes", a.Allowed.Purposes)
		w.list("data", a.Allowed.Data)
	})
	w.nested("limits", func() {
		if a.Limits.CallsDay > 0 {
			w.line("calls_day", a.Limits.CallsDay)
		}
		w.money("request", a.Limits.RequestMicroUSD)
		w.money("day", a.Limits.DayMicroUSD)
		w.money("month", a.Limits.MonthMicroUSD)
	})
	if s := a.FallbackAgeSeconds; s > 0 {
		w.line("fallback_age", time.Duration(s*float64(time.Second)).String())
	}
	w.text("compliance_level", a.ComplianceLevel)
	w.moment("valid_from", a.ValidFrom)
	w.moment("valid_until", a.ValidUntil)
	if a.SLASeconds > 0 {
		w.line("sla_seconds", a.SLASeconds)
	}
	return w.buf.Bytes(), w.err
}

// agreementWriter writes lines of keys with values; lead stands before the next key, err is its first fault.
type agreementWriter struct {
	buf  bytes.Buffer
	lead string
	err  error
}

func (w *agreementWriter) line(key string, value any) {
	var encoded bytes.Buffer
	enc := json.NewEncoder(&encoded)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil && w.err == nil {
		w.err = fmt.Errorf("writing %s: %w", key, err)
	}
	w.buf.WriteString(w.lead + key + ": " + encoded.String())
	w.lead = strings.Repeat(" ", len(w.lead))
}

func (w *agreementWriter) text(key, value string) {
	if value != "" {
		w.line(key, value)
	}
}

func (w *agreementWriter) list(key string, words []string) {
	if len(words) > 0 {
		w.line(key, words)
	}
}

func (w *agreementWriter) money(key string, micro int64) {
	if micro > 0 {
		w.line(key, "$"+Dollars(micro).String())
	}
}

func (w *agreementWriter) moment(key string, t time.Time) {
	if !t.IsZero() {
		w.line(key, t.UTC().Format(time.RFC3339Nano))
	}
}

// nested writes keys below another, which is left out where there are none.
func (w *agreementWriter) nested(key string, write func()) {
	before, lead := w.buf.Len(), w.lead
	w.buf.WriteString(lead + key + ":\n")
	w.lead = strings.Repeat(" ", len(lead)+2)
	empty := w.buf.Len()
	write()
	if w.buf.Len() == empty {
		w.buf.Truncate(before)
	}
	w.lead = lead
}

// ScaffoldAgreement is a file for whoever writes an agreement with that action: every field, what is optional behind a #, with words about
// it. An empty action is ask, which says that it has none: requests without a prompt are denied.
func ScaffoldAgreement(trigger, action string) ([]byte, error) {
	quoted := &agreementWriter{lead: "- "}
	quoted.line("trigger", trigger)
	return append([]byte(scaffoldHead+quoted.buf.String()), strings.NewReplacer("ENTITY", entityOf(trigger), "ACTION", cmp.Or(action, "ask")).Replace(scaffoldBody)...), quoted.err
}

// entityOf makes an entity of an encoding out of a trigger's words.
func entityOf(trigger string) string {
	words := strings.FieldsFunc(strings.ToLower(trigger), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	entity := strings.Join(words, "_")
	if entity = strings.TrimRight(entity[:min(len(entity), 40)], "_"); entity == "" {
		return "agreement"
	}
	return entity
}

const scaffoldHead = `# A FLOW agreement. Write it, then:
#   flowgate flow import FILE --submit --reason "…"    becomes a version that waits for its approval
#   flowgate flow approve TRIGGER --reason "…"         by another person: it is in force, within a second
# A file is a list: more agreements may follow. What stands behind a # is optional.
`

const scaffoldBody = `  # @entity#category!action@object, each of a-z, 0-9 and _
  flow_encoding: "@ENTITY#request!run@model"
  # what the agreement is for, in words
  expanded_meaning: ""
  # what is done; a request with a prompt asks its model under the agreement, one without asks for the action
  # (flowgate flow actions lists those that there are; ask says that there is none)
  action: ACTION
  # what does the action, and what stands in for it where it fails
  #real_implementation: ""
  #fallback: ""
  #parameters: {days: 7}
  # what comes of it, in words
  expected_output: ""
  # how sure a text must mean the agreement, above 0 and at most 1
  #confidence_threshold: 0.8
  # who answers for it
  owner: ""
  # the purpose of requests that give none
  #purpose: ""
  # whose requests may run under it (left out: everybody's), and whose do that name no agreement ("*": everybody's)
  #tenants: [default]
  #default_for: [default]
  # the only ones that its requests may use, beside what tenants and departments may
  #allowed:
  #  models: [claude-3-haiku]
  #  backends: [offline]
  #  regions: [eu-central-1]
  #  purposes: [summaries]
  #  data: [contact]
  # requests of a day, and money, in each tenant
  #limits:
  #  calls_day: 100
  #  request: $0.50
  #  day: $5.00
  #  month: $50.00
  # how old a measured result may be that stands in for an execution that failed
  #fallback_age: 24h
  # controls beside the deployment's: see flowgate controls list
  #compliance_level: standard
  # left out, the version is made from the content
  #version: "1"
  # days (UTC, the whole of the last one counts) or moments such as 2026-01-31T12:00:00Z
  #valid_from: 2026-01-01
  #valid_until: 2036-12-31
  # how long a request may take
  #sla_seconds: 60
`

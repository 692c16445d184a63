package configs

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
)

func TestAgreementsReadEveryField(t *testing.T) {
	t.Parallel()
	got, err := decodeAgreements("a.yaml", []byte(`
- trigger: "[Board Summary]"
  flow_encoding: "@board#summary!write@reports"
  action: ask
  purpose: summaries
  tenants: [acme, labs]
  default_for: [acme]
  allowed: {models: [m], backends: [b], regions: [eu], purposes: [summaries], data: [contact]}
  limits: {calls_day: 10, request: $0.50, day: 5, month: "$50.00"}
  fallback_age: 36h
  version: "7"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []flow.Agreement{{
		Trigger: "[Board Summary]", FlowEncoding: "@board#summary!write@reports", Action: "ask", ConfidenceThreshold: flow.DefaultConfidence,
		Purpose: "summaries", Tenants: []string{"acme", "labs"}, DefaultFor: []string{"acme"},
		Allowed: messages.Allowed{Models: []string{"m"}, Backends: []string{"b"}, Regions: []string{"eu"}, Purposes: []string{"summaries"}, Data: []string{"contact"}},
		Limits:  flow.Limits{CallsDay: 10, RequestMicroUSD: 500_000, DayMicroUSD: 5_000_000, MonthMicroUSD: 50_000_000}, FallbackAgeSeconds: 36 * 3600, Version: "7",
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAgreementsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	const head = "- trigger: x\n  flow_encoding: \"@a#b!c@d\"\n  action: y\n"
	for name, c := range map[string]struct{ line, says string }{
		"no calls":          {"  limits: {calls_day: 0}", "a.yaml:4: [0].limits.calls_day: must be above 0"},
		"no money":          {"  limits: {day: 0}", "write none for no limit"},
		"no threshold":      {"  confidence_threshold: 0", "a.yaml:4: [0].confidence_threshold: must be above 0"},
		"an age of numbers": {"  fallback_age: 60", "a time with its unit"},
		"an age below 0":    {"  fallback_age: -1h", "fallback_age_seconds"},
		"another's default": {"  tenants: [a]\n  default_for: [b]", "b is not one of tenants"},
		"no class of data":  {"  allowed: {data: [cards]}", "no class of data"},
		"a key of none":     {"  allowed: {modles: [a]}", "did you mean models?"},
		"calls below 0":     {"  limits: {calls_day: -1}", "limits.calls_day: -1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := decodeAgreements("a.yaml", []byte(head+c.line+"\n")); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestAWrittenAgreementReadsBack(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]flow.Agreement{
		"what must be": {Trigger: "x", FlowEncoding: "@a#b!c@d", Action: "y"},
		"everything": {
			Trigger: `[Sales: "Q1" # 1]`, FlowEncoding: "@a#b!c@d", ExpandedMeaning: "in words:\nof two lines\t€ <&> \u2028 'x'", Action: "true", RealImplementation: "1",
			Fallback: "2026-01-31", Parameters: map[string]any{"n": int64(3), "f": 0.5, "t": "no", "l": []any{"a", map[string]any{"x": false}}},
			ExpectedOutput: "- a list", ConfidenceThreshold: 0.95, Owner: "@treasury", Purpose: "*", Tenants: []string{"acme", "null"}, DefaultFor: []string{"acme"},
			Allowed: messages.Allowed{Models: []string{"m:1"}, Backends: []string{"b"}, Regions: []string{"eu"}, Purposes: []string{"summaries"}, Data: []string{"none"}},
			Limits:  flow.Limits{CallsDay: 10, RequestMicroUSD: 1, DayMicroUSD: 5_000_000, MonthMicroUSD: 50_250_000}, FallbackAgeSeconds: 90.5, ComplianceLevel: "sox",
			ValidFrom: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), ValidUntil: time.Date(2036, 1, 1, 12, 0, 0, 5, time.UTC), SLASeconds: 1.5,
		},
		"limits of money alone": {Trigger: "x", FlowEncoding: "@a#b!c@d", Action: "y", Limits: flow.Limits{MonthMicroUSD: 7}, Owner: "o"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := WriteAgreement(a)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeAgreements("a.yaml", data)
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], a.Complete()) {
				t.Errorf("got %+v, %v, of\n%s", got, err, data)
			}
		})
	}
}

func TestAScaffoldHasEveryFieldAndCanBeRead(t *testing.T) {
	t.Parallel()
	for _, trigger := range []string{"[Board Summary]", `a "b": #c`, "§", strings.Repeat("w ", 200) + "w"} {
		data, err := ScaffoldAgreement(trigger, "")
		if err != nil {
			t.Fatal(err)
		}
		whole := regexp.MustCompile(`(?m)^  #( *[a-z_]+:)`).ReplaceAll(data, []byte("  $1"))
		for _, text := range [][]byte{data, whole} {
			got, err := decodeAgreements("a.yaml", text)
			if err != nil || len(got) != 1 || got[0].Trigger != trigger {
				t.Errorf("got %+v, %v, of\n%s", got, err, text)
			}
		}
		missing := func(of reflect.Type) {
			for field := range of.Fields() {
				if key := field.Tag.Get("yaml"); key != "approver" && !regexp.MustCompile(`(?m)^[- ] +`+key+`:`).Match(whole) {
					t.Errorf("the scaffold has no %s:\n%s", key, whole)
				}
			}
		}
		missing(reflect.TypeFor[agreementEntry]())
		missing(reflect.TypeFor[allowedEntry]())
		missing(reflect.TypeFor[agreementLimits]())
	}
}

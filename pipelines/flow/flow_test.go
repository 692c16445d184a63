package flow

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
)

func cost() Agreement {
	return Agreement{
		Trigger: "[Cost Analysis]", FlowEncoding: "@cost#analysis!track@dspy_operations", Action: "cost_analysis",
		Parameters: map[string]any{"days": 7, "by": []any{"model", "user"}}, SLASeconds: 30,
	}
}

func mustBook(t *testing.T, agreements ...Agreement) *Book {
	t.Helper()
	b, err := NewBook(agreements)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEncodingReadsAndPrints(t *testing.T) {
	for _, text := range []string{"@performance#test!benchmark@dspy_operations", "@a#b!c@d", "@1#2!3@_"} {
		e, err := ParseEncoding(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if e.String() != text {
			t.Errorf("%s became %s", text, e)
		}
	}
	e, err := ParseEncoding("@cost#analysis!track@ops")
	if want := (Encoding{"cost", "analysis", "track", "ops"}); err != nil || e != want {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestEncodingErrorsNameThePosition(t *testing.T) {
	for _, c := range []struct {
		text     string
		position int
		want     string
		got      string
	}{
		{"", 0, `"@" before the entity`, "end of text"},
		{"cost#a!b@c", 0, `"@" before the entity`, `"c"`},
		{"@#a!b@c", 1, "the entity", `"#"`},
		{"@Cost#a!b@c", 1, "the entity", `"C"`},
		{"@cost", 5, `"#" before the category`, "end of text"},
		{"@cost!a", 5, `"#" before the category`, `"!"`},
		{"@cost#a#b@c", 7, `"!" before the action`, `"#"`},
		{"@cost#a!b", 9, `"@" before the object`, "end of text"},
		{"@cost#a!b@", 10, "the object", "end of text"},
		{"@cost#a!b@c ", 11, "the end", `" "`},
		{"@cost#a!b@ö", 10, "the object", `"ö"`},
		{"@a#b!c@d\xff", 8, "the end", `"�"`},
	} {
		_, err := ParseEncoding(c.text)
		var fault *EncodingError
		if !errors.As(err, &fault) {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if fault.Position != c.position || fault.Want != c.want || fault.Got != c.got {
			t.Errorf("%q: %+v, want %d %s %s", c.text, *fault, c.position, c.want, c.got)
		}
	}
}

func FuzzParseEncoding(f *testing.F) {
	for _, s := range []string{"@cost#analysis!track@dspy_operations", "@a#b!c@d", "", "@", "@a#b!c@d@e", "@ä#b!c@d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEncoding(text)
		if err == nil {
			if e.String() != text {
				t.Fatalf("%q became %q", text, e)
			}
			return
		}
		var fault *EncodingError
		if !errors.As(err, &fault) || fault.Position < 0 || fault.Position > len(text) || e != (Encoding{}) {
			t.Fatalf("%q: %v %+v", text, err, e)
		}
	})
}

func TestValidityHasAFirstAndALastMoment(t *testing.T) {
	from, until := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	a := cost()
	a.ValidFrom, a.ValidUntil = from, until
	for _, c := range []struct {
		at   time.Time
		want messages.Reason
	}{
		{from.Add(-1), messages.ReasonAgreementNotYetValid},
		{from, ""},
		{until.Add(-1), ""},
		{until, messages.ReasonAgreementExpired},
	} {
		if got := a.Check(c.at); got != c.want {
			t.Errorf("at %v: %q, want %q", c.at, got, c.want)
		}
	}
	if got := cost().Check(time.Time{}); got != "" {
		t.Errorf("an agreement without bounds: %q", got)
	}
}

func TestBookFindsByExactTriggerAndCompletes(t *testing.T) {
	strict := cost()
	strict.Trigger, strict.Version, strict.ConfidenceThreshold = "[Strict]", "3", 0.95
	b := mustBook(t, cost(), strict)
	a, ok := b.Find("[Cost Analysis]")
	if !ok || a.ConfidenceThreshold != DefaultConfidence || len(a.Version) != 12 {
		t.Errorf("%v %+v", ok, a)
	}
	if s, _ := b.Find("[Strict]"); s.Version != "3" || s.ConfidenceThreshold != 0.95 {
		t.Errorf("%+v", s)
	}
	for _, near := range []string{"", "cost analysis", "[cost analysis]", " [Cost Analysis]", "Cost Analysis"} {
		if _, ok := b.Find(near); ok {
			t.Errorf("%q was found", near)
		}
	}
	if got := strings.Join(b.Triggers(), ","); got != "[Cost Analysis],[Strict]" || len(b.Agreements()) != 2 {
		t.Errorf("triggers %s", got)
	}
}

func TestRefNamesContent(t *testing.T) {
	a := cost()
	ref := a.Ref()
	if ref.Trigger != a.Trigger || ref.SLASeconds != 30 {
		t.Errorf("%+v", ref)
	}
	found, _ := mustBook(t, a).Find(a.Trigger)
	if found.Ref() != ref {
		t.Errorf("in a book %+v, alone %+v", found.Ref(), ref)
	}
	elsewhere := cost()
	elsewhere.ConfidenceThreshold = DefaultConfidence
	if elsewhere.Ref() != ref {
		t.Error("the default threshold, written down, changed the version")
	}
	changed := cost()
	changed.Parameters["days"] = 8
	if changed.Ref() == ref {
		t.Error("other parameters, same version")
	}
	named := cost()
	named.Version = "2026-1"
	if got := named.Ref().Version; got != "2026-1" {
		t.Errorf("a given version became %q", got)
	}
}

func TestNewBookNamesEveryFaultAtOnce(t *testing.T) {
	bad := cost()
	bad.Trigger, bad.FlowEncoding, bad.Action, bad.ConfidenceThreshold, bad.SLASeconds = " x", "@a#b!c", "", 1.5, -1
	bad.ValidFrom, bad.ValidUntil = time.Unix(2, 0), time.Unix(1, 0)
	bad.Parameters = map[string]any{"n": math.Inf(1)}
	nameless, long := cost(), cost()
	nameless.Trigger, long.Trigger = "", strings.Repeat("x", messages.MaxTextBytes+1)
	_, err := NewBook([]Agreement{bad, nameless, long, cost(), cost()})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"agreement 1 ( x): trigger: must be one line", "flow_encoding: position 6", "action: is required", "confidence_threshold: 1.5",
		"sla_seconds: -1", "valid_from: must lie before", "parameters: ", "agreement 2 (): trigger: is required", "must be at most 1024 bytes",
		"agreement 5 ([Cost Analysis]): trigger: is taken",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	for _, nan := range []Agreement{{ConfidenceThreshold: math.NaN()}, {SLASeconds: math.NaN()}} {
		if _, err := NewBook([]Agreement{nan}); err == nil || !strings.Contains(err.Error(), "NaN") {
			t.Errorf("not a number: %v", err)
		}
	}
}

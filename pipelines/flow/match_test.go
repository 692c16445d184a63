package flow

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func six(t *testing.T, more ...string) *Book {
	t.Helper()
	var all []Agreement
	for _, trigger := range append([]string{
		"[Performance Test]", "[Cost Analysis]", "[Error Analysis]", "[Integration Test]", "[Scalability Test]", "[Security Test]",
	}, more...) {
		a := cost()
		a.Trigger = trigger
		all = append(all, a)
	}
	return mustBook(t, all...)
}

func TestTextsMeanTriggers(t *testing.T) {
	const none, several = "", "several"
	book := six(t, "[Monthly Cost Analysis]", "[Änderung prüfen]", "[Review]")
	for _, c := range []struct {
		text, want string
		how        How
	}{
		// Exactly.
		{"[Performance Test]", "[Performance Test]", HowExact},
		{"[Cost Analysis]", "[Cost Analysis]", HowExact},
		{"  [Error Analysis]\n", "[Error Analysis]", HowExact},
		{"[Änderung prüfen]", "[Änderung prüfen]", HowExact},
		{"[Monthly Cost Analysis]", "[Monthly Cost Analysis]", HowExact},
		// Its words, whole and one after the other.
		{"Integration Test", "[Integration Test]", HowContained},
		{"integration test", "[Integration Test]", HowContained},
		{"[integration test]", "[Integration Test]", HowContained},
		{"INTEGRATION-TEST", "[Integration Test]", HowContained},
		{"please run the [Security Test] tonight", "[Security Test]", HowContained},
		{"please run the security test tonight.", "[Security Test]", HowContained},
		{"Security\nTest", "[Security Test]", HowContained},
		{"(scalability test)", "[Scalability Test]", HowContained},
		{"a scalability test, with a hundred users", "[Scalability Test]", HowContained},
		{"do the monthly cost analysis", "[Monthly Cost Analysis]", HowContained},
		{"our [Monthly Cost Analysis] of May", "[Monthly Cost Analysis]", HowContained},
		{"cost analysis per month", "[Cost Analysis]", HowContained},
		{"bitte die änderung prüfen", "[Änderung prüfen]", HowContained},
		{"review", "[Review]", HowContained},
		{"a Review: of this contract", "[Review]", HowContained},
		{strings.Repeat("word ", 300) + "error analysis", "[Error Analysis]", HowContained},
		// Parts of words are none, nor words that others stand between.
		{"contest", none, ""},
		{"integration contest", none, ""},
		{"disintegration test", none, ""},
		{"Integration Tests", none, ""},
		{"integration of a test", none, ""},
		{"test integration", none, ""},
		{"reviewer", none, ""},
		{"preview", none, ""},
		{"reviews", none, ""},
		{"insecurity test", none, ""},
		{"costanalysis", none, ""},
		{"cost-benefit analysis", none, ""},
		{"cost, then an analysis", none, ""},
		{"performance testing", none, ""},
		{"the latest performance", none, ""},
		{"änderungen prüfen", none, ""},
		// Something else.
		{"", none, ""},
		{"   ", none, ""},
		{"[]", none, ""},
		{"[[[]]]", none, ""},
		{"!?", none, ""},
		{"hello", none, ""},
		{"test", none, ""},
		{"analysis", none, ""},
		{"[Test]", none, ""},
		{"[Unknown Operation]", none, ""},
		{"what does the cost of an analysis depend on?", none, ""},
		{"Sécurité Test", none, ""},
		{"bypass surgery", none, ""},
		{"errors analysed", none, ""},
		{"\x00\xff[Cost", none, ""},
		{strings.Repeat("x", 100_000), none, ""},
		{strings.Repeat("word ", 2000) + "error analysis", none, ""}, // behind what is looked at
		{"'; DROP TABLE agreement; --", none, ""},
		// Several are none.
		{"[Cost Analysis] and [Error Analysis]", several, ""},
		{"cost analysis, error analysis", several, ""},
		{"run the integration test and the security test", several, ""},
		{"review the security test", several, ""},
		{"[Security Test] [Scalability Test] [Performance Test]", several, ""},
		{"monthly cost analysis and error analysis", several, ""},
		// Its own words do not make a trigger ambiguous that holds another's.
		{"Monthly Cost Analysis, please", "[Monthly Cost Analysis]", HowContained},
	} {
		m := book.Match(c.text)
		switch {
		case c.want == several:
			if !m.Ambiguous || m.Trigger != "" || len(m.Candidates) < 2 {
				t.Errorf("%.60q: %+v, want several", c.text, m)
			}
		case m.Trigger != c.want || m.How != c.how || m.Ambiguous:
			t.Errorf("%.60q: %+v, want %q %s", c.text, m, c.want, c.how)
		case c.how == HowExact && m.Confidence != 1, c.how == HowContained && (m.Confidence < ContainedConfidence || m.Confidence >= 1):
			t.Errorf("%.60q: confidence %v", c.text, m.Confidence)
		}
	}
}

func TestWhatIsNearATriggerIsShown(t *testing.T) {
	book := six(t)
	for text, want := range map[string]string{
		"[Cost Analysys]": "[Cost Analysis]", "Integration Tests": "[Integration Test]", "test integration": "[Integration Test]",
		"securty test": "[Security Test]", "scalability": "[Scalability Test]",
	} {
		m := book.Match(text)
		if m.Trigger != "" || len(m.Candidates) == 0 || m.Candidates[0].Trigger != want || m.Candidates[0].How != HowSimilar {
			t.Errorf("%s: %+v", text, m)
		}
	}
	if m := book.Match("hello"); len(m.Candidates) != 0 {
		t.Errorf("got %+v", m)
	}
}

func TestAnAgreementsOwnThresholdHolds(t *testing.T) {
	lenient, strict := cost(), cost()
	lenient.Trigger, lenient.ConfidenceThreshold = "[Error Analysis]", 0.6
	strict.ConfidenceThreshold = 1
	book := mustBook(t, lenient, strict)
	for text, want := range map[string]string{
		"[Cost Analysis]": "[Cost Analysis]", "the cost analysis": "", "eror analysis": "[Error Analysis]", "analysis error": "[Error Analysis]",
	} {
		if m := book.Match(text); m.Trigger != want {
			t.Errorf("%s: %+v", text, m)
		}
	}
}

func TestAMatchHoldsTogether(t *testing.T) {
	book := six(t, "[Test]", "[Very Long Trigger Of Many Words]")
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"[", "]", "cost", "Analysis", "test", "very", "long", "Integration", " ", "ö", "\xff", "testé"}), 0, 30).Draw(t, "words"), " ")
		m := book.Match(text)
		if (m.Trigger != "") == m.Ambiguous && m.Trigger != "" || len(m.Candidates) > mostCandidates {
			t.Fatalf("%q: %+v", text, m)
		}
		for _, c := range m.Candidates {
			if c.Confidence < leastShown || c.Confidence > 1 || c.How == HowSimilar && c.Confidence >= ContainedConfidence {
				t.Fatalf("%q: %+v", text, c)
			}
		}
		if m.Trigger != "" && !slices.ContainsFunc(m.Candidates, func(c Candidate) bool { return c.Trigger == m.Trigger && c.Reaches() }) {
			t.Fatalf("%q: %+v", text, m)
		}
		if trigger := rapid.SampledFrom(book.Triggers()).Draw(t, "trigger"); book.Match(trigger).Trigger != trigger {
			t.Fatalf("%s does not mean itself", trigger)
		}
	})
}

func TestEncodingIsReadAsItIsPrinted(t *testing.T) {
	segment := rapid.StringMatching(`[a-z0-9_]{1,12}`)
	rapid.Check(t, func(t *rapid.T) {
		e := Encoding{segment.Draw(t, "entity"), segment.Draw(t, "category"), segment.Draw(t, "action"), segment.Draw(t, "object")}
		if read, err := ParseEncoding(e.String()); err != nil || read != e {
			t.Fatalf("%s became %+v, %v", e, read, err)
		}
	})
}

package compliance_test

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/policy"
)

var noon = time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)

// shipped are the controls that ship, with a register filled in.
func shipped(t testing.TB) *compliance.Book {
	t.Helper()
	book, err := configs.LoadControls("")
	if err != nil {
		t.Fatal(err)
	}
	d := book.Document()
	d.Purposes = map[string]compliance.Purpose{
		"support": {LegalBasis: "contract", Data: []string{"contact"}, SpecialCategories: "none"},
		"bare":    {},
	}
	d.Transfers = map[string]string{"local": "stays here", "eu-*": "adequate", "eu-central-1": "stays in the Union"}
	d.Associates = []string{"offline"}
	d.Retention = compliance.Retention{Class: "sox", Days: 2557}
	return compiled(t, d)
}

func compiled(t testing.TB, d compliance.Document) *compliance.Book {
	t.Helper()
	book, err := compliance.Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// good is a request that passes everything.
func good() compliance.Facts {
	return compliance.Facts{
		Facts: policy.Facts{
			Tenant: "t", ID: "i", Kind: "prompt", User: "anna", Department: "finance", Purpose: "support", ReasonLength: 30, Trigger: "[x]",
			Model: "m", Data: []string{"contact"}, Now: noon, Submitted: noon.Add(-2 * time.Second),
		},
		PolicyVersion: "abc", PolicyTicket: "CHG-1", AgreementOwner: "ops", AgreementApprover: "legal", Unmasked: []string{"contact"},
		Backend: "offline", Region: "eu-central-1", Answered: true, FinishReason: "stop", AnswerLength: 12,
		Attempts: 1, CostMicroUSD: 5, ReservedMicroUSD: 10,
	}
}

func all(book *compliance.Book, f compliance.Facts, levels ...string) (results []messages.Control, failed []string) {
	for _, s := range compliance.Stages() {
		out := book.Judge(s, f, levels...)
		results = append(results, out.Results...)
		if out.Failed != "" {
			failed = append(failed, out.Failed)
		}
	}
	return results, failed
}

func stateOf(t *testing.T, results []messages.Control, id string) messages.Control {
	t.Helper()
	for _, r := range results {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("%s was not judged: %+v", id, results)
	return messages.Control{}
}

func TestEveryShippedControlPassesWhatMeetsItAndFailsWhatDoesNot(t *testing.T) {
	with := func(change func(*compliance.Facts)) compliance.Facts {
		f := good()
		change(&f)
		return f
	}
	secret := func(f *compliance.Facts) { f.Data, f.Unmasked = []string{"secret"}, nil }
	card := func(f *compliance.Facts) { f.Data, f.Unmasked = []string{"payment"}, nil }
	answerCard := func(f *compliance.Facts) { f.AnswerData = []string{"payment"} }
	person := func(f *compliance.Facts) { f.Data, f.Unmasked = []string{"identity"}, nil }
	cases := map[string]struct{ meets, breaks, off func(*compliance.Facts) }{
		"core.accountable":        {breaks: func(f *compliance.Facts) { f.Department = "unknown" }},
		"core.purpose":            {breaks: func(f *compliance.Facts) { f.Purpose = "" }, off: func(f *compliance.Facts) { f.Kind = "action" }},
		"core.secrets":            {meets: secret, breaks: func(f *compliance.Facts) { secret(f); f.Unmasked = f.Data }, off: func(*compliance.Facts) {}},
		"core.complete":           {breaks: func(f *compliance.Facts) { f.FinishReason = "length" }, off: func(f *compliance.Facts) { f.Answered = false }},
		"core.bound":              {breaks: func(f *compliance.Facts) { f.CostMicroUSD = 11 }, off: func(f *compliance.Facts) { f.ReservedMicroUSD = 0 }},
		"core.in_doubt":           {breaks: func(f *compliance.Facts) { f.InDoubt = 1 }, off: func(f *compliance.Facts) { f.Attempts = 0 }},
		"gdpr.purpose":            {breaks: func(f *compliance.Facts) { f.Purpose = "fun" }, off: func(f *compliance.Facts) { f.Data = []string{"secret"} }},
		"gdpr.legal_basis":        {breaks: func(f *compliance.Facts) { f.Purpose = "bare" }, off: func(f *compliance.Facts) { f.Data = nil }},
		"gdpr.minimisation":       {breaks: func(f *compliance.Facts) { f.Data = []string{"contact", "identity"} }, off: func(f *compliance.Facts) { f.Data = nil }},
		"gdpr.special_categories": {off: func(f *compliance.Facts) { f.Data = nil }},
		"gdpr.transfer":           {breaks: func(f *compliance.Facts) { f.Region = "us-east-1" }, off: func(f *compliance.Facts) { f.Unmasked = nil }},
		"gdpr.record":             {breaks: func(f *compliance.Facts) { f.User = "unknown" }, off: func(f *compliance.Facts) { f.Answered = false }},
		"sox.four_eyes":           {breaks: func(f *compliance.Facts) { f.AgreementApprover = "ops" }, off: func(f *compliance.Facts) { f.Trigger = "" }},
		"sox.reason":              {breaks: func(f *compliance.Facts) { f.ReasonLength = 19 }},
		"sox.policy_ticket":       {breaks: func(f *compliance.Facts) { f.PolicyTicket = "" }, off: func(f *compliance.Facts) { f.PolicyVersion = "" }},
		"sox.retention":           {},
		"ai_act.person":           {breaks: func(f *compliance.Facts) { f.User = "unknown" }},
		"ai_act.period":           {breaks: func(f *compliance.Facts) { f.Submitted = noon.Add(time.Hour) }, off: func(f *compliance.Facts) { f.Answered = false }},
		"ai_act.system":           {off: func(f *compliance.Facts) { f.Answered = false }},
		"ai_act.retention":        {},
		"pci.masked":              {meets: card, breaks: func(f *compliance.Facts) { card(f); f.Unmasked = f.Data }, off: func(*compliance.Facts) {}},
		"pci.answer":              {meets: answerCard, breaks: func(f *compliance.Facts) { answerCard(f); f.AnswerUnmasked = f.AnswerData }, off: func(*compliance.Facts) {}},
		"pci.retention":           {},
		"hipaa.user":              {breaks: func(f *compliance.Facts) { f.User = "unknown" }},
		"hipaa.minimum":           {meets: person, breaks: func(f *compliance.Facts) { person(f); f.Unmasked = f.Data }, off: func(*compliance.Facts) {}},
		"hipaa.associate":         {breaks: func(f *compliance.Facts) { f.Backend = "openai" }, off: func(f *compliance.Facts) { f.Unmasked = []string{"secret"} }},
		"hipaa.retention":         {},
	}
	book := shipped(t)
	controls, err := book.Controls("regulated")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range controls {
		t.Run(c.ID, func(t *testing.T) {
			want, known := cases[c.ID]
			if !known {
				t.Fatal("no case for it")
			}
			try := func(change func(*compliance.Facts), state string) {
				t.Helper()
				if change == nil {
					return
				}
				results, failed := all(book, with(change), "regulated")
				got := stateOf(t, results, c.ID)
				if got.State != state {
					t.Errorf("is %s (%s), want %s", got.State, got.Evidence, state)
				}
				if blocked := slices.Contains(failed, c.ID); c.Gate && state == compliance.StateFail && len(failed) == 0 || blocked && state != compliance.StateFail {
					t.Errorf("gates that failed: %v", failed)
				}
				if got.Evidence == "" {
					t.Error("shows no evidence")
				}
				for _, secret := range []string{"anna", "finance"} {
					if strings.Contains(got.Evidence, secret) {
						t.Errorf("shows a name: %s", got.Evidence)
					}
				}
			}
			if want.meets == nil {
				want.meets = func(*compliance.Facts) {}
			}
			try(want.meets, compliance.StatePass)
			try(want.breaks, compliance.StateFail)
			try(want.off, compliance.StateNotApplicable)
		})
	}
}

func TestWhatNobodyHasSaidIsUnknown(t *testing.T) {
	d := shipped(t).Document()
	d.Retention = compliance.Retention{}
	f := good()
	f.Purpose, f.AgreementApprover = "bare", ""
	results, _ := all(compiled(t, d), f, "regulated")
	for _, id := range []string{"sox.retention", "ai_act.retention", "pci.retention", "hipaa.retention", "gdpr.special_categories", "sox.four_eyes"} {
		if got := stateOf(t, results, id); got.State != compliance.StateUnknown || !strings.Contains(got.Evidence, "missing: ") {
			t.Errorf("%s is %s (%s), want unknown", id, got.State, got.Evidence)
		}
	}
}

func TestTheLongestPatternOfARegionCounts(t *testing.T) {
	for region, want := range map[string]string{"eu-central-1": "transfer=stays in the Union", "eu-west-3": "transfer=adequate", "us-east-1": "missing: transfer", "": "missing: region, transfer"} {
		f := good()
		f.Region = region
		out := shipped(t).Judge(compliance.StageCall, f, "gdpr")
		if got := stateOf(t, out.Results, "gdpr.transfer"); !strings.Contains(got.Evidence, want) {
			t.Errorf("%q: %s, want %s", region, got.Evidence, want)
		}
	}
}

func TestLevelsAddUp(t *testing.T) {
	book := shipped(t)
	count := func(levels ...string) int {
		t.Helper()
		controls, err := book.Controls(levels...)
		if err != nil {
			t.Fatal(err)
		}
		return len(controls)
	}
	core, sox, pci := count("standard"), count("sox"), count("pci")
	if got := count("sox", "pci"); got != sox+pci-core {
		t.Errorf("sox and pci are %d controls, want %d", got, sox+pci-core)
	}
	if got := count("none", ""); got != 0 {
		t.Errorf("none has %d controls", got)
	}
	if got := count("sox", "sox"); got != sox {
		t.Errorf("sox twice is %d controls, want %d", got, sox)
	}
	out := book.Judge(compliance.StageBefore, good(), "standard", "strange")
	if out.Failed == "" || out.Err == nil {
		t.Errorf("a level that there is not: %+v", out)
	}
}

func TestWhatCannotBeEvaluatedDeniesBeItAGateOrNot(t *testing.T) {
	for _, when := range []string{`findings["EMAIL_ADDRESS"] > 0`, `1 / turns > 0`, `data[3] == "x"`, `int(user) > 1`, `now.getHours(purpose) == 1`} {
		for _, at := range []string{"applies", "pass"} {
			c := compliance.Control{ID: "x.y", Says: "s", Stages: compliance.Stages(), Severity: compliance.SeverityLow, Pass: "true", Applies: when}
			if at == "pass" {
				c.Applies, c.Pass = "", when
			}
			book := compiled(t, document(c))
			out := book.Judge(compliance.StageEnd, good(), "l")
			if out.Failed != "x.y" || out.Err == nil || out.Results[0].State != compliance.StateFail {
				t.Errorf("%s %s: %+v", at, when, out)
			}
			if s := compliance.Score(out.Results); s.Score == nil || *s.Score > compliance.Cap {
				t.Errorf("%s %s: score %v", at, when, s)
			}
		}
	}
}

func document(controls ...compliance.Control) compliance.Document {
	return compliance.Document{Levels: map[string][]string{"l": {"x"}}, Sets: []compliance.Set{{ID: "x", Title: "t", Controls: controls}}}
}

func TestFaultsAreAllToldWithTheirPlace(t *testing.T) {
	d := document(
		compliance.Control{ID: "y.a", Says: "", Stages: nil, Severity: "dire", Pass: "user", Applies: "1 +", Evidence: []string{"nobody"}, Missing: "pass"},
		compliance.Control{ID: "x.b", Says: "s", Stages: []compliance.Stage{"before", "before", "never"}, Severity: "low", Pass: "true"},
		compliance.Control{ID: "x.b", Says: "s\nt", Stages: []compliance.Stage{"end"}, Severity: "low", Pass: "true"},
	)
	d.Levels["bad level"] = []string{"z"}
	d.Purposes = map[string]compliance.Purpose{"p": {Data: []string{"blood"}}}
	d.Retention.Days = -1
	_, err := compliance.Compile(d)
	for _, want := range []string{
		"sets[0].controls[0].id: must begin with x.", "sets[0].controls[0].says: is required", "sets[0].controls[0].stages: is required",
		"sets[0].controls[0].severity", "sets[0].controls[0].pass: must be true or false", "sets[0].controls[0].applies", "sets[0].controls[0].evidence[0]",
		"sets[0].controls[0].missing", "sets[0].controls[1].stages[1]", "sets[0].controls[1].stages[2]", "sets[0].controls[2].id: x.b is there twice",
		"sets[0].controls[2].says: must be one line", "levels.bad level: ", "levels.bad level[0]", "purposes.p.data[0]", "retention.days",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
	if _, is := errors.AsType[*compliance.Fault](err); !is {
		t.Errorf("%T is no fault", err)
	}
}

func TestTheScoreIsThatOfAnIndependentCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "n")
		results := make([]messages.Control, n)
		passed, applicable, known, blocked := 0.0, 0.0, 0.0, false
		for i := range results {
			r := messages.Control{
				ID:       rapid.SampledFrom([]string{"a.x", "b.x", "c.x"}).Draw(t, "id"),
				State:    rapid.SampledFrom([]string{"pass", "fail", "unknown", "not_applicable"}).Draw(t, "state"),
				Severity: rapid.SampledFrom([]string{"critical", "high", "medium", "low"}).Draw(t, "severity"),
				Gate:     rapid.Bool().Draw(t, "gate"),
			}
			results[i] = r
			w := map[string]float64{"critical": 10, "high": 5, "medium": 2, "low": 1}[r.Severity]
			if r.State == "not_applicable" {
				continue
			}
			applicable += w
			if r.State == "pass" {
				passed += w
			}
			if r.State != "unknown" {
				known += w
			}
			blocked = blocked || r.State == "fail" && r.Gate
		}
		got := compliance.Score(results)
		switch {
		case n == 0:
			if got != nil {
				t.Fatalf("no controls score %+v", got)
			}
			return
		case applicable == 0:
			if got.Score != nil || got.Coverage != nil {
				t.Fatalf("nothing applies, and the score is %v", *got.Score)
			}
			return
		}
		want := passed / applicable
		if blocked {
			want = math.Min(want, 0.49)
		}
		if math.Abs(*got.Score-want) > 0.0001 || math.Abs(*got.Coverage-known/applicable) > 0.0001 {
			t.Fatalf("score %v of coverage %v, want %v of %v", *got.Score, *got.Coverage, want, known/applicable)
		}
		sum := 0
		for _, f := range got.Frameworks {
			sum += f.Passed + f.Failed + f.Unknown + f.NotApplicable
		}
		if sum != n || got.Passed+got.Failed+got.Unknown+got.NotApplicable != n {
			t.Fatalf("%d of %d controls are counted", sum, n)
		}
		again := compliance.Score(slices.Clone(results))
		if *again.Score != *got.Score {
			t.Fatal("the same evidence gives another score")
		}
	})
}

func TestWhatComesLaterIsDue(t *testing.T) {
	book := shipped(t)
	if got := book.Due(compliance.StageCall, "pci"); !slices.Equal(got, []string{"core.complete", "core.bound", "core.in_doubt", "pci.answer", "pci.retention"}) {
		t.Errorf("due after call: %v", got)
	}
	e := &messages.Envelope{Corporate: &messages.CorporateSection{ControlsDue: []string{"pci.answer"}}}
	if got := e.Controls(); len(got) != 1 || got[0].State != compliance.StateNotApplicable || !strings.Contains(got[0].Evidence, "ended before") {
		t.Errorf("a request that ended before: %+v", got)
	}
}

func TestTheShippedFileIsTheDocumentedOne(t *testing.T) {
	data, err := os.ReadFile("../../configs/controls.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"no legal advice", "before: layer 1", "critical 10, high 5, medium 2, low 1"} {
		if !strings.Contains(string(data), word) {
			t.Errorf("it does not say %q", word)
		}
	}
}

// BenchmarkPolicyAndControls is what rules and controls cost a request: 20 rules, and every control of every stage that ships. It
// reports the quantiles of single requests.
func BenchmarkPolicyAndControls(b *testing.B) {
	rules := make([]policy.Rule, 20)
	for i := range rules {
		rules[i] = policy.Rule{ID: string(rune('a' + i)), Effect: policy.EffectDeny, When: `department == "d" && "payment" in data && bound_microusd > 7`}
	}
	p, err := policy.Compile(policy.Bundle{Name: "b", Rules: rules})
	if err != nil {
		b.Fatal(err)
	}
	for _, level := range []string{"standard", "regulated"} {
		b.Run(level, func(b *testing.B) {
			book, f := shipped(b), good()
			took := make([]time.Duration, 0, b.N)
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				if p.Decide(&f.Facts).Denied != "" {
					b.Fatal("denied")
				}
				for _, s := range compliance.Stages() {
					if out := book.Judge(s, f, level); out.Failed != "" {
						b.Fatalf("%+v", out)
					}
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-us")
		})
	}
}

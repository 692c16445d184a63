package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"flowgate/pipelines/policy"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func bundle(rules ...policy.Rule) policy.Bundle { return policy.Bundle{Name: "test", Rules: rules} }

func deny(id, when string) policy.Rule {
	return policy.Rule{ID: id, Effect: policy.EffectDeny, When: when, Because: "it is " + id}
}

func compiled(t testing.TB, b policy.Bundle) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDenyWins(t *testing.T) {
	p := compiled(t, bundle(
		policy.Rule{ID: "watch", Effect: policy.EffectFlag, When: `department == "hr"`},
		deny("first", `"payment" in data`), deny("second", `bound_microusd > 5`),
	))
	for _, c := range []struct {
		facts   policy.Facts
		denied  string
		flagged []string
	}{
		{policy.Facts{}, "", nil},
		{policy.Facts{Department: "hr"}, "", []string{"watch"}},
		{policy.Facts{Department: "hr", Data: []string{"contact", "payment"}, BoundMicroUSD: 9}, "first", []string{"watch"}},
		{policy.Facts{BoundMicroUSD: 9}, "second", nil},
	} {
		out := p.Decide(&c.facts)
		if out.Denied != c.denied || !reflect.DeepEqual(out.Flagged, c.flagged) || out.Failed != nil || c.denied != "" && out.Because != "it is "+c.denied {
			t.Errorf("%+v: %+v", c.facts, out)
		}
	}
	var none *policy.Policy
	if out := none.Decide(&policy.Facts{}); out.Denied != "" || none.Version() != "" {
		t.Errorf("no policy decides %+v", out)
	}
}

// TestEveryFactIsGiven: each name can be used, and has the value of its field.
func TestEveryFactIsGiven(t *testing.T) {
	f := policy.Facts{
		Tenant: "t", ID: "i", Class: "rt", Kind: "prompt", Priority: "low", User: "u", Department: "d", Purpose: "p", ReasonLength: 3, Trigger: "[x]",
		Model: "m", Temperature: 0.5, MaxTokens: 7, PromptBytes: 8, Turns: 2, Images: 5, Tools: 6, Inputs: 11, BoundMicroUSD: 9, Findings: map[string]int64{"US_SSN": 4}, Data: []string{"identity"},
		Now: noon, Submitted: noon.Add(-time.Hour),
	}
	expressions := map[string]string{
		"tenant": `tenant == "t"`, "id": `id == "i"`, "class": `class == "rt"`, "kind": `kind == "prompt"`, "priority": `priority == "low"`,
		"user": `user == "u"`, "department": `department == "d"`, "purpose": `purpose == "p"`, "reason_length": `reason_length == 3`, "trigger": `trigger == "[x]"`,
		"model": `model.startsWith("m")`, "temperature": `temperature < 0.6`, "max_tokens": `max_tokens == 7`, "prompt_bytes": `prompt_bytes == 8`, "turns": `turns == 2`,
		"images": `images == 5`, "tools": `tools == 6`, "inputs": `inputs == 11`,
		"bound_microusd": `bound_microusd == 9`, "findings": `"US_SSN" in findings && findings["US_SSN"] == 4`, "data": `data.exists(d, d == "identity")`,
		"now": `now.getDayOfWeek("Europe/Berlin") == 6 && now.getHours() == 12`, "submitted": `now - submitted == duration("1h")`,
	}
	for _, fact := range policy.FactList() {
		if out := compiled(t, bundle(deny("x", expressions[fact.Name]))).Decide(&f); out.Denied != "x" || out.Failed != nil {
			t.Errorf("%s: %+v", fact.Name, out)
		}
		delete(expressions, fact.Name)
	}
	if len(expressions) > 0 {
		t.Errorf("no such facts: %v", expressions)
	}
}

func TestWhatCannotBeEvaluatedDenies(t *testing.T) {
	for _, when := range []string{
		`findings["EMAIL_ADDRESS"] > 0`, `1 / turns > 0`, `data[3] == "x"`, `now.getHours(purpose) == 1`, `timestamp(purpose) < now`, `int(user) > 1`,
		`duration(purpose) > duration("1h")`,
	} {
		out := compiled(t, bundle(deny("x", when))).Decide(&policy.Facts{Now: noon, Purpose: "no/zone"})
		if out.Denied != "x" || out.Failed == nil || out.Because != "" {
			t.Errorf("%s: %+v", when, out)
		}
	}
	flag := policy.Rule{ID: "f", Effect: policy.EffectFlag, When: `1 / turns > 0`}
	if out := compiled(t, bundle(flag)).Decide(&policy.Facts{}); out.Denied != "f" || out.Failed == nil {
		t.Errorf("a rule that flags and fails: %+v", out)
	}
}

func TestBadBundlesAreRefusedByPlace(t *testing.T) {
	for name, c := range map[string]struct {
		bundle policy.Bundle
		want   string
	}{
		"no name":           {policy.Bundle{Rules: []policy.Rule{deny("x", "true")}}, "name: must be a-z"},
		"an unknown fact":   {bundle(deny("x", "usr == 'a'")), "rules[0].when: ERROR: <input>:1:1: undeclared reference to 'usr'"},
		"no bool":           {bundle(deny("x", "turns")), "rules[0].when: must be true or false, is of type int"},
		"no expression":     {bundle(deny("x", "")), "rules[0].when: "},
		"a syntax error":    {bundle(deny("x", "turns >")), "rules[0].when: ERROR: <input>:1:8"},
		"of two types":      {bundle(deny("x", "turns == user")), "rules[0].when: ERROR"},
		"a loop of loops":   {bundle(deny("x", loop(4))), "rules[0].when: could cost"},
		"too deep":          {bundle(deny("x", strings.Repeat("(", 100)+"true"+strings.Repeat(")", 100))), "rules[0].when: ERROR"},
		"too long":          {bundle(deny("x", strings.Repeat("true && ", 1000)+"true")), "rules[0].when: has 8004 bytes, may have 4096"},
		"an id twice":       {bundle(deny("x", "true"), deny("x", "true")), "rules[1].id: x is there twice"},
		"an id of spaces":   {bundle(deny("x y", "true")), "rules[0].id: must be a-z"},
		"an unknown effect": {bundle(policy.Rule{ID: "x", Effect: "allow", When: "true"}), "rules[0].effect: must be deny or flag"},
		"two lines":         {bundle(policy.Rule{ID: "x", Effect: "deny", When: "true", Because: "a\nb"}), "rules[0].because: must be one line"},
		"a case of no rule": {policy.Bundle{Name: "n", Rules: []policy.Rule{deny("x", "true")}, Cases: []policy.Case{{Name: "a", Denied: "y"}}}, "cases[0].denied: must be the id"},
		"a nameless case":   {policy.Bundle{Name: "n", Cases: []policy.Case{{}}}, "cases[0].name: must be there"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Compile(c.bundle)
			var where *policy.Fault
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.As(err, &where) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// loop is an expression of so many loops in one another.
func loop(n int) string {
	if n == 0 {
		return "true"
	}
	return fmt.Sprintf("findings.all(k%d, %s)", n, loop(n-1))
}

// TestAnExpensiveEvaluationIsCut: what the estimate let through is cut at the same bound.
func TestAnExpensiveEvaluationIsCut(t *testing.T) {
	f := policy.Facts{Findings: map[string]int64{}}
	for i := range 5000 { // more than the estimate supposes
		f.Findings[fmt.Sprint(i)] = 1
	}
	out := compiled(t, bundle(deny("x", `findings.all(k, findings[k] == 1 && k != "x")`))).Decide(&f)
	if out.Denied != "x" || out.Failed == nil || !strings.Contains(out.Failed.Error(), "cost") {
		t.Errorf("got %+v", out)
	}
}

func TestCasesTellWhatDiffers(t *testing.T) {
	b := bundle(deny("no-hr", `department == "hr"`), policy.Rule{ID: "big", Effect: policy.EffectFlag, When: "max_tokens > 100"})
	b.Cases = []policy.Case{
		{Name: "hr is denied", Facts: policy.Facts{Department: "hr"}, Denied: "no-hr"},
		{Name: "others are not", Facts: policy.Facts{Department: "it", MaxTokens: 200}, Flagged: []string{"big"}},
		{Name: "wrong", Facts: policy.Facts{Department: "it"}, Denied: "no-hr"},
		{Name: "wrong too", Facts: policy.Facts{Department: "hr"}},
	}
	var ok []bool
	for _, r := range compiled(t, b).Test() {
		ok = append(ok, r.OK)
	}
	if !reflect.DeepEqual(ok, []bool{true, true, false, false}) {
		t.Errorf("cases went %v", ok)
	}
}

func TestTheVersionIsTheContent(t *testing.T) {
	a, b := bundle(deny("x", "true")), bundle(deny("x", "true"))
	if a.Version() != b.Version() || len(a.Version()) != 12 {
		t.Errorf("versions %s and %s", a.Version(), b.Version())
	}
	b.Rules[0].Because = "other"
	if a.Version() == b.Version() {
		t.Error("another bundle has the same version")
	}
}

// TestTenThousandDecideAsAnOracle compares with the same rules written in Go.
func TestTenThousandDecideAsAnOracle(t *testing.T) {
	p := compiled(t, bundle(
		deny("no-cards-abroad", `"payment" in data && !(purpose in ["fraud_review", "chargeback"])`),
		deny("night", `class == "batch" ? false : (now.getHours("Europe/Berlin") >= 22 || now.getHours("Europe/Berlin") < 6)`),
		deny("dear", `department != "research" && bound_microusd > 500000`),
		deny("many", `findings.exists(k, findings[k] > 3)`),
		deny("trap", `turns == 7 && 1 / (turns - 7) > 0`),
		policy.Rule{ID: "unknown", Effect: policy.EffectFlag, When: `user == "unknown" || size(user) > 20`},
		policy.Rule{ID: "gpt", Effect: policy.EffectFlag, When: `model.matches("^gpt-[0-9]+") && temperature > 1.0`},
	))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	for range 10_000 {
		f := policy.Facts{
			Class: pick("rt", "std", "batch"), User: pick("unknown", "anna", strings.Repeat("x", 21)), Department: pick("research", "hr", "it"),
			Purpose: pick("", "fraud_review", "chargeback", "support"), Model: pick("gpt-5", "claude", "xgpt-5", "gpt-x"), Temperature: float64(rng.IntN(21)) / 10,
			BoundMicroUSD: rng.Int64N(1_000_000), Turns: rng.Int64N(9), Now: noon.Add(time.Duration(rng.IntN(365*24)) * time.Hour), Findings: map[string]int64{},
		}
		for range rng.IntN(3) {
			f.Findings[pick("CREDIT_CARD", "EMAIL_ADDRESS", "US_SSN")] = rng.Int64N(6)
		}
		for range rng.IntN(3) {
			f.Data = append(f.Data, pick("payment", "contact", "identity"))
		}
		denied, flagged := oracle(&f, berlin)
		out := p.Decide(&f)
		if out.Denied != denied || !reflect.DeepEqual(out.Flagged, flagged) || (out.Failed != nil) != (denied == "trap") {
			t.Fatalf("%+v: %+v, the oracle says %q and %v", f, out, denied, flagged)
		}
	}
}

func oracle(f *policy.Facts, berlin *time.Location) (denied string, flagged []string) {
	payment := false
	for _, d := range f.Data {
		payment = payment || d == "payment"
	}
	hour, many := f.Now.In(berlin).Hour(), false
	for _, n := range f.Findings {
		many = many || n > 3
	}
	switch {
	case payment && f.Purpose != "fraud_review" && f.Purpose != "chargeback":
		denied = "no-cards-abroad"
	case f.Class != "batch" && (hour >= 22 || hour < 6):
		denied = "night"
	case f.Department != "research" && f.BoundMicroUSD > 500_000:
		denied = "dear"
	case many:
		denied = "many"
	case f.Turns == 7:
		denied = "trap"
	}
	if f.User == "unknown" || len(f.User) > 20 {
		flagged = append(flagged, "unknown")
	}
	if f.Model == "gpt-5" && f.Temperature > 1 {
		flagged = append(flagged, "gpt")
	}
	return denied, flagged
}

func FuzzCompile(f *testing.F) {
	for _, when := range []string{"true", `user == "a"`, loop(3), `"a".matches("(a+)+$")`, `[1,2,3].map(x, x*x).exists(x, x > turns)`} {
		f.Add(when)
	}
	f.Fuzz(func(t *testing.T, when string) {
		p, err := policy.Compile(bundle(deny("x", when)))
		if err != nil {
			return
		}
		p.Decide(&policy.Facts{User: "anna", Findings: map[string]int64{"a": 1}, Data: []string{"payment"}, Now: noon, Submitted: noon})
	})
}

func BenchmarkDecide(b *testing.B) {
	rules := make([]policy.Rule, 20)
	for i := range rules {
		rules[i] = deny(fmt.Sprintf("r%d", i), fmt.Sprintf(`department == "d%d" && "payment" in data && bound_microusd > %d`, i, i))
	}
	p := compiled(b, bundle(rules...))
	f := policy.Facts{Department: "d21", Data: []string{"contact"}, BoundMicroUSD: 7}
	b.ReportAllocs()
	for b.Loop() {
		if p.Decide(&f).Denied != "" {
			b.Fatal("denied")
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
)

func TestComparisonsWithoutSenseAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--models", "a"}, "--prompt or --request"},
		{[]string{"--models", "a", "--prompt", "x", "--request", "y"}, "--prompt or --request"},
		{[]string{"--prompt", "x"}, "names 0 models"},
		{[]string{"--prompt", "x", "--models", strings.Repeat("a,", maxCompared) + "b"}, "must be 1 to 16"},
		{[]string{"--prompt", "x", "--models", "a,b, a"}, "names a twice"},
		{[]string{"--prompt", "x", "--models", "a,,b"}, "empty name"},
		{[]string{"--prompt", "x", "--models", "a", "--temperature", "3"}, "temperature"},
		{[]string{"--prompt", "x", "--models", "a", "--class", "slow"}, "class"},
		{[]string{"--models", "a", "--request", dir + "/missing"}, "missing"},
		{[]string{"--prompt", "x", "--models", "a", "--model", "b"}, "unknown flag: --model"},
		{[]string{"--prompt", "x", "--models", "a", "surplus"}, "unknown command"},
	} {
		if got := flowgate(t, dir, append([]string{"compare", "--reason", "a test of comparing"}, c.args...)...); got.code != exitUsage || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%v: code %d, %s", c.args, got.code, got.stderr)
		}
	}
	if got := flowgate(t, dir, "compare", "--reason", "a test of comparing", "--prompt", "x", "--models", "a"); got.code != exitEnvironment {
		t.Errorf("without a broker: code %d, %s", got.code, got.stderr)
	}
}

func TestCompareAsksEveryModelOnce(t *testing.T) {
	t.Parallel()
	up := start(t, stateFolder(t))
	same := []string{"compare", "--reason", "a test of comparing", "--prompt", "Say OK", "--department", "tests"}
	good := flowgate(t, up.State, append(same, "--models", "claude-3-haiku,claude-3-sonnet", "--show", "--system", "Be brief.")...)
	if good.code != exitDone {
		t.Fatalf("%+v", good)
	}
	for _, want := range []string{"MODEL", "claude-3-haiku   offline  success", "2 of 2 succeeded", "cheapest  claude-3-haiku", "fastest   claude-3-", "--- claude-3-sonnet\n[offline backend, no model]"} {
		if !strings.Contains(good.stdout, want) {
			t.Errorf("%q is not said:\n%s", want, good.stdout)
		}
	}
	bad := flowgate(t, up.State, append(same, "--models", "claude-3-sonnet,no-such-model", "--json")...)
	var r comparison
	if err := json.Unmarshal([]byte(bad.stdout), &r); err != nil || bad.code != exitFailed {
		t.Fatalf("%v %+v", err, bad)
	}
	if len(r.Models) != 2 || r.Totals.Requests != 2 || r.Totals.Succeeded != 1 || r.Cheapest != "claude-3-sonnet" || r.Models[1].ID != r.ID+"-2" {
		t.Fatalf("%+v", r)
	}
	if one := r.Models[0].Result; one.Status != messages.StatusSuccess || one.Metadata.CostMicroUSD == 0 || r.Totals.CostMicroUSD != one.Metadata.CostMicroUSD {
		t.Errorf("%+v", one)
	}
	if one := r.Models[1].Result; one.Status != messages.StatusDenied || one.Reason != messages.ReasonModelUnknown {
		t.Errorf("%+v", one)
	}
	told := flowgate(t, up.State, append(same, "--models", "claude-3-sonnet,no-such-model")...)
	if told.code != exitFailed || !strings.Contains(told.stdout, "denied (model_unknown)") || !strings.Contains(told.stdout, "1 of 2 succeeded") {
		t.Errorf("%+v", told)
	}
}

// TestCompareTellsModelsOfOneProviderApart has three models of three prices at a fake provider.
func TestCompareTellsModelsOfOneProviderApart(t *testing.T) {
	t.Parallel()
	models := []string{"gpt-4o", "gpt-4o-mini", "gpt-4.1"}
	g := newGround(t, quickSettings+"  backends: {allowed: [openai]}\n")
	g.provided()
	g.up().ready()
	document := g.file("request.json", []byte(`{"id":"of-another","class":"rt","model":"left-out","messages":[{"role":"user","content":"Say OK"}],"audit_reason":"a test of comparing","max_tokens":50}`))
	var r comparison
	done := g.say("compare", "--request", document, "--models", strings.Join(models, ","), "--json")
	if done.read(t, &r); done.code != exitDone || len(r.Models) != 3 || r.Totals.Calls != 3 {
		t.Fatalf("%+v", done)
	}
	costs := map[string]int64{}
	for i, m := range r.Models {
		if m.Model != models[i] || m.Result.Metadata.Backend != "openai" || m.Result.Metadata.CostMicroUSD <= 0 {
			t.Errorf("%+v", m)
		}
		costs[m.Model] = m.Result.Metadata.CostMicroUSD
	}
	if len(slices.Compact(slices.Sorted(maps.Values(costs)))) != 3 || r.Cheapest != "gpt-4o-mini" {
		t.Errorf("the cheapest of %v is %s", costs, r.Cheapest)
	}
}

func TestTheCheapestIsWhoseCallWas(t *testing.T) {
	answered := func(cost int64, seconds float64, reused *messages.Reused) *messages.Result {
		return &messages.Result{State: messages.ResultDone, Status: messages.StatusSuccess, Reason: messages.ReasonOK, Metadata: &messages.ResultMetadata{
			Backend: "b", CostMicroUSD: cost, ProcessingTime: seconds, Attempts: 1, CacheHit: reused != nil, Reused: reused,
		}}
	}
	r := comparison{Models: []comparedModel{
		{Model: "dear", Result: answered(0, 0.001, &messages.Reused{From: "disk", AgeSeconds: 90, SavedMicroUSD: 50, SavedSeconds: 3})},
		{Model: "cheap", Result: answered(20, 2, nil)},
		{Model: "fast", Result: answered(0, 0, &messages.Reused{From: messages.ReusedRequest, SavedMicroUSD: 30, SavedSeconds: 1})},
		{Model: "slow", Error: "not awaited", Result: &messages.Result{State: messages.ResultPending, At: "ai"}},
		{Model: "unsent", Error: "the broker is away"},
	}}
	if err := r.sum(0); err != nil || r.Cheapest != "cheap" || r.Fastest != "fast" || r.Totals.Succeeded != 3 || r.Totals.Reused != 2 || r.Totals.SavedMicroUSD != 80 {
		t.Errorf("%v %+v", err, r)
	}
	var out strings.Builder
	if err := r.write(&out, true, 200); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hit, 1m30s", "shared", "at ai", "not sent", "  unsent: the broker is away", "2 answers reused, saved $0.000080 and 4.0 s", "cheapest  cheap, $0.000020", "fastest   fast, 1.000 s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out.String())
		}
	}
	none := comparison{Models: []comparedModel{{err: environmentError{fmt.Errorf("away")}}}}
	if err := none.sum(0); exitCode(err) != exitEnvironment {
		t.Errorf("nothing was sent: %v", err)
	}
}

func TestAnswersStandSideBySideWhereThereIsRoom(t *testing.T) {
	answer := func(model, text string) comparedModel {
		return comparedModel{Model: model, Result: &messages.Result{
			State: messages.ResultDone, Status: messages.StatusSuccess, Answer: text, Metadata: &messages.ResultMetadata{},
		}}
	}
	r := comparison{Models: []comparedModel{answer("a", "one two three four five six seven eight nine ten eleven\nend"), answer("b", strings.Repeat("雨", 30)+"\x1b[2J")}}
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, "--- a\none two three four five six seven eight nine ten eleven\nend\n--- b\n" + strings.Repeat("雨", 30) + "\\x1b[2J\n"},
		{79, "--- a\n"},
		{80, "a                                      │ b\n" +
			strings.Repeat("─", 38) + " │ " + strings.Repeat("─", 38) + "\n" +
			"one two three four five six seven      │ " + strings.Repeat("雨", 19) + "\n" +
			"eight nine ten eleven                  │ " + strings.Repeat("雨", 11) + "\\x1b[2J\n" +
			"end                                    │\n"},
	} {
		var out strings.Builder
		if err := r.writeAnswers(&out, c.width); err != nil || !strings.HasPrefix(out.String(), c.want) {
			t.Errorf("at width %d it is (%v)\n%s\nwant\n%s", c.width, err, out.String(), c.want)
		}
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/pricing"
	"flowgate/worker/workertest"
)

// tiered is a reply that names a service tier.
func tiered(reply workertest.OpenAIReply, tier string) workertest.OpenAIReply {
	reply.Body = strings.Replace(reply.Body, "{", `{"service_tier":"`+tier+`",`, 1)
	return reply
}

func TestPricesExplainComputesEveryCallAgain(t *testing.T) {
	t.Parallel()
	server := workertest.NewOpenAI(t)
	usage := workertest.OpenAIUsage{Prompt: 1000, Completion: 101, Cached: 600, Reasoning: 20}
	server.ScriptReplies("default/cached", tiered(workertest.ReplyCompletion("so", "stop", usage), "flex"))
	server.ScriptReplies("default/untold", workertest.ReplyNoUsage("so"))
	server.ScriptReplies("default/dear", tiered(workertest.ReplyAnswer("so"), "priority"))
	server.ScriptReplies("default/again", workertest.ReplyReset(), workertest.ReplyAnswer("so"))
	g := newGround(t, quickSettings+"cost_optimization: {unknown_models: dearest}\n", "OPENAI_BASE_URL="+server.URL)
	up := g.up()
	up.ready()
	for id, model := range map[string]string{"cached": "gpt-5-mini", "untold": "gpt-5-mini", "dear": "gpt-5-mini", "again": "gpt-5-mini", "unlisted": "some-model"} {
		g.say("submit", "--id", id, "--reason", "a test of prices", "--model", model, "--max-tokens", "100", "--wait", "Say OK, "+id).wants(t, exitDone)
	}
	g.say("submit", "--id", "reused", "--reason", "a test of prices", "--model", "gpt-5-mini", "--max-tokens", "100", "--wait", "Say OK, cached").wants(t, exitDone)
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })

	// 400 x 0.25 + 600 x 0.025 + 101 x 2 dollars a million
	g.say("prices", "explain", "cached").wants(t, exitDone, "cached, epoch 0: success, cost $0.000317", "call 1: openai, gpt-5-mini, known", "from 2026-09-01",
		"billed as service tier flex", "input       400     $0.25        100\n", "cache_read  600     $0.025       15\n", "output      101     $2           202\n",
		"sum 317, rounded up 317", "together $0.000317, as the record says")
	var e costExplanation
	for id, want := range map[string]struct {
		calls   int
		billing messages.Billing
	}{"untold": {1, messages.BillingInDoubt}, "dear": {1, messages.BillingInDoubt}, "again": {2, messages.BillingKnown}, "unlisted": {1, messages.BillingKnown}} {
		e = costExplanation{}
		g.say("prices", "explain", id, "--json").read(t, &e)
		if last := len(e.Calls) - 1; !e.Agrees || len(e.Calls) != want.calls || e.Calls[last].Billing != want.billing || e.CostMicroUSD == 0 || e.Calls[last].Price == nil {
			t.Errorf("%s: %+v", id, e)
		}
	}
	g.say("prices", "explain", "again").wants(t, exitDone, "in_doubt", "it costs its bound", "bound $0.")
	g.say("prices", "explain", "unlisted").wants(t, exitDone, "prices dearest-", "the dearest of the table: the model has none of its own")
	g.say("explain", "unlisted").wants(t, exitDone, "at the dearest prices of the table: the model has none")
	g.say("prices", "explain", "reused").wants(t, exitDone, "success, cost $0.000000", "the answer came from the cache", "as the record says")
	g.say("prices", "explain", "nobody").wants(t, exitFailed, "no such request has ended")
	g.say("prices", "explain", "a.b").wants(t, exitUsage)
	g.say("audit", "redecide", "--since", "1h").wants(t, exitDone) // what was held at the dearest is decided the same again
	up.stop()
}

func TestFilesThatAreNoneOfLiteLLMsAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		"{}": "has no model in the form of LiteLLM's price file",
		`{"unit":"micro-dollars per million tokens","rows":[{"model":"m","free":true}]}`: "is a price file of flowgate already, not LiteLLM's; name it as flowgate.prices_file",
		`{"a":1,"b":[]}`: "has no model in the form",
		`{"an-image":{"mode":"image_generation","litellm_provider":"openai"}}`:                                                              "",
		`{"gpt-4o":{"mode":"chat","litellm_provider":"openai","input_cost_per_token":2.5e-06,"output_cost_per_token":1e-05},"form":"none"}`: "",
	} {
		_, _, err := importPrices(written(t, content, 0o600), time.Now())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
	if _, _, err := importPrices("nosuch.json", time.Now()); err == nil || !strings.Contains(err.Error(), `opening the file "nosuch.json": no such file`) {
		t.Error(err)
	}
}

func TestACostThatDoesNotComeOutIsToldAsOne(t *testing.T) {
	table, err := pricing.NewTable([]pricing.Row{{Model: "m", Input: 1_000_000, Output: 2_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	row, _ := table.Row("m", time.Now())
	b := biller{past: &redecider{settings: map[string]*corporate.Policy{}}, now: table, version: row.Version}
	known := func(cost int64, version string) *messages.Attempt {
		return &messages.Attempt{K: 1, Model: "m", Billing: messages.BillingKnown, CostMicroUSD: cost, Usage: &messages.Usage{InputUncached: 10, Output: 1}, PriceVersion: version}
	}
	for name, c := range map[string]struct {
		attempt *messages.Attempt
		agrees  bool
	}{
		"as recorded":            {known(12, row.Version), true},
		"of an older record":     {known(12, ""), true},
		"another cost":           {known(13, row.Version), false},
		"a price that is gone":   {known(12, "gone"), false},
		"tokens that are gone":   {&messages.Attempt{K: 1, Model: "m", Billing: messages.BillingKnown, CostMicroUSD: 12}, false},
		"in doubt":               {&messages.Attempt{K: 1, Model: "m", Billing: messages.BillingInDoubt, CostMicroUSD: 99, BoundMicroUSD: 99}, true},
		"in doubt, not bound":    {&messages.Attempt{K: 1, Model: "m", Billing: messages.BillingInDoubt, CostMicroUSD: 12, BoundMicroUSD: 99}, false},
		"nothing billed":         {&messages.Attempt{K: 1, Model: "m", Billing: messages.BillingNone}, true},
		"nothing billed, and so": {&messages.Attempt{K: 1, Model: "m", Billing: messages.BillingNone, CostMicroUSD: 1}, false},
	} {
		if got := b.call(c.attempt); got.Agrees != c.agrees || got.Why == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	e := costExplanation{CostMicroUSD: 13, ComputedMicroUSD: 12, Calls: []costCall{b.call(known(13, ""))}}
	var out strings.Builder
	if err := e.write(&out); err != nil || !strings.Contains(out.String(), "NOT as recorded: the record says $0.000013") || !strings.Contains(out.String(), "but the record says") {
		t.Errorf("%v: %s", err, out.String())
	}
	for want, reused := range map[string]costExplanation{
		"the answer came from the cache":                      {Agrees: true, CacheHit: true, Reused: &messages.Reused{From: "disk"}},
		"that of an identical request, r7, which paid for it": {Agrees: true, CacheHit: true, Reused: &messages.Reused{From: messages.ReusedRequest, Leader: "r7"}},
		"no model was asked":                                  {Agrees: true},
	} {
		out.Reset()
		if err := reused.write(&out); err != nil || !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "together $0.000000, as the record says") {
			t.Errorf("%v: %s", err, out.String())
		}
	}
}

const litellmFile = `{
 "sample_spec": {"mode": "one of: chat, embedding", "input_cost_per_token": 0.0},
 "gpt-5-mini": {"mode": "chat", "litellm_provider": "openai", "input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": 2.5e-08},
 "gpt-4.1": {"mode": "chat", "litellm_provider": "openai", "input_cost_per_token": 2e-06, "output_cost_per_token": 9e-06, "cache_read_input_token_cost": 5e-07},
 "gpt-7": {"mode": "responses", "litellm_provider": "openai", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05},
 "dall-e-3": {"mode": "image_generation", "litellm_provider": "openai", "input_cost_per_pixel": 1e-08}
}`

func TestPricesAreListedAndImported(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	g.say("prices", "list").wants(t, exitDone, "MODEL", "claude-haiku-5-5", "100000  $0.5", "batch x0.5, priority x1, us x1.1")
	g.say("prices", "list", "--model", "claude-3-sonnet").wants(t, exitDone, "$3 ", "$15 ")
	g.say("prices", "list", "--model", "claude-sonnet-5-5", "--at", "2026-10-06").wants(t, exitDone, "$0.2 ")
	g.say("prices", "list", "--model", "nothing-like-it").wants(t, exitFailed, "has no price")
	g.say("prices", "list", "--at", "soon").wants(t, exitUsage, "must be a day")
	var rows []listedPrice
	g.say("prices", "list", "--json").read(t, &rows)
	if len(rows) < 90 || rows[0].Version == "" || rows[0].Source == "" {
		t.Errorf("%d rows, %+v", len(rows), rows[0])
	}

	file := g.file("litellm.json", []byte(litellmFile))
	var report priceImport
	g.say("prices", "import", file, "--dry-run", "--from", "2026-12-01", "--json").read(t, &report)
	if report.Out != "" || report.Entries != 5 || report.Same != 1 || len(report.Changed) != 1 || len(report.Added) != 1 || report.Reasons["mode"] != 2 || len(report.LeftOut) != 2 {
		t.Errorf("%+v", report)
	}
	if c := report.Changed[0]; c.Old.Output != 8_000_000 || c.New.Output != 9_000_000 || c.New.Multipliers.Batch != 50 {
		t.Errorf("%+v", c)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "prices.json")); err == nil {
		t.Error("a dry run wrote something")
	}
	g.say("prices", "import", file, "--from", "2026-12-01").wants(t, exitDone, "5 entries: 1 cost what the built-in table says, 1 cost something else, 1 are new, 2 left out",
		"mode      2", "old    gpt-4.1", "new    gpt-4.1", "$9", "written to prices.json, from 2026-12-01 on")
	g.say("prices", "import", file).wants(t, exitUsage, "is there already")
	g.say("prices", "import", "nowhere.json").wants(t, exitUsage)
	own := g.file("own.yaml", []byte("flowgate: {prices_file: "+filepath.Join(g.dir, "prices.json")+"}\n"))
	g.say("--config", own, "config", "check", own).wants(t, exitDone)
	g.say("--config", own, "prices", "list", "--model", "gpt-7", "--at", "2026-12-01").wants(t, exitDone, "$3 ", "$15 ")
	g.say("--config", own, "prices", "list", "--model", "gpt-4.1", "--at", "2026-11-30").wants(t, exitDone, "$8 ")
	data, err := os.ReadFile(filepath.Join(g.dir, "prices.json"))
	if err != nil || !json.Valid(data) {
		t.Errorf("%v: %s", err, data)
	}
}

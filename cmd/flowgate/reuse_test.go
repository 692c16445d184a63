package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/worker/batch"
	"flowgate/worker/postgres"
	"flowgate/worker/provider"
)

// TestABatchOnceMoreMakesNoCall runs a file twice: the provider's books have no call of the second run, and the summary says what that
// saved.
func TestABatchOnceMoreMakesNoCall(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings+"  backends: {allowed: [openai]}\n")
	_, url := g.provided()
	g.up().ready()
	var lines []string
	for i := range 8 {
		lines = append(lines, fmt.Sprintf(`{"custom_id":"c-%d","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini","temperature":0,"max_tokens":50,`+
			`"messages":[{"role":"user","content":"Number %d"}],"metadata":{"audit_reason":"a test of reuse"}}}`, i, i))
	}
	lines = append(lines, `{"custom_id":"v","method":"POST","url":"/v1/embeddings","body":{"model":"text-embedding-3-small","input":["a","b"],"metadata":{"audit_reason":"a test of reuse"}}}`)
	g.file("asks.jsonl", []byte(strings.Join(lines, "\n")+"\n"))
	type report struct {
		Batch   postgres.Batch
		Summary batch.Summary
	}
	var first, second report
	calls := func() int {
		var totals provider.Totals
		if err := json.Unmarshal(fakeDoor(t, http.MethodGet, url+"/fake/calls", ""), &totals); err != nil {
			t.Fatal(err)
		}
		return int(totals.Calls)
	}
	n := len(lines)
	done := g.say("batch", "submit", "asks.jsonl", "--json")
	if done.read(t, &first); done.code != exitDone || first.Summary.Calls != n || first.Summary.ReusedAnswers() != 0 || calls() != n {
		t.Fatalf("%d calls, %+v", calls(), done)
	}
	done = g.say("batch", "submit", "asks.jsonl", "--again", "--json")
	done.read(t, &second)
	if s := second.Summary; done.code != exitDone || calls() != n || s.Calls != 0 || s.ReusedAnswers() != n || s.CostMicroUSD != 0 {
		t.Fatalf("%d calls, %+v", calls(), done)
	}
	if second.Summary.SavedMicroUSD != first.Summary.CostMicroUSD || second.Summary.SavedSeconds <= 0 || first.Summary.CostMicroUSD <= 0 {
		t.Errorf("the first cost %d, the second saved %+v", first.Summary.CostMicroUSD, second.Summary)
	}
	says := fmt.Sprintf("0 calls; %d answers reused (", n)
	saved := ", saved " + dollars(first.Summary.CostMicroUSD) + " and "
	g.say("batch", "submit", "asks.jsonl", "--again").wants(t, exitDone, says, saved)
	if calls() != n {
		t.Errorf("the third run made calls: %d", calls())
	}
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })
	g.say("batch", "status", second.Batch.ID).wants(t, exitDone, says, saved)
	g.say("explain", second.Batch.ID+"-1").wants(t, exitDone, "reused    the answer from the cache (", "saved     $0.0")
	var r messages.Result
	if g.say("result", second.Batch.ID+"-1", "--json").read(t, &r); r.Metadata == nil || r.Metadata.Reused == nil || !r.Metadata.CacheHit {
		t.Errorf("the result is %+v", r)
	}
	g.say("result", second.Batch.ID+fmt.Sprintf("-%d", n)).wants(t, exitDone, "vectors   2 of ", "reused    from the cache (")
	for _, line := range g.lines("asks.run2.output.jsonl") {
		if line["custom_id"] == "v" && !strings.Contains(fmt.Sprint(line["response"]), "object:embedding") {
			t.Errorf("the line is %v", line)
		}
	}
}

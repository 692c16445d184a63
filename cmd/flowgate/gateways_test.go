package main

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"flowgate/messages"
)

type listedGateway struct {
	Name, State, Why string
	Processes        int
	DependsOn        []string `json:"depends_on"`
}

// gateways lists them once the named number of processes of layer 1 answers.
func (g *ground) gateways(code int) []listedGateway {
	g.t.Helper()
	var all []listedGateway
	s := g.say("gateways", "list", "--json")
	s.wants(g.t, code)
	s.read(g.t, &all)
	return all
}

func stand(all []listedGateway) string {
	var words []string
	for _, one := range all {
		words = append(words, one.State+" "+strconv.Itoa(one.Processes))
	}
	return strings.Join(words, ", ")
}

func TestGatewaysOfSeveralProcesses(t *testing.T) {
	t.Parallel()
	g := outside(t)
	g.say("gateways", "list").wants(t, exitFailed, "stopped", "no process runs it")
	for _, verb := range []string{"health", "stats"} {
		g.say("gateways", verb).wants(t, exitEnvironment, "no flowgate process answers")
	}
	all := g.workers("corporate,recorder", "ai", "ai", "optimizer")
	if got := g.gateways(exitDone); strings.Count(stand(got), "stopped")+strings.Count(stand(got), "blocked") > 0 || got[1].Processes != 2 {
		t.Errorf("the gateways stand as %+v", got)
	}
	for i := range 5 {
		g.say("submit", "--id", "of-"+strconv.Itoa(i), "--wait", "--reason", "a test of statistics", "x").wants(t, exitDone)
	}
	g.say("submit", "--id", "dear", "--wait", "--reason", "a test of statistics", "--max-tokens", "1000000", "x").wants(t, exitFailed)
	var stats struct {
		Processes          int
		Gateways, Backends []statsLine
	}
	eventually(t, "everything is counted", func() bool {
		g.say("gateways", "stats", "--window", "1h", "--json").read(t, &stats)
		return stats.Gateways[2].Requests >= 5
	})
	for i, want := range []uint64{6, 5, 5} {
		l := stats.Gateways[i]
		if l.Name != string(messages.Layers()[i]) || l.Requests != want || l.Total != want || l.Errors != 0 || l.Took.P50 <= 0 || l.Waited.P99 < l.Waited.P50 {
			t.Errorf("%s counted %+v", messages.Layers()[i], l)
		}
	}
	if r := stats.Gateways[0]; r.Refused != 1 || r.Reasons["limit_request"] != 1 || stats.Processes != 4 {
		t.Errorf("the refusal is counted as %+v, by %d processes", r, stats.Processes)
	}
	if len(stats.Backends) != 1 || stats.Backends[0].Requests != 5 {
		t.Errorf("the backends counted %+v", stats.Backends)
	}
	all[0].stop()
	if got := g.gateways(exitFailed); stand(got) != "stopped 0, blocked 2, blocked 1" || !strings.Contains(got[2].Why, "corporate_llm") {
		t.Errorf("without layer 1 the gateways stand as %+v", got)
	}
	all[1].signal(syscall.SIGKILL)
	<-all[1].done
	g.say("gateways", "show", "ai_processing").wants(t, exitDone, "blocked: it needs corporate_llm", "depends on  corporate_llm", "can ", "flowgate.concurrency.ai = 64")
}

func TestGatewaysWithoutAnything(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings, "OPENAI_API_KEY=sk-secret-secret")
	for _, verb := range []string{"list", "health", "stats"} {
		g.say("gateways", verb).wants(t, exitEnvironment, "flowgate up")
	}
	g.say("gateways", "stats", "--window", "2m").wants(t, exitUsage, "1m, 5m, 1h")
	g.say("gateways", "show", "ai_procesing").wants(t, exitUsage, "did you mean ai_processing")
	s := g.say("gateways", "show", "ai_processing", "--json")
	s.wants(t, exitEnvironment, `"state": "unknown"`, `"needed_by"`, "flowgate.backends.openai.api_key")
	if strings.Contains(s.stdout+s.stderr, "sk-secret") {
		t.Error("a secret is shown")
	}
	g.say("gateways", "graph").wants(t, exitDone, "order: corporate_llm, ai_processing, workflow_optimizer", "└─ ai_processing\n   └─ corporate_llm")
	g.say("gateways", "graph", "--dot").wants(t, exitDone, `"workflow_optimizer" -> "ai_processing";`)
	g.say("gateways", "graph", "--json").wants(t, exitDone, `"order"`)
}

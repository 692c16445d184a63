package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/actions"
	"flowgate/worker/provider"
	"flowgate/worker/workertest"
)

// truthAgreements are five of the six with parameters, so that what they measure is known and costs little time.
const truthAgreements = `
- {trigger: "[Performance Test]", flow_encoding: "@a#b!c@d", action: performance_benchmark, version: "1", parameters: {requests: 40, at_once: 20, model: gpt-4.1}}
- {trigger: "[Scalability Test]", flow_encoding: "@a#b!c@d", action: scalability_test, version: "1",
   parameters: {least_at_once: 16, most_at_once: 64, requests_each: 1, model: gpt-4.1}}
- {trigger: "[Cost Analysis]", flow_encoding: "@a#b!c@d", action: cost_analysis, version: "1", parameters: {days: 2}}
- {trigger: "[Error Analysis]", flow_encoding: "@a#b!c@d", action: error_analysis, version: "1", parameters: {days: 2}}
- {trigger: "[Integration Test]", flow_encoding: "@a#b!c@d", action: integration_test, version: "1", parameters: {model: claude-haiku-4-5}}
- {trigger: "[Nothing]", flow_encoding: "@a#b!c@d", action: nobody_has_this, version: "1"}
`

// truth is a deployment of one process whose backends behave as is known beforehand.
type truth struct {
	*ground

	conn *nats.Conn
	// slower is how many times as long as is planted the loads' backend takes.
	slower atomic.Int64
}

// The latencies that are planted: so long that what a busy machine adds is far less than a twentieth. Each request of a step is asked for
// once: how long a step takes is up to its slowest one, and of two in turn the machine's part would double with the backend's.
const (
	usual, seldom = 1200 * time.Millisecond, 3 * time.Second
	everyNth      = 10 // of the load is seldom
	stepLatency   = 2500 * time.Millisecond
	seats         = 32
)

// script answers loads by the number of their request, and all else as recordScript does.
func (g *truth) script(ask provider.Ask) provider.Reply {
	switch {
	case strings.Contains(ask.Key, "-load-"):
		n, err := strconv.Atoi(ask.Key[strings.LastIndex(ask.Key, "-")+1:])
		switch {
		case err == nil && n%everyNth == 0:
			return provider.Reply{Outcome: provider.Success, After: g.slowed(seldom)}
		case err == nil && n%everyNth == 1 && ask.N == 1: // the call that answers comes after it
			return provider.Reply{Outcome: provider.Failed, After: g.slowed(usual)}
		}
		return provider.Reply{Outcome: provider.Success, After: g.slowed(usual)}
	case strings.Contains(ask.Key, "-step"):
		return provider.Reply{Outcome: provider.Success, After: g.slowed(stepLatency)}
	}
	return recordScript(ask)
}

// slowed is a latency as the backend has it now.
func (g *truth) slowed(latency time.Duration) time.Duration {
	return time.Duration(g.slower.Load()) * latency
}

// recordScript answers what is planted in the record: by the name of a request it fails, once or always, and otherwise uses so many
// tokens as its number says.
func recordScript(ask provider.Ask) provider.Reply {
	_, id, _ := strings.Cut(ask.Key, "/")
	kind, number, _ := strings.Cut(id, "-")
	n, _ := strconv.ParseInt(number, 10, 64) // of others it is 0
	reply := provider.Reply{Outcome: provider.Success, Usage: &provider.Usage{Input: 100 + n, Output: 10 + n}}
	switch {
	case kind == "limited" && ask.Attempt == 1 && ask.N == 1:
		reply.Outcome, reply.RetryAfter = provider.RateLimited, 10*time.Millisecond
	case kind == "broken" && ask.Attempt == 1 && ask.N == 1:
		reply.Outcome = provider.Failed
	case kind == "wrong" || kind == "bad":
		reply.Outcome = provider.Invalid
	}
	return reply
}

// newTruth starts a deployment; env leads it to more than the provider.
func newTruth(t *testing.T, settings string, env ...string) *truth {
	t.Helper()
	loaded := &truth{}
	loaded.slower.Store(1)
	p := workertest.NewProvider(t, func(o *provider.Options) {
		o.Key, o.Script, o.AtOnce = fakeKey, loaded.script, seats
		o.Rate, o.Burst = 10_000, 10_000 // headers tell of it, as those of providers do: nobody need find a limit out slowly
	})
	g := newGround(t, "", env...)
	for _, v := range fakeVariables(p.Server) {
		if !strings.HasPrefix(v.name, "AWS_") && !strings.HasPrefix(v.name, "MLFLOW_") {
			g.env = append(g.env, v.name+"="+v.value)
		}
	}
	g.settings = g.file("settings.yaml", []byte(quickSettings+"  backends: {allowed: [anthropic, openai, mlflow], mlflow: {models: [none]}}\n  agreements_file: "+
		g.file("agreements.yaml", []byte(truthAgreements))+"\n"+settings))
	loaded.ground, loaded.conn = g, producer(t, g.up().ready().NATSURL)
	return loaded
}

// longestAction bounds the wait for an action: more than the five minutes that it may take.
const longestAction = 6 * time.Minute

// finds asks for an action and reads its document; it must have been measured.
func (g *truth) finds(id, trigger string, into any) *messages.Execution {
	g.t.Helper()
	r := asksFor(g.t, g.conn, id, fmt.Sprintf(`{"trigger":%q,"audit_reason":"a test of actions"}`, trigger), longestAction)
	if r.Execution == nil || r.Execution.Mode != messages.ExecutionReal || r.Status != messages.StatusSuccess {
		g.t.Fatalf("%s: %s (%s) %+v", trigger, r.Status, r.Message, r.Execution)
	}
	if err := json.Unmarshal(r.Execution.Result, into); err != nil {
		g.t.Fatal(err)
	}
	g.readsWell(id)
	return r.Execution
}

// readsWell wants a result printed as tables that fit a terminal of 100 columns.
func (g *truth) readsWell(id string) {
	g.t.Helper()
	said := g.say("result", id).stdout
	if !strings.Contains(said, "rests on") {
		g.t.Errorf("%s says only\n%s", id, said)
	}
	for line := range strings.SplitSeq(said, "\n") {
		if cellsOf(line) > tableWidth || strings.HasPrefix(line, "{") {
			g.t.Errorf("%s reads\n%s", id, said)
			return
		}
	}
}

// planted are requests of one kind, whose costs and ends are known. Prices are those of the models' lists, in dollars a thousand million
// tokens.
type planted struct {
	kind, model, user, department string
	count                         int
	input, output                 int64
	// fails is the class of the attempt that fails, always or the first time.
	fails  string
	always bool
}

// The dear model costs five times as much as the cheap one for every token; the unsure one costs least and fails more often.
const (
	dearModel, cheapModel, unsureModel = "claude-opus-5", "claude-haiku-4-5", "gpt-4o-mini"
)

func plantedRequests() []planted {
	return []planted{
		{kind: "dear", model: dearModel, user: "ann", department: "hr", count: 4, input: 5000, output: 25000},
		{kind: "dearest", model: dearModel, user: "bob", department: "sales", count: 2, input: 5000, output: 25000},
		{kind: "cheap", model: cheapModel, user: "bob", department: "sales", count: 3, input: 1000, output: 5000},
		{kind: "limited", model: cheapModel, user: "eve", department: "sales", count: 3, input: 1000, output: 5000, fails: "rate_limited"},
		{kind: "broken", model: unsureModel, user: "eve", department: "sales", count: 4, input: 150, output: 600, fails: "transient"},
		{kind: "wrong", model: unsureModel, user: "eve", department: "sales", count: 3, fails: "invalid", always: true},
		{kind: "bad", model: dearModel, user: "eve", department: "sales", count: 1, fails: "invalid", always: true},
	}
}

// cost is what the n-th of a kind costs in micro-dollars, begun ones in full.
func (p planted) cost(n int64) int64 { return ((100+n)*p.input + (10+n)*p.output + 999) / 1000 }

// backend is who is asked.
func (p planted) backend() string {
	if p.model == unsureModel {
		return "openai"
	}
	return "anthropic"
}

// plant asks for all of them, and for some that other layers than the second end.
func (g *truth) plant() {
	g.t.Helper()
	long := strings.Repeat("word ", 100)
	for _, p := range plantedRequests() {
		for n := range p.count {
			r := asks(g.t, g.conn, fmt.Sprintf("%s-%d", p.kind, n), fmt.Sprintf(
				`{"prompt":"%s %s %d","audit_reason":"a test of actions","user_id":%q,"department":%q,"model":%q,"max_tokens":100}`, long, p.kind, n, p.user, p.department, p.model))
			if (r.Status == messages.StatusSuccess) == p.always {
				g.t.Fatalf("%s: %s (%s)", r.ID, r.Status, r.Message)
			}
		}
	}
	for n := range 2 {
		asks(g.t, g.conn, fmt.Sprint("nothing-", n), `{"prompt":"Say OK","audit_reason":"a test of actions","trigger":"[No Such Thing]"}`)
	}
	asks(g.t, g.conn, "action-0", `{"audit_reason":"a test of actions","trigger":"[Nothing]"}`)
	eventually(g.t, "all of it is recorded", func() bool { return g.say("audit", "show", "action-0").code == exitDone })
}

// TestAnalysesFindPlantedTruths: what is on record of a model five times dearer than an equal one, of three classes of faults in known
// counts, and a component that was stopped.
func TestAnalysesFindPlantedTruths(t *testing.T) {
	t.Parallel()
	store := workertest.NewAWS(t, false, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<ListBucketResult></ListBucketResult>`))
	})
	store.Know("ID", "s", "")
	tracking := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(tracking.Close)
	g := newTruth(t, "s3: {bucket: bucket-1, region: us-east-1, endpoint: '"+store.URL+"', max_retries: 0}\nintegrations: {mlflow: {enabled: true, tracking_uri: '"+tracking.URL+"'}}\n",
		"AWS_ACCESS_KEY_ID=ID", "AWS_SECRET_ACCESS_KEY=s", "AWS_EC2_METADATA_DISABLED=true")
	g.plant()
	t.Run("costs", g.costsAreThosePlanted)
	t.Run("errors", g.errorsAreThosePlanted)
	t.Run("components", func(t *testing.T) {
		g.componentsAre(t, "before")
		tracking.Close()
		g.componentsAre(t, "after", serviceMLflow)
	})
}

// sums are costs by name.
type sums map[string]int64

func sumsOf(shares []actions.CostShare) sums {
	all := sums{}
	for _, s := range shares {
		all[s.Name] += s.CostMicroUSD
	}
	return all
}

func (g *truth) costsAreThosePlanted(t *testing.T) {
	var r actions.CostReport
	g.finds("costs", "[Cost Analysis]", &r)
	models, users, departments, all := sums{}, sums{}, sums{}, int64(0)
	for _, p := range plantedRequests() {
		for n := range p.count {
			if !p.always {
				cost := p.cost(int64(n))
				models[p.model] += cost
				users[p.user] += cost
				departments[p.department] += cost
				all += cost
			}
		}
	}
	if r.CostMicroUSD != all || r.Requests != 16 {
		t.Errorf("%d requests cost %d, planted were 16 of %d", r.Requests, r.CostMicroUSD, all)
	}
	for name, c := range map[string]struct {
		got  []actions.CostShare
		want sums
	}{"model": {r.ByModel, models}, "user": {r.ByUser, users}, "department": {r.ByDepartment, departments}} {
		if got := sumsOf(c.got); !maps.Equal(got, c.want) {
			t.Errorf("by %s %v, planted were %v", name, got, c.want)
		}
	}
	days := int64(0)
	for _, cost := range sumsOf(r.ByDay) {
		days += cost
	}
	if days != all {
		t.Errorf("the days sum up to %d", days)
	}
	dear := models[dearModel]
	want := []actions.CheaperModel{{Model: dearModel, Instead: cheapModel, Requests: 6, CostMicroUSD: dear, WouldCost: dear / 5, Saves: dear - dear/5, Times: 5}}
	if !slices.Equal(r.Savings.CheaperModels, want) {
		t.Errorf("cheaper would be %+v, planted was %+v", r.Savings.CheaperModels, want)
	}
}

// counts are how often something failed, by its name and backend.
type counts map[string]int64

func countsOf(groups []actions.ErrorGroup) counts {
	all := counts{}
	for _, e := range groups {
		all[strings.TrimSpace(e.Name+" "+e.Backend)] += e.Count
	}
	return all
}

func (g *truth) errorsAreThosePlanted(t *testing.T) {
	var r actions.ErrorReport
	g.finds("errors", "[Error Analysis]", &r)
	classes, backends, attempts, retried, failed := counts{}, counts{}, int64(0), int64(0), int64(0)
	for _, p := range plantedRequests() {
		n := int64(p.count)
		attempts += n
		switch p.fails {
		case "":
			continue
		case "rate_limited":
			attempts += n // a call that failed so is repeated by an attempt of its own
		case "transient":
			retried += n // and one that failed so within its attempt
		}
		classes[p.fails+" "+p.backend()] += n
		backends[p.backend()] += n
		if p.always {
			failed += n
		}
	}
	layers := counts{string(messages.LayerCorporate): 2, string(messages.LayerAI): failed, string(messages.LayerOptimizer): 1}
	for name, c := range map[string]struct {
		got  []actions.ErrorGroup
		want counts
	}{"class": {r.ByClass, classes}, "backend": {r.ByBackend, backends}, "layer": {r.ByLayer, layers}} {
		if got := countsOf(c.got); !maps.Equal(got, c.want) {
			t.Errorf("by %s %v, planted were %v", name, got, c.want)
		}
	}
	if r.Attempts != attempts || r.FailedAttempts+r.RetriedCalls != 11 || r.RetriedCalls != retried || r.FailedRequests != failed+3 || r.DeadLetters != failed {
		t.Errorf("got %+v, planted were %d attempts", r, attempts)
	}
}

// componentsAre wants those to be down that are named, and no others.
func (g *truth) componentsAre(t *testing.T, id string, down ...string) {
	t.Helper()
	var r actions.IntegrationReport
	g.finds(id, "[Integration Test]", &r)
	var all, found []string
	for _, c := range r.Components {
		all = append(all, c.Name)
		if !c.OK {
			found = append(found, c.Name)
		}
		if !c.OK && c.Error == "" || c.Seconds <= 0 {
			t.Errorf("it says of %s %+v", c.Name, c)
		}
	}
	slices.Sort(all)
	if !slices.Equal(found, down) || r.OK != (len(down) == 0) || strings.Join(all, " ") != "anthropic chain mlflow nats openai postgres s3" {
		t.Errorf("down are %v of %v, want %v", found, all, down)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/privacy"
	"flowgate/worker"
	"flowgate/worker/backends"
	"flowgate/worker/postgres"
	"flowgate/worker/sessions"
	"flowgate/worker/state"
)

// What follows looks at what the product makes of settings, through its own wiring.

// noon is a moment that is another day on the other side of the world.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// nodeOf is a node that has settings and a folder, and has opened nothing.
func nodeOf(t *testing.T, s configs.Settings) *node {
	t.Helper()
	n := &node{settings: s, own: true, roles: allRoles(), log: zap.NewNop(), pulse: &worker.Pulse{}, broken: make(chan error, 16)}
	folder, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n.folder = folder
	n.down.push("folder", folder.Close)
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func seeFolder(t *testing.T, s configs.Settings) any {
	dir, err := (&globals{}).dir(s)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func seeListener(t *testing.T, s configs.Settings) any {
	n := nodeOf(t, s)
	if err := n.startBroker(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.broker.Shutdown()
	return n.broker.URL() != ""
}

func seeHTTP(t *testing.T, s configs.Settings) any {
	n := nodeOf(t, s)
	n.settings.Flowgate.HTTP = strings.Replace(n.settings.Flowgate.HTTP, configs.HTTPAuto, "127.0.0.1:0", 1)
	err := n.openConsole(t.Context())
	return []any{n.httpAddress(), err}
}

// seeRemote tells whether a listener for other machines is refused, by the settings and by the listener.
func seeRemote(t *testing.T, s configs.Settings) any {
	n := nodeOf(t, s)
	n.settings.Flowgate.HTTP = "0.0.0.0:0"
	return []any{n.settings.Validate(), n.openConsole(t.Context())}
}

func seeAddress(t *testing.T, s configs.Settings) any { return nodeOf(t, s).httpAddress() }

func seeTraces(t *testing.T, s configs.Settings) any {
	n := nodeOf(t, s)
	err := n.openTraces(t.Context())
	return []any{n.observer != nil, err}
}

func seeAccess(_ *testing.T, s configs.Settings) any {
	a, err := access(s, true)
	return []any{a, err}
}

func seeDoors(t *testing.T, s configs.Settings) any {
	return *(&audited{node: nodeOf(t, s)}).lookAtDoors(t.Context(), time.Time{})
}

func seeTopology(t *testing.T, s configs.Settings) any {
	topology, err := topologyOf(s)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(topology)
	return []any{string(text), err}
}

func seeDatabase(_ *testing.T, s configs.Settings) any {
	return []any{s.DatabaseURL().Reveal(), databaseOptions(s)}
}

func seeDurable(_ *testing.T, s configs.Settings) any { return (&node{settings: s}).durable() }

func seeChores(t *testing.T, s configs.Settings) any {
	every := map[string]time.Duration{}
	for _, c := range nodeOf(t, s).chores() {
		every[c.Name] = c.Every
	}
	return every
}

func seeQueues(t *testing.T, s configs.Settings) any {
	sizes := map[string]int{}
	layers := map[messages.LayerName]worker.Layer{}
	for _, name := range []messages.LayerName{messages.LayerCorporate, messages.LayerAI, messages.LayerOptimizer} {
		layers[name] = someLayer{}
	}
	for _, q := range nodeOf(t, s).queues(layers) {
		sizes[q.Name] = q.Batch
	}
	return sizes
}

// seeMarks shows the gate's marks, and which queues take nothing while a thousand messages wait behind them.
func seeMarks(t *testing.T, s configs.Settings) any {
	n := nodeOf(t, s)
	n.waits = func(string) uint64 { return 1000 }
	full := map[string]bool{}
	layers := map[messages.LayerName]worker.Layer{messages.LayerCorporate: someLayer{}, messages.LayerAI: someLayer{}}
	for _, q := range n.queues(layers) {
		full[q.Name] = q.Full()
	}
	return []any{marks(s), full}
}

func seeRuntime(t *testing.T, s configs.Settings) any {
	o := nodeOf(t, s).runtimeOptions(nil)
	return []any{o.Grace, o.AckWait}
}

// someLayer stands where a layer must be and none is asked.
type someLayer struct{ worker.Layer }

func seeRules(t *testing.T, s configs.Settings) any { return nodeOf(t, s).loadRules(t.Context()) }

// seeDecision is what layer 1 decides about a short question.
func seeDecision(t *testing.T, s configs.Settings) any {
	n := nodeOf(t, s)
	if err := n.loadRules(t.Context()); err != nil {
		t.Fatal(err)
	}
	policy := governance(s, n.prices, n.controls)
	policy.Version = "" // it is made of the same
	facts := corporate.Facts{Address: messages.Address{Key: messages.Key{Tenant: "default", ID: "x"}, Class: messages.ClassStd}, Now: noon, SubmittedAt: noon}
	d := corporate.Decide(&messages.Request{Prompt: "Say OK", AuditReason: "a test of the settings"}, facts, policy)
	text, err := json.Marshal(d)
	return []any{string(text), err}
}

// seeMatching is under which agreement a text that means one runs.
func seeMatching(t *testing.T, s configs.Settings) any {
	n := nodeOf(t, s)
	if err := n.loadRules(t.Context()); err != nil {
		t.Fatal(err)
	}
	book, err := flow.NewBook(n.seeds)
	if err != nil {
		t.Fatal(err)
	}
	agreed, _ := corporate.Agree(&messages.Request{Prompt: "Please run the cost analysis"}, "default", book, matchTexts(s))
	return agreed != nil && agreed.Trigger == "[Cost Analysis]"
}

// seePrivacy is what a backend of a region is asked for a purpose, and what of its answer is given.
func seePrivacy(_ *testing.T, s configs.Settings) any {
	guard := privacy.NewGuard(s.PrivacyRules())
	asked := guard.Request([]string{plantedMail + " " + plantedCard}, "support", "eu-west-1")
	given := guard.Answer(asked, "<EMAIL_1> <CARD_1> "+plantedMadeUp, "support")
	return []any{asked.Texts, asked.Findings, asked.Denied, given.Text, given.Findings, given.Denied}
}

func seeRetries(_ *testing.T, s configs.Settings) any {
	return retries(s).For("anthropic.claude-3-sonnet")
}

// seeBackends are the backends that serve, with their models, and whether the offline one takes its time.
func seeBackends(t *testing.T, s configs.Settings) any {
	serving, err := nodeOf(t, s).backends()
	seen := []any{err}
	for _, b := range serving {
		seen = append(seen, b.Name(), b.Menu, b.Region)
		if offline, ok := b.Backend.(*backends.Offline); ok {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := offline.Call(ctx, question)
			seen = append(seen, err)
		}
	}
	return seen
}

// question is asked of backends.
var question = ai.Call{
	Key: messages.Key{Tenant: "default", ID: "x"}, Attempt: 1, Model: "gpt-4o", MaxTokens: 7, Temperature: 0.5,
	Question: messages.Question{Messages: []messages.Message{{Role: "user", Content: "Say OK"}}},
}

// seeInsecure tells whether an address without encryption is refused.
func seeInsecure(_ *testing.T, s configs.Settings) any {
	openai, anthropic := openAIOptions(s), anthropicOptions(s)
	openai.BaseURL, anthropic.BaseURL = "http://server.example/v1", "http://server.example"
	return []any{openai.Validate(), anthropic.Validate()}
}

// seeOptions are the options of the backends that can be seen in no call here.
func seeOptions(t *testing.T, s configs.Settings) any {
	aws, err := sessions.New(awsOptions(s, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	bedrock := bedrockOptions(s, aws)
	bedrock.Session = nil
	none := func(string) (string, bool) { return "", false }
	return []any{breakerOptions(s), openAIOptions(s).API, anthropicOptions(s).Timeout, bedrock, mlflowOptions(s, none)}
}

// seeProcessing is layer 2's policy.
func seeProcessing(t *testing.T, s configs.Settings) any {
	n := nodeOf(t, s)
	if err := n.loadRules(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n.processing().NoFailover
}

// seeCall is what a server is asked by two calls one after the other, and over how many connections.
func seeCall(t *testing.T, s configs.Settings) any {
	var mu sync.Mutex
	conns := map[string]bool{}
	var asked []any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		conns[r.RemoteAddr] = true
		asked = append(asked, r.Header.Get("Authorization"), r.Header.Get("Accept-Encoding"), body["max_tokens"], body["max_completion_tokens"])
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"1","object":"chat.completion","model":"gpt-5","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"OK"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}))
	defer server.Close()
	options := openAIOptions(s)
	options.BaseURL = server.URL
	backend, err := backends.NewOpenAI(options)
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	for range 2 {
		if _, err := backend.Call(t.Context(), question); err != nil {
			t.Fatal(err)
		}
	}
	return []any{len(conns), asked}
}

// seeSlowCall is when a call to a server that never answers ends: its deadline, which the transport is given.
func seeSlowCall(_ *testing.T, s configs.Settings) any { return openAIOptions(s).Timeout }

func seeMonitor(_ *testing.T, s configs.Settings) any {
	o := monitorOptions(s, nil, nil)
	return []any{o.Interval, o.Timeout, o.Slow}
}

func seeAWS(_ *testing.T, s configs.Settings) any {
	o := awsOptions(s, nil)
	return []any{o.Region, o.Profile, o.Keys, o.S3, o.Bedrock}
}

func seeServices(t *testing.T, s configs.Settings) any {
	all, err := newServices(s, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	defer all.close()
	seen := []any{all.unused}
	for _, p := range all.probes {
		seen = append(seen, p.Name())
	}
	return seen
}

func seeMLflow(_ *testing.T, s configs.Settings) any {
	return mlflowAccess(s, configs.Lookup(os.LookupEnv)).URL
}

// seeAlerts are the marks of a day that is spent.
func seeAlerts(t *testing.T, s configs.Settings) any {
	seen := []any{}
	a := alertsOf(s, &spentLedger{spent: []postgres.Spent{{Scope: "tenant:acme:day:" + noon.In(s.Flowgate.Location()).Format(time.DateOnly), Settled: 1 << 60}}})
	a.tell = func(_ context.Context, e messages.Event) error {
		seen = append(seen, e.Alert.Mark, e.Alert.Limit)
		return nil
	}
	if err := a.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	return seen
}

func seeBatch(_ *testing.T, s configs.Settings) any {
	p := batchPolicy(s, []string{"claude-3-sonnet"})
	return []any{p.Window(), p.Timeout}
}

// seeLog is what one line of each level leaves behind.
func seeLog(t *testing.T, s configs.Settings) any {
	dir := t.TempDir()
	var console bytes.Buffer
	log, done, err := openLog(s.Logging, dir, false, &console)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("one")
	log.Info("two")
	log.Warn("three")
	log.Error("four")
	if err := done(); err != nil {
		t.Fatal(err)
	}
	seen := []any{strings.Count(console.String(), "\n")}
	for _, path := range logFiles(t, dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, filepath.Base(path), bytes.Count(text, []byte("\n")))
	}
	return seen
}

// seeRotation is whether 4 MiB of log leave one, two or more files behind.
func seeRotation(t *testing.T, s configs.Settings) any {
	dir := t.TempDir()
	log, done, err := openLog(s.Logging, dir, false, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 512<<10)
	for range 8 {
		log.Warn(line)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "old files are removed in the background", func() bool { return len(logFiles(t, dir)) <= 1+s.Logging.File.BackupCount })
	return min(len(logFiles(t, dir)), 3)
}

func logFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// seeMemory is what the runtime of Go is told; it is set back.
func seeMemory(t *testing.T, s configs.Settings) any {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(limit)
	defer debug.SetGCPercent(percent)
	debug.SetMemoryLimit(1 << 40)
	tune(s.Performance.Memory)
	told := debug.SetGCPercent(percent)
	return []any{told, debug.SetMemoryLimit(-1)}
}

// seeCache is what is cached, where, and for how long.
func seeCache(t *testing.T, s configs.Settings) any {
	t.Helper()
	options, err := cacheOptions(s, "/root")
	if err != nil {
		t.Fatal(err)
	}
	return []any{cacheRules(s), fmt.Sprintf("%+v", options), cacheShares(s)}
}

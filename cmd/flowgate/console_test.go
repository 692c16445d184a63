package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"flowgate/worker/broker"
	"flowgate/worker/console"
	"flowgate/worker/sessions"
	"flowgate/worker/state"
	"flowgate/worker/workertest"
)

// fetch asks a process over HTTP, under the name of a host.
func fetch(t *testing.T, base, path, host string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// notReady waits until a process is not ready and returns the faults of its checks by name.
func notReady(t *testing.T, base, check string) map[string]string {
	t.Helper()
	faults := map[string]string{}
	eventually(t, check+" is in trouble", func() bool {
		code, body := fetch(t, base, "/readyz", "")
		var r console.Readiness
		if err := json.Unmarshal([]byte(body), &r); err != nil || r.Ready != (code == http.StatusOK) {
			t.Fatalf("%d: %s: %v", code, body, err)
		}
		clear(faults)
		for _, c := range r.Checks {
			if !c.OK {
				faults[c.Name] = c.Error
			}
		}
		return code == http.StatusServiceUnavailable && faults[check] != ""
	})
	return faults
}

func TestAWorkerSaysWhatKeepsItFromWorking(t *testing.T) {
	t.Parallel()
	server := workertest.Server(t)
	_, js := workertest.Conn(t, server)
	workertest.Topology(t, js, layerQueues(), func(o *broker.TopologyOptions) { o.AckWait = 2 * time.Second })
	natsURL := strings.Replace(server.URL(), "nats://", "nats://"+broker.OperatorUser+":"+workertest.OperatorPassword+"@", 1)
	database := workertest.Database(t)
	g := newGround(t, quickSettings+"  probes: {interval: 1s, timeout: 1s}\n", "NATS_URL="+natsURL, "DATABASE_URL="+database)
	worker := g.begin(g.command("worker", "--layer", "corporate,ai,optimizer,recorder", "--json"), "")
	base := worker.ready().HTTPURL
	if code, body := fetch(t, base, "/readyz", ""); code != http.StatusOK {
		t.Fatalf("%d: %s", code, body)
	}
	if err := js.DeleteConsumer(t.Context(), broker.WorkStream(0), "ai-std-0"); err != nil {
		t.Fatal(err)
	}
	if why := notReady(t, base, "topology")["topology"]; !strings.Contains(why, "ai-std-0") {
		t.Errorf("the topology's fault is %q", why)
	}
	closeDatabase(t, database)
	notReady(t, base, "postgres")
	eventually(t, "the services of /readyz tell it too", func() bool {
		_, body := fetch(t, base, "/readyz", "")
		var r console.Readiness
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(r.Services, func(s console.Service) bool {
			return s.Name == servicePostgres && s.State == string(sessions.StateUnhealthy) && s.Error != ""
		})
	})
	server.Shutdown()
	faults := notReady(t, base, "broker")
	for name, why := range faults {
		if strings.Contains(why, workertest.OperatorPassword) {
			t.Errorf("%s tells the password: %s", name, why)
		}
	}
	if code, body := fetch(t, base, "/livez", ""); code != http.StatusOK {
		t.Errorf("it is alive and says %d: %s", code, body)
	}
	code, body := fetch(t, base, "/metrics", "")
	for _, line := range []string{"flowgate_broker_connected 0", `flowgate_scrape_source_up{source="queues"} 0`, `flowgate_scrape_source_up{source="ledger"} 0`} {
		if code != http.StatusOK || !strings.Contains(body, line) {
			t.Errorf("%d: the metrics lack %s", code, line)
		}
	}
	if strings.Contains(body, "flowgate_queue_pending{") {
		t.Error("queues are told that nobody can know")
	}
}

// closeDatabase sends everybody out of a database and lets nobody in.
func closeDatabase(t *testing.T, database string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, sql := range []string{
		fmt.Sprintf("ALTER DATABASE %s WITH ALLOW_CONNECTIONS false", pgx.Identifier{name}.Sanitize()),
		fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", name),
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUpShowsHealthAndMetricsOnLoopback(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	base := up.ready().HTTPURL
	info, err := state.Read(g.state)
	if err != nil || info.HTTPURL != base || !strings.HasPrefix(base, "http://127.0.0.1:") {
		t.Errorf("it is announced at %q and says %q (%v)", info.HTTPURL, base, err)
	}
	for id, wants := range map[string]int{"one": exitDone, "two": exitDone} {
		g.say("submit", "--id", id, "--reason", "a test of metrics", "--wait", "Say OK").wants(t, wants)
	}
	g.tell(`{"prompt":"Say OK","audit_reason":"a test of metrics","model":"gpt-none"}`, "submit", "--wait", "-f", "-").wants(t, exitFailed, "model_unknown")
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200, "/": 200, "/debug/pprof/": 404, "/nothing": 404} {
		if code, body := fetch(t, base, path, ""); code != want {
			t.Errorf("%s: %d: %s", path, code, body)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1"} {
		if code, body := fetch(t, base, "/metrics", host); code != http.StatusMisdirectedRequest || strings.Contains(body, "flowgate_") {
			t.Errorf("a page of %s reads %d: %s", host, code, body)
		}
	}
	var text string
	for _, part := range []string{
		`flowgate_requests_total{layer="workflow_optimizer",outcome="success",reason="ok"} 2`, `flowgate_requests_total{layer="corporate_llm",outcome="denied",reason="model_unknown"} 1`,
		`flowgate_attempts_total{backend="offline",class="ok"} 2`, `flowgate_queue_pending{class="std",layer="ai_processing",queue="ai"} 0`,
		`flowgate_audit_lag_seconds{stream="FLOWGATE_WORK_0"}`, "flowgate_reservations_held_microusd ", "flowgate_postgres_connections_max ",
		"flowgate_broker_connected 1", `flowgate_service_state{service="postgres",state=`, "go_goroutines ", "process_resident_memory_bytes ",
		`gen_ai_client_token_usage_count{gen_ai_operation_name="chat",gen_ai_provider_name="flowgate.offline",`,
	} {
		eventually(t, "the metrics have "+part, func() bool {
			_, text = fetch(t, base, "/metrics", "localhost:1")
			return strings.Contains(text, part)
		})
	}
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	up.stop()
	if _, err := net.DialTimeout("tcp", strings.TrimPrefix(base, "http://"), time.Second); err == nil {
		t.Error("the listener outlived its process")
	}
}

func TestATakenHTTPPortIsNamed(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	g := newGround(t, quickSettings, "FLOWGATE_HTTP="+taken.Addr().String())
	g.say("up").wants(t, exitEnvironment, taken.Addr().String(), "flowgate.http", "address already in use")
	g.env = []string{"FLOWGATE_HTTP=0.0.0.0:0"}
	g.say("up").wants(t, exitUsage, "FLOWGATE_HTTP", "loopback", "flowgate.http_allow_remote")
}

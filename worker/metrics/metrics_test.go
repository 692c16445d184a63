package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/breaker"
	"flowgate/worker/metrics"
	"flowgate/worker/pace"
	"flowgate/worker/sessions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sources have one of everything.
func sources() metrics.Sources {
	return metrics.Sources{
		Queues: func(context.Context) ([]metrics.Queue, error) {
			return []metrics.Queue{
				{Layer: messages.LayerAI, Class: messages.ClassStd, Name: "ai", Pending: 7, Unanswered: 2, Oldest: time.Now().Add(-time.Minute)},
				{Layer: messages.LayerAI, Class: messages.ClassRT, Name: "ai"},
			}, nil
		},
		Held: func(context.Context) (int64, error) { return 1234, nil },
		Lag: func(context.Context) (map[string]time.Duration, error) {
			return map[string]time.Duration{"EVENTS": time.Second}, nil
		},
		Services: func() ([]sessions.Health, bool) {
			return []sessions.Health{
				{Service: "nats", State: sessions.StateHealthy, LatencyMS: sessions.Latency{Last: 5}}, {Service: "s3", State: sessions.StateUnknown, Unused: true},
			}, true
		},
		Cache: func() (metrics.Cache, bool) {
			return metrics.Cache{Hits: map[string]int64{"memory": 3, "shared": 1}, Bytes: map[string]int64{"memory": 10, "disk": 20}, Misses: 2, Evicted: 4, SavedMicroUSD: 99}, true
		},
		Pool:   func() (metrics.Pool, bool) { return metrics.Pool{InUse: 1, Idle: 2, Max: 8}, true },
		Broker: func() (metrics.Broker, bool) { return metrics.Broker{Connected: true}, true },
		Breakers: func() ([]breaker.State, bool) {
			return []breaker.State{
				{Backend: "openai", State: breaker.Held}, {Backend: "openai", Model: "gpt-5", State: breaker.Open}, {Backend: "openai", Model: "gpt-6", State: breaker.Closed},
			}, true
		},
		Paced: func() (metrics.Paced, bool) {
			return metrics.Paced{
				Keys:   []pace.State{{Backend: "openai", Model: "gpt-5", Waiting: 3, Away: 4}, {Backend: "openai", Model: "gpt-6", Waiting: 2}},
				Waited: map[string]time.Duration{"openai": 90 * time.Second},
			}, true
		},
		Budgets: func() (metrics.Budgets, bool) {
			return metrics.Budgets{
				Used:   []metrics.BudgetUsed{{Kind: "user", Window: "day", Ratio: 0.97}},
				Alerts: []metrics.BudgetAlerts{{Kind: "user", Window: "day", Mark: "80", N: 2}, {Kind: "user", Window: "day", Mark: "95", N: 1}},
			}, true
		},
	}
}

func settled() worker.Settled {
	return worker.Settled{
		Key: messages.Key{Tenant: "acme", ID: "r1"}, Layer: messages.LayerOptimizer, Class: messages.ClassStd, Outcome: "success",
		Reason: messages.ReasonOK, Waited: time.Second, Took: time.Millisecond, Left: time.Hour, HasLeft: true,
	}
}

func attempted(model string) worker.Attempted {
	return worker.Attempted{Key: messages.Key{Tenant: "acme", ID: "r1"}, Class: messages.ClassStd, Attempt: messages.Attempt{
		Backend: "openai", Model: model, DurationMS: 250, CostMicroUSD: 42, Billing: messages.BillingKnown, PriceVersion: "p1",
		Usage: &messages.Usage{InputUncached: 10, Output: 5},
	}}
}

// scrape is what a scraper reads.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestEveryDefinedMetricIsThereAndLintsClean(t *testing.T) {
	m := metrics.New(metrics.Options{Version: "v1", Sources: sources()})
	m.Settled(settled())
	m.Attempted(attempted("gpt-5"))
	dear := attempted("gpt-5")
	dear.Attempt.Backend, dear.Attempt.BoundMicroUSD = "bedrock", 41
	m.Attempted(dear)
	m.Died(worker.Died{Layer: messages.LayerAI, Reason: messages.ReasonCrash})
	problems, err := testutil.GatherAndLint(m.Gatherer())
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	text := scrape(t, m)
	for _, d := range metrics.Definitions() {
		if !strings.Contains(text, "# TYPE "+d.Name+" "+d.Type+"\n") {
			t.Errorf("%s %s is not there", d.Type, d.Name)
		}
		for _, l := range d.Labels {
			if !strings.Contains(text, l+"=") {
				t.Errorf("label %s of %s is not there", l, d.Name)
			}
		}
	}
	for _, line := range []string{
		`flowgate_requests_total{layer="workflow_optimizer",outcome="success",reason="ok"} 1`,
		`flowgate_attempts_total{backend="openai",class="ok"} 1`,
		`flowgate_cost_microusd_total{backend="openai"} 42`,
		`flowgate_cache_hits_total{level="memory"} 3`, `flowgate_cache_misses_total 2`, `flowgate_cache_saved_microusd_total 99`,
		`flowgate_cache_evictions_total 4`, `flowgate_cache_bytes{level="disk"} 20`,
		`flowgate_dead_letters_total{layer="ai_processing",reason="crash"} 1`,
		`flowgate_over_bound_total{backend="bedrock"} 1`, `flowgate_budget_used_ratio{kind="user",window="day"} 0.97`,
		`flowgate_budget_alerts_total{kind="user",mark="80",window="day"} 2`,
		`flowgate_deadline_proximity_seconds_bucket{le="3600"} 1`, `flowgate_deadline_proximity_seconds_bucket{le="600"} 0`,
		`flowgate_queue_pending{class="std",layer="ai_processing",queue="ai"} 7`,
		`flowgate_reservations_held_microusd 1234`, `flowgate_audit_lag_seconds{stream="EVENTS"} 1`,
		`flowgate_backend_breaker_state{backend="openai",state="held"} 1`, `flowgate_backend_breaker_state{backend="openai",state="closed"} 0`,
		`flowgate_backend_models_stopped{backend="openai"} 1`, `flowgate_backend_waiting{backend="openai"} 5`, `flowgate_backend_away{backend="openai"} 4`,
		`flowgate_backend_blocked_seconds{backend="openai"} 0`, `flowgate_backend_paced_seconds_total{backend="openai"} 90`,
		`flowgate_service_state{service="nats",state="healthy"} 1`, `flowgate_service_state{service="nats",state="unknown"} 0`,
		`gen_ai_client_token_usage_bucket{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-5",gen_ai_token_type="input",le="16"} 1`,
		`gen_ai_client_token_usage_bucket{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-5",gen_ai_token_type="input",le="6.7108864e+07"} 1`,
		`gen_ai_client_operation_duration_seconds_bucket{error_type="",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-5",le="0.32"} 1`,
		`gen_ai_client_operation_duration_seconds_bucket{error_type="",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-5",le="81.92"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("not there: %s", line)
		}
	}
	for _, never := range []string{"acme", "r1", `flowgate_queue_oldest_age_seconds{class="rt"`, `service="s3"`} {
		if strings.Contains(text, never) {
			t.Errorf("%s is there", never)
		}
	}
}

func TestNoLabelGrowsWithoutBound(t *testing.T) {
	m := metrics.New(metrics.Options{})
	for i := range 5000 {
		a := attempted(fmt.Sprintf("model-%d", i))
		a.Attempt.Backend, a.Attempt.Class = fmt.Sprintf("b%d", i), fmt.Sprintf("c%d", i)
		m.Attempted(a)
		s := settled()
		s.Reason, s.Class = messages.Reason(fmt.Sprintf("reason-%d", i)), messages.Class(fmt.Sprintf("class-%d", i))
		m.Settled(s)
	}
	text := scrape(t, m)
	if n := strings.Count(text, "flowgate_requests_total{"); n > 101 || !strings.Contains(text, `reason="other"`) {
		t.Errorf("%d series of requests", n)
	}
	if n := strings.Count(text, "gen_ai_client_operation_duration_seconds_count{"); n > 140 || !strings.Contains(text, `gen_ai_request_model="other"`) {
		t.Errorf("%d series of operations", n)
	}
	if n := strings.Count(text, "flowgate_layer_wait_seconds_count{"); n > 21 {
		t.Errorf("%d series of waits", n)
	}
}

func TestOperationsProvidersAndFaultsHaveTheirConventionalNames(t *testing.T) {
	m := metrics.New(metrics.Options{})
	for backend, provider := range map[string]string{
		"openai": "openai", "anthropic": "anthropic", "bedrock": "aws.bedrock", "mlflow": "mlflow", "offline": "flowgate.offline",
	} {
		chat, embedding, failed := attempted("m"), attempted("m"), attempted("m")
		embedding.Kind, embedding.Attempt.Usage = messages.KindEmbedding, &messages.Usage{InputUncached: 17}
		failed.Kind, failed.Attempt.Class, failed.Attempt.Usage = messages.KindPrompt, "rate_limited", nil
		for _, a := range []worker.Attempted{chat, embedding, failed} {
			a.Attempt.Backend = backend
			m.Attempted(a)
		}
		text := scrape(t, m)
		of := func(operation string) string {
			return fmt.Sprintf(`gen_ai_operation_name=%q,gen_ai_provider_name=%q,gen_ai_request_model="m"`, operation, provider)
		}
		for _, line := range []string{
			`gen_ai_client_operation_duration_seconds_count{error_type="",` + of("chat") + `} 1`,
			`gen_ai_client_operation_duration_seconds_count{error_type="rate_limited",` + of("chat") + `} 1`,
			`gen_ai_client_operation_duration_seconds_count{error_type="",` + of("embeddings") + `} 1`,
			`gen_ai_client_token_usage_sum{` + of("chat") + `,gen_ai_token_type="output"} 5`,
			`gen_ai_client_token_usage_sum{` + of("embeddings") + `,gen_ai_token_type="input"} 17`,
		} {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("not there: %s", line)
			}
		}
		if strings.Contains(text, of("embeddings")+`,gen_ai_token_type="output"`) {
			t.Errorf("embeddings of %s have an output", backend)
		}
	}
}

func TestNothingThatSomebodyWroteIsALabel(t *testing.T) {
	const canary = "canary-7f3a"
	m := metrics.New(metrics.Options{})
	for _, version := range []string{"", "dearest-0badc0de", "p1"} { // none, that of every model without a price, a model's own
		a := attempted(canary + "-model")
		if a.Attempt.PriceVersion = version; version == "p1" {
			a.Attempt.Model = "gpt-5"
		}
		a.ID, a.Tenant, a.Attempt.Code, a.Attempt.Detail, a.Attempt.Worker = canary, canary, canary, canary, canary
		a.Attempt.Usage.ServiceTier, a.Attempt.Usage.InferenceGeo = canary, canary
		m.Attempted(a)
		a.Attempt.Class = "transient"
		m.Attempted(a)
	}
	s := settled()
	s.ID, s.Tenant, s.Queue = canary, canary, canary
	m.Settled(s)
	m.Died(worker.Died{Key: s.Key, Layer: messages.LayerAI, Reason: messages.ReasonCrash})
	text := scrape(t, m)
	if at := strings.Index(text, canary); at >= 0 {
		t.Errorf("exported …%s…", text[max(at-200, 0):at+len(canary)])
	}
	for model, n := range map[string]int{"other": 2, "gpt-5": 1} {
		if line := fmt.Sprintf("error_type=\"transient\",gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=%q} %d\n", model, n); !strings.Contains(text, line) {
			t.Errorf("not there: %s", line)
		}
	}
}

func TestWhatIsNotKnownIsAbsent(t *testing.T) {
	s := sources()
	var asked atomic.Int32
	s.Queues = func(ctx context.Context) ([]metrics.Queue, error) { // a broker that does not answer
		asked.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.Held = func(context.Context) (int64, error) { return 0, errors.New("secret of a database") }
	m := metrics.New(metrics.Options{Sources: s, Timeout: 50 * time.Millisecond, Keep: time.Hour})
	began := time.Now()
	text := scrape(t, m)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a scrape took %s", took)
	}
	for _, line := range []string{`flowgate_scrape_source_up{source="queues"} 0`, `flowgate_scrape_source_up{source="ledger"} 0`, `flowgate_scrape_source_up{source="record"} 1`} {
		if !strings.Contains(text, line) {
			t.Errorf("not there: %s", line)
		}
	}
	for _, never := range []string{"flowgate_queue_", "flowgate_reservations", "secret"} {
		if strings.Contains(text, never) {
			t.Errorf("%s is there", never)
		}
	}
	scrape(t, m)
	if asked.Load() != 1 {
		t.Errorf("the broker was asked %d times within the time that an answer is kept", asked.Load())
	}
}

func TestEveryOutcomeAndReasonFitsItsBound(t *testing.T) {
	m := metrics.New(metrics.Options{})
	for _, r := range messages.ReasonList() {
		s := settled()
		s.Reason = r.Reason
		m.Settled(s)
	}
	for _, o := range worker.AllSettledAs() {
		s := settled()
		s.Outcome = o
		m.Settled(s)
	}
	text := scrape(t, m)
	if strings.Contains(text, `"other"`) {
		t.Error("a known reason became other")
	}
	if n := strings.Count(text, "flowgate_requests_total{"); n < len(messages.ReasonList()) {
		t.Errorf("%d series", n)
	}
	if !slices.Contains(worker.AllSettledAs(), worker.SettledAs("success")) {
		t.Error("success is no outcome")
	}
}

// BenchmarkRequest is what the metrics cost a request: three deliveries and an attempt.
func BenchmarkRequest(b *testing.B) {
	m := metrics.New(metrics.Options{Sources: sources()})
	s, a := settled(), attempted("gpt-5")
	b.ReportAllocs()
	for b.Loop() {
		m.Settled(s)
		m.Settled(s)
		m.Attempted(a)
		m.Settled(s)
	}
}

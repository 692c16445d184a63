package traces_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/traces"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is an OTLP collector.
type receiver struct {
	url string

	mu    sync.Mutex
	spans []*otlp.Span
	about string
	raw   []byte
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil || q.URL.Path != "/v1/traces" || q.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("received %s %v: %v", q.URL, q.Header, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.raw = append(r.raw, body...)
		for _, resource := range export.GetResourceSpans() {
			r.about += resource.GetResource().String()
			for _, scope := range resource.GetScopeSpans() {
				r.spans = append(r.spans, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

var (
	traceID = [16]byte{1, 2, 3}
	first   = [8]byte{4}
	second  = [8]byte{5}
)

func settled(span, parent [8]byte) worker.Settled {
	return worker.Settled{
		Key: messages.Key{Tenant: "acme", ID: "r1"}, Layer: messages.LayerAI, Class: messages.ClassStd, Queue: "ai-std-0",
		Outcome: "failure", Reason: messages.ReasonBackendAuth, Started: time.Unix(100, 0), Took: 2 * time.Second,
		Trace: worker.Trace{ID: traceID, Span: span, Parent: parent, Sampled: true},
	}
}

func attempted() worker.Attempted {
	return worker.Attempted{
		Key: messages.Key{Tenant: "acme", ID: "r1"}, Class: messages.ClassStd, Trace: worker.Trace{ID: traceID, Span: second, Sampled: true},
		Attempt: messages.Attempt{
			K: 1, Backend: "bedrock", Model: "nova", StartedAt: time.Unix(101, 0), DurationMS: 500,
			Usage: &messages.Usage{InputUncached: 3, InputCacheRead: 4, Output: 5},
		},
	}
}

func attributes(s *otlp.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.GetAttributes() {
		all[a.GetKey()] = a.GetValue().String()
	}
	return all
}

func TestSpansHaveTheIdsOfTheDelivery(t *testing.T) {
	r := newReceiver(t)
	tracer, err := traces.New(t.Context(), traces.Options{Endpoint: r.url + "/", Version: "v1", Worker: "w1"})
	if err != nil {
		t.Fatal(err)
	}
	tracer.Settled(settled(first, [8]byte{}))
	tracer.Settled(settled(second, first))
	tracer.Attempted(attempted())
	parked, unsampled := settled(first, second), settled(first, second)
	parked.Outcome, unsampled.Trace.Sampled = worker.SettledParked, false
	tracer.Settled(parked)
	tracer.Settled(unsampled)
	tracer.Close()
	if len(r.spans) != 3 || !strings.Contains(r.about, "flowgate") || !strings.Contains(r.about, "w1") || strings.Contains(r.about, "process.command") {
		t.Fatalf("received %v of %s", r.spans, r.about)
	}
	for i, want := range []struct {
		name, span, parent string
		kind               otlp.Span_SpanKind
		failed             bool
		from, to           int64
	}{
		{"process ai_processing", hex.EncodeToString(first[:]), "", otlp.Span_SPAN_KIND_CONSUMER, true, 100_000, 102_000},
		{"process ai_processing", hex.EncodeToString(second[:]), hex.EncodeToString(first[:]), otlp.Span_SPAN_KIND_CONSUMER, true, 100_000, 102_000},
		{"chat nova", "", hex.EncodeToString(second[:]), otlp.Span_SPAN_KIND_CLIENT, false, 101_000, 101_500},
	} {
		got := r.spans[i]
		if got.GetName() != want.name || hex.EncodeToString(got.GetTraceId()) != hex.EncodeToString(traceID[:]) || got.GetKind() != want.kind ||
			hex.EncodeToString(got.GetParentSpanId()) != want.parent || want.span != "" && hex.EncodeToString(got.GetSpanId()) != want.span ||
			(got.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR) != want.failed ||
			got.GetStartTimeUnixNano() != uint64(want.from*1e6) || got.GetEndTimeUnixNano() != uint64(want.to*1e6) {
			t.Errorf("span %d is %v", i, got)
		}
	}
	call := attributes(r.spans[2])
	for key, want := range map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "aws.bedrock", "gen_ai.request.model": "nova", "gen_ai.usage.input_tokens": "7",
		"gen_ai.usage.output_tokens": "5", "gen_ai.usage.cache_read.input_tokens": "4", "flowgate.request_id": "r1",
	} {
		if !strings.Contains(call[key], want) {
			t.Errorf("%s is %s, not %s", key, call[key], want)
		}
	}
	if _, failed := call["error.type"]; failed {
		t.Error("a call that was answered has an error type")
	}
}

func TestACallIsNamedAsTheConventionsHaveIt(t *testing.T) {
	r := newReceiver(t)
	tracer, err := traces.New(t.Context(), traces.Options{Endpoint: r.url})
	if err != nil {
		t.Fatal(err)
	}
	prompt, embedding, failed := attempted(), attempted(), attempted()
	prompt.Kind, embedding.Kind, failed.Kind = messages.KindPrompt, messages.KindEmbedding, messages.KindEmbedding
	prompt.Attempt.Backend, embedding.Attempt.Backend, failed.Attempt.Backend = "anthropic", "openai", "offline"
	failed.Attempt.Class, failed.Attempt.Usage = "rate_limited", nil
	for _, a := range []worker.Attempted{prompt, embedding, failed} {
		tracer.Attempted(a)
	}
	tracer.Close()
	if len(r.spans) != 3 {
		t.Fatalf("received %v", r.spans)
	}
	for i, want := range []struct{ operation, provider, fault string }{
		{"chat", "anthropic", ""}, {"embeddings", "openai", ""}, {"embeddings", "flowgate.offline", "rate_limited"},
	} {
		got := r.spans[i]
		all := attributes(got)
		if got.GetName() != want.operation+" nova" || got.GetKind() != otlp.Span_SPAN_KIND_CLIENT {
			t.Errorf("span %d is %v", i, got)
		}
		if !strings.Contains(all["gen_ai.operation.name"], `"`+want.operation+`"`) || !strings.Contains(all["gen_ai.provider.name"], `"`+want.provider+`"`) {
			t.Errorf("span %d is of %s at %s", i, all["gen_ai.operation.name"], all["gen_ai.provider.name"])
		}
		fault, there := all["error.type"]
		_, used := all["gen_ai.usage.input_tokens"]
		if there != (want.fault != "") || used == there || !strings.Contains(fault, want.fault) ||
			(got.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR) != there {
			t.Errorf("span %d failed as %q, its usage is told: %v, its status %v", i, fault, used, got.GetStatus())
		}
	}
}

func TestNothingThatSomebodyWroteIsInASpan(t *testing.T) {
	const canary = "canary-7f3a"
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization="+canary)
	r := newReceiver(t)
	tracer, err := traces.New(t.Context(), traces.Options{Endpoint: r.url, Version: "v1", Worker: "w1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"", "transient"} {
		a := attempted()
		a.Attempt.Class, a.Attempt.Code, a.Attempt.Detail, a.Attempt.Worker = class, canary, canary, canary
		a.Attempt.Usage.ServiceTier, a.Attempt.Usage.InferenceGeo = canary, canary
		worker.TellAttempt(tracer, &worker.Task{
			Delivery: &worker.Delivery{Address: messages.Address{Key: a.Key, Class: a.Class}, Data: []byte(canary)}, Trace: a.Trace,
			Envelope: &messages.Envelope{
				Kind: messages.KindPrompt, Request: []byte(`{"prompt":"` + canary + `"}`), Corporate: &messages.CorporateSection{UserID: canary, AuditReason: canary},
				AI: &messages.AISection{Answer: canary, ToolCalls: []messages.ToolCall{{Arguments: canary}}}, History: []messages.Attempt{a.Attempt},
			},
		}, a.Attempt)
	}
	s := settled(first, second)
	tracer.Settled(s)
	tracer.Died(worker.Died{Key: s.Key, Layer: s.Layer, Reason: s.Reason})
	tracer.Close()
	if len(r.spans) != 3 {
		t.Errorf("received %v", r.spans)
	}
	if strings.Contains(string(r.raw), canary) {
		t.Errorf("exported %v of %s", r.spans, r.about)
	}
}

func TestACollectorThatHangsOrIsAwayBlocksNobody(t *testing.T) {
	hanging := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else its end is not seen
		select {
		case <-hanging:
		case <-r.Context().Done():
		}
	}))
	defer hung.Close()
	defer close(hanging)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "canary of the collector", http.StatusUnauthorized)
	}))
	defer refusing.Close()
	for name, url := range map[string]string{"hanging": hung.URL, "away": "http://127.0.0.1:1", "refusing": refusing.URL} {
		t.Run(name, func(t *testing.T) {
			core, logged := observer.New(zap.DebugLevel)
			tracer, err := traces.New(t.Context(), traces.Options{Endpoint: url, Logger: zap.New(core)})
			if err != nil {
				t.Fatal(err)
			}
			// More spans than the queue holds, to a collector that takes none: whoever waited for it would wait for ever.
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for range 5_000 {
					tracer.Settled(settled(first, second))
				}
				tracer.Close()
			}()
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("it waits for the collector")
			}
			entries := logged.All()
			if len(entries) > 1 {
				t.Errorf("it is told %d times", len(entries))
			}
			for _, e := range entries {
				if strings.Contains(e.ContextMap()["error"].(string), "canary") { //nolint:errcheck // a string
					t.Errorf("it repeats the collector: %v", e)
				}
			}
		})
	}
}

// BenchmarkHop is what a span costs the delivery that it tells of.
func BenchmarkHop(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	tracer, err := traces.New(b.Context(), traces.Options{Endpoint: server.URL})
	if err != nil {
		b.Fatal(err)
	}
	defer tracer.Close()
	s := settled(first, second)
	b.ReportAllocs()
	for b.Loop() {
		tracer.Settled(s)
	}
}

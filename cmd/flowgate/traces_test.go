package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlpReceiver is a collector of spans.
type otlpReceiver struct {
	url string

	mu    sync.Mutex
	spans []*otlp.Span
	// raw is everything that arrived.
	raw []byte
}

func newOTLPReceiver(t *testing.T) *otlpReceiver {
	t.Helper()
	r := &otlpReceiver{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil {
			t.Errorf("received %s: %v", q.URL, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.raw = append(r.raw, body...)
		for _, resource := range export.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				r.spans = append(r.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func TestOneTraceOverThreeHops(t *testing.T) {
	t.Parallel()
	receiver := newOTLPReceiver(t)
	g := newGround(t, quickSettings, "OTEL_EXPORTER_OTLP_ENDPOINT="+receiver.url)
	up := g.up()
	up.ready()
	var accepted struct {
		TraceID string `json:"trace_id"`
	}
	g.say("submit", "--id", "traced", "--json", "--reason", "a test of traces", "Say OK").read(t, &accepted)
	if r := g.result("traced"); r.TraceID != accepted.TraceID || len(r.TraceID) != 32 {
		t.Errorf("the result has the trace %q, the submission %q", r.TraceID, accepted.TraceID)
	}
	up.stop() // it sends the last spans
	spans := map[string]*otlp.Span{}
	for _, s := range receiver.spans {
		spans[s.GetName()] = s
		if hex.EncodeToString(s.GetTraceId()) != accepted.TraceID {
			t.Errorf("%s is of another trace", s.GetName())
		}
	}
	if len(receiver.spans) != 4 || len(spans) != 4 {
		t.Fatalf("received %v", receiver.spans)
	}
	call := "chat anthropic.claude-3-sonnet-20240229-v1:0"
	for child, parent := range map[string]string{
		"process ai_processing": "process corporate_llm", "process workflow_optimizer": "process ai_processing", call: "process ai_processing",
	} {
		if string(spans[child].GetParentSpanId()) != string(spans[parent].GetSpanId()) || len(spans[child].GetParentSpanId()) != 8 {
			t.Errorf("%s is not below %s: %v", child, parent, spans)
		}
	}
}

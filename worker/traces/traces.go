// Package traces makes OpenTelemetry spans of what the runtime tells its observers and sends them to a collector (OTLP over
// HTTP). The ids are the runtime's own: they travel in message headers whether or not anybody collects spans. No span holds
// text of a prompt or an answer.
package traces

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker"
)

// Options are what a tracer needs.
type Options struct {
	// Endpoint is the collector's base URL, such as http://127.0.0.1:4318. Headers come from OTEL_EXPORTER_OTLP_HEADERS.
	Endpoint string
	// Version and Worker name this process in every span.
	Version, Worker string
	Logger          *zap.Logger
}

// Bounds: what a collector that is slow or away does not take in time is dropped; work never waits for it.
const (
	mostWaiting   = 4096
	mostAtOnce    = 512
	sendEvery     = 2 * time.Second
	sendTimeout   = 5 * time.Second
	exportTimeout = 15 * time.Second
	// Farewell is how long Close waits for the collector.
	Farewell = 3 * time.Second
	// closing bounds the SDK's own work after that.
	closing = 20 * time.Second
)

// Tracer is an observer that makes spans.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	// giveUp ends whatever is being sent.
	giveUp context.CancelFunc
}

var _ worker.Observer = (*Tracer)(nil)

// New makes a tracer; it does not wait for the collector. The caller closes it.
func New(ctx context.Context, o Options) (*Tracer, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	target := strings.TrimSuffix(o.Endpoint, "/")
	if !strings.HasSuffix(target, "/v1/traces") {
		target += "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(target), otlptracehttp.WithTimeout(sendTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: 2 * time.Second, MaxElapsedTime: exportTimeout}))
	if err != nil {
		return nil, errors.New("opening the collector of spans: flowgate.telemetry.otlp_endpoint must be a URL, such as http://127.0.0.1:4318")
	}
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "flowgate"), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Worker),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// What the SDK has to say beside an export's error repeats the collector's own words: it would go to standard error.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	over, giveUp := context.WithCancel(context.Background())
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(&telling{SpanExporter: exporter, log: o.Logger, over: over.Done()},
			sdk.WithMaxQueueSize(mostWaiting), sdk.WithMaxExportBatchSize(mostAtOnce), sdk.WithBatchTimeout(sendEvery), sdk.WithExportTimeout(exportTimeout)),
		sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample())), sdk.WithIDGenerator(given{}), sdk.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer("flowgate"), giveUp: giveUp}, nil
}

// Close sends what waits, for at most Farewell. What the collector has not taken by then is lost.
func (t *Tracer) Close() {
	late := time.AfterFunc(Farewell, t.giveUp) // the SDK would leave its sending behind
	defer late.Stop()
	defer t.giveUp()
	// When the exporter has given up, the SDK's own work on what it still held is left: short, but on a machine without a free
	// hand it takes as long as it takes.
	ctx, cancel := context.WithTimeout(context.Background(), Farewell+closing)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the exporter has told
}

// Settled makes the span of a request's stay at a layer. A delivery that was only handed back has none.
func (t *Tracer) Settled(s worker.Settled) {
	if !s.Trace.Sampled || s.Outcome == worker.SettledParked {
		return
	}
	attributes := append(request(s.Key, s.Class, s.Epoch),
		attribute.String("flowgate.layer", string(s.Layer)), attribute.String("flowgate.outcome", string(s.Outcome)),
		attribute.Float64("flowgate.waited_seconds", s.Waited.Seconds()),
		attribute.String("messaging.system", "nats"), attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.consumer.group.name", s.Queue))
	if s.Reason != "" {
		attributes = append(attributes, attribute.String("flowgate.reason", string(s.Reason)))
	}
	ctx := with(s.Trace.ID, s.Trace.Span)
	if s.Trace.Parent != [8]byte{} {
		ctx = below(ctx, s.Trace.ID, s.Trace.Parent)
	}
	_, span := t.tracer.Start(ctx, "process "+string(s.Layer),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(s.Started), trace.WithAttributes(attributes...))
	switch messages.Status(s.Outcome) { //nolint:exhaustive // what is left is no error of the layer's
	case messages.StatusFailure, messages.StatusTimeout:
		span.SetStatus(codes.Error, string(s.Reason))
	}
	span.End(trace.WithTimestamp(s.Started.Add(s.Took)))
}

// Attempted makes the span of a call, as OpenTelemetry's conventions for generative models have it.
func (t *Tracer) Attempted(told worker.Attempted) {
	a := &told.Attempt
	if !told.Trace.Sampled || a.Backend == "" {
		return
	}
	operation := told.Operation()
	attributes := append(request(told.Key, told.Class, told.Epoch),
		attribute.String("gen_ai.operation.name", operation), attribute.String("gen_ai.provider.name", worker.Provider(a.Backend)),
		attribute.String("gen_ai.request.model", a.Model), attribute.Int("flowgate.attempt", a.K), attribute.Int("flowgate.tries", a.Tries),
		attribute.Int64("flowgate.cost_microusd", a.CostMicroUSD))
	if u := a.Usage; u != nil {
		attributes = append(attributes, attribute.Int64("gen_ai.usage.input_tokens", u.Input()), attribute.Int64("gen_ai.usage.output_tokens", u.Output),
			attribute.Int64("gen_ai.usage.cache_read.input_tokens", u.InputCacheRead))
	}
	if !told.OK() {
		attributes = append(attributes, attribute.String("error.type", a.Class))
	}
	_, span := t.tracer.Start(below(context.Background(), told.Trace.ID, told.Trace.Span), operation+" "+a.Model,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(a.StartedAt), trace.WithAttributes(attributes...))
	if !told.OK() {
		span.SetStatus(codes.Error, a.Class)
	}
	span.End(trace.WithTimestamp(a.StartedAt.Add(time.Duration(a.DurationMS) * time.Millisecond)))
}

// Died makes no span: the delivery's tells.
func (t *Tracer) Died(worker.Died) {}

func request(key messages.Key, class messages.Class, epoch int) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, 16)
	return append(all, attribute.String("flowgate.tenant", key.Tenant), attribute.String("flowgate.request_id", key.ID),
		attribute.String("flowgate.class", string(class)), attribute.Int("flowgate.epoch", epoch))
}

// below is a context whose spans are children of one that somebody else made.
func below(ctx context.Context, id [16]byte, parent [8]byte) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: parent, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}

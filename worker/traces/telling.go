package traces

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
)

// telling logs when the collector stops taking spans and when it takes them again, once each. It never repeats what the
// collector answered.
type telling struct {
	sdk.SpanExporter

	log *zap.Logger
	// over is closed when nothing is waited for any more.
	over <-chan struct{}
	away atomic.Bool
}

// ExportSpans sends spans; what cannot be sent is dropped.
func (t *telling) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	sent := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-t.over:
			cancel()
		case <-sent:
		}
	})
	err := t.SpanExporter.ExportSpans(ctx, spans)
	close(sent)
	watch.Wait()
	cancel()
	switch {
	case err != nil && !t.away.Swap(true):
		t.log.Warn("the collector of spans takes none: they are dropped until it does", zap.String("error", cause(err)))
	case err == nil && t.away.Swap(false):
		t.log.Info("the collector of spans takes them again")
	}
	return nil
}

// cause says what went wrong in our own words or the operating system's.
func cause(err error) string {
	var op *net.OpError
	switch {
	case errors.As(err, &op):
		return op.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "no answer in time"
	}
	return "refused; is it an OTLP endpoint, and are OTEL_EXPORTER_OTLP_HEADERS right?"
}

package traces

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
)

// given makes ids out of those that the runtime has given a delivery, and random ones elsewhere.
type given struct{}

type givenKey struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

// with is a context in which the next span has these ids.
func with(id [16]byte, span [8]byte) context.Context {
	return context.WithValue(context.Background(), givenKey{}, ids{id, span})
}

// NewIDs are the ids of a span without a parent.
func (g given) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if all, ok := ctx.Value(givenKey{}).(ids); ok {
		return all.trace, all.span
	}
	var id trace.TraceID
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64()|1) //nolint:gosec // ids have to differ, not to be secret
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID is the id of a span with a parent.
func (given) NewSpanID(ctx context.Context, _ trace.TraceID) (span trace.SpanID) {
	if all, ok := ctx.Value(givenKey{}).(ids); ok {
		return all.span
	}
	binary.LittleEndian.PutUint64(span[:], rand.Uint64()|1) //nolint:gosec // see above
	return span
}

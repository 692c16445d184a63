package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker"
)

// Backlog is how a durable consumer stands.
type Backlog struct {
	// Pending were delivered to nobody yet; Unanswered were, and are in hand or parked.
	Pending, Unanswered uint64
	// Oldest is when the oldest message above the consumer's floor was stored; zero where there is none.
	Oldest time.Time
}

// ReadBacklog asks the leaders of consumer and stream how a consumer stands.
func ReadBacklog(ctx context.Context, js jetstream.JetStream, c Consumer) (Backlog, error) {
	consumer, err := js.Consumer(ctx, c.Stream, c.Name)
	if err != nil {
		return Backlog{}, fmt.Errorf("reading consumer %s: %w", c.Name, err)
	}
	info := consumer.CachedInfo()
	b := Backlog{Pending: info.NumPending, Unanswered: uint64(max(info.NumAckPending, 0))} //nolint:gosec // not negative
	if b.Pending+b.Unanswered == 0 {
		return b, nil
	}
	leader := &worker.Leader{JS: js}
	for _, filter := range c.Filters() {
		m, found, err := leader.Next(ctx, c.Stream, info.AckFloor.Stream+1, filter)
		if err != nil {
			return Backlog{}, err
		}
		if found && (b.Oldest.IsZero() || m.Time.Before(b.Oldest)) {
			b.Oldest = m.Time
		}
	}
	return b, nil
}

package broker

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Gauge knows how much waits at consumers, as of a moment ago.
type Gauge struct {
	js        jetstream.JetStream
	consumers []Consumer
	every     time.Duration
	log       *zap.Logger

	mu    sync.RWMutex
	waits map[string]uint64
}

// NewGauge makes a gauge that looks at consumers every so often while it runs; before that nothing waits.
func NewGauge(js jetstream.JetStream, consumers []Consumer, every time.Duration, log *zap.Logger) *Gauge {
	return &Gauge{js: js, consumers: consumers, every: every, log: log, waits: make(map[string]uint64)}
}

// Run looks until ctx ends. What cannot be asked is as it was.
func (g *Gauge) Run(ctx context.Context) {
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	for {
		for _, c := range g.consumers {
			n, err := waiting(ctx, g.js, c)
			if err != nil {
				g.log.Debug("looking at a backlog", zap.String("consumer", c.Name), zap.Error(err))
				continue
			}
			g.mu.Lock()
			g.waits[c.Name] = n
			g.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Waits is how many messages of a consumer nobody has answered: undelivered, in hand or parked.
func (g *Gauge) Waits(consumer string) uint64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.waits[consumer]
}

func waiting(ctx context.Context, js jetstream.JetStream, c Consumer) (uint64, error) {
	consumer, err := js.Consumer(ctx, c.Stream, c.Name)
	if err != nil {
		return 0, err
	}
	info := consumer.CachedInfo()
	return info.NumPending + uint64(max(info.NumAckPending, 0)), nil //nolint:gosec // not negative
}

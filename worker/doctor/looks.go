package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/fleet"
)

// looks looks at the fleet and at every queue several times.
func (g *gathering) looks(ctx context.Context) error {
	queues := queuesOf(g.Topology)
	var all fleet.Fleet
	for n := range g.Looks {
		next := time.NewTimer(g.Between)
		answers, err := fleet.AskFor(ctx, g.JS.Conn(), g.Between, 0)
		if err != nil {
			next.Stop()
			return err
		}
		all.Merge(answers)
		for i := range queues {
			if err := g.look(ctx, &queues[i], n == g.Looks-1); err != nil {
				next.Stop()
				return err
			}
		}
		if n == g.Looks-1 {
			next.Stop()
			break
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return ctx.Err()
		}
	}
	g.add(func(f *Facts) { f.Fleet, f.Queues, f.Now = all, queues, time.Now() })
	return nil
}

// queuesOf are the consumers of the chain.
func queuesOf(t broker.Topology) []Queue {
	var queues []Queue
	for _, layer := range pipelines.Chain() {
		for _, q := range layer.Queues {
			named := broker.LayerQueue{Name: q.Name, State: q.State}
			for _, c := range t.Consumers {
				for _, class := range messages.Classes() {
					if p, ok := partitionOf(c, named, class); ok {
						queues = append(queues, Queue{
							Stream: c.Stream, Consumer: named.Consumer(class, p), Layer: layer.Name, Class: class,
							Hold: q.State == messages.StateHold, MaxUnanswered: c.MaxAckPending,
						})
					}
				}
			}
		}
	}
	return queues
}

// partitionOf tells whether a consumer is that of a queue and a class, and of which partition.
func partitionOf(c broker.Consumer, q broker.LayerQueue, class messages.Class) (p int, ok bool) {
	if q.State != "" {
		if _, err := fmt.Sscanf(c.Stream, "FLOWGATE_WORK_%d", &p); err != nil {
			return 0, false
		}
	}
	return p, c.Stream == q.Stream(p) && c.Name == q.Consumer(class, p)
}

// look looks at a queue once; the last time also at its oldest message.
func (g *gathering) look(ctx context.Context, q *Queue, last bool) error {
	consumer, err := g.JS.Consumer(ctx, q.Stream, q.Consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		q.Looks = nil // a difference of the topology
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading consumer %s of %s: %w", q.Consumer, q.Stream, err)
	}
	info := consumer.CachedInfo()
	q.Looks = append(q.Looks, Look{
		Undelivered: info.NumPending, Unanswered: info.NumAckPending, Waiting: info.NumWaiting,
		Delivered: info.Delivered.Stream, Answered: info.AckFloor.Stream, PausedAtBroker: info.Paused,
	})
	if !last || info.NumPending == 0 {
		return nil
	}
	filters := info.Config.FilterSubjects
	if info.Config.FilterSubject != "" {
		filters = []string{info.Config.FilterSubject}
	}
	for _, filter := range filters {
		m, found, err := (&worker.Leader{JS: g.JS}).Next(ctx, q.Stream, info.Delivered.Stream+1, filter)
		if err != nil {
			return err
		}
		if found && (q.Oldest.IsZero() || m.Time.Before(q.Oldest)) {
			q.Oldest = m.Time
		}
	}
	return nil
}

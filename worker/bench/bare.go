package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
)

// What the bare chain calls its own. The partition is one that no deployment has, so that the law's family and the read
// of its newest state work as for any other.
const (
	barePartition   = 999
	bareIngress     = "FLOWGATE_BENCH_INGRESS"
	bareDescription = "bench: removed when the measurement ends"
	barePrefix      = "flowgate.bench."
	bareTenant      = "bench"
)

// tidy bounds the removal of the bare streams.
const tidy = 20 * time.Second

type bareOptions struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	topology broker.Topology
	// microBatch, lanes and concurrency are those of Options.
	microBatch, lanes, concurrency int
	// broken is told why a lane ended by itself.
	broken context.CancelCauseFunc
}

// bare is the chain without governance: three hops under the law (an expectation on the own sequence, over the family),
// opaque bodies, no decoding, no database. A hop fetches, publishes all at once, awaits every answer, and acknowledges.
type bare struct {
	opts   bareOptions
	hop    *worker.Hop
	cancel context.CancelFunc
	lanes  sync.WaitGroup
}

// stage is one hop of the bare chain: the consumer that it reads and the state that it publishes.
type stage struct {
	consumer broker.Consumer
	next     messages.State
	// single: one by one, each with a goroutine of its own, as the AI queue does.
	single bool
}

// startBare makes the streams and starts the lanes. The caller MUST call stop.
func startBare(ctx context.Context, o bareOptions) (*bare, error) {
	topology, stages, err := bareTopology(o)
	if err != nil {
		return nil, err
	}
	b := &bare{opts: o, hop: &worker.Hop{JS: o.js, Leader: &worker.Leader{JS: o.js}, Backoff: worker.DefaultDelays()}}
	if err := b.remove(ctx); err != nil { // what a killed measurement left
		return nil, err
	}
	work, cancel := context.WithCancel(ctx)
	b.cancel = cancel
	if err := b.start(work, topology, stages); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

func (b *bare) start(ctx context.Context, topology broker.Topology, stages []stage) error {
	if err := broker.Apply(ctx, b.opts.js, topology); err != nil {
		return err
	}
	for _, s := range stages {
		consumer, err := b.opts.js.Consumer(ctx, s.consumer.Stream, s.consumer.Name)
		if err != nil {
			return fmt.Errorf("opening consumer %s: %w", s.consumer.Name, err)
		}
		for range b.lanesOf(s) {
			b.lanes.Go(func() {
				if err := b.lane(ctx, s, consumer); err != nil && ctx.Err() == nil {
					b.opts.broken(fmt.Errorf("bare hop to %s: %w", s.next, err))
				}
			})
		}
	}
	return nil
}

func (b *bare) lanesOf(s stage) int {
	if s.single {
		return 1
	}
	return b.opts.lanes
}

// bareTopology copies the ingress stream, one WORK stream and the consumers of class std under the bare chain's names.
func bareTopology(o bareOptions) (broker.Topology, []stage, error) {
	var t broker.Topology
	for _, s := range o.topology.Streams {
		switch s.Name {
		case broker.StreamIngress:
			s.Name = bareIngress
		case broker.WorkStream(0):
			s.Name = broker.WorkStream(barePartition)
		default:
			continue
		}
		s.Description = bareDescription
		s.Subjects = renamed(s.Subjects)
		if s.RePublish != nil {
			again := *s.RePublish
			again.Source, again.Destination = rename(again.Source), rename(again.Destination)
			s.RePublish = &again
		}
		t.Streams = append(t.Streams, s)
	}
	work := broker.WorkStream(barePartition)
	stages := []stage{
		{consumer: broker.Consumer{Stream: bareIngress}, next: messages.StateAI},
		{consumer: broker.Consumer{Stream: work}, next: messages.StateOptimizer, single: o.concurrency > 0},
		{consumer: broker.Consumer{Stream: work}, next: messages.StateDone},
	}
	reads := []string{
		messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "*", ID: "*"}),
		messages.WorkSubject(0, messages.StateAI, messages.ClassStd, messages.Key{Tenant: "*", ID: "*"}),
		messages.WorkSubject(0, messages.StateOptimizer, messages.ClassStd, messages.Key{Tenant: "*", ID: "*"}),
	}
	for i := range stages {
		n := slices.IndexFunc(o.topology.Consumers, func(c broker.Consumer) bool { return slices.Contains(c.Filters(), reads[i]) })
		if n < 0 || len(t.Streams) != 2 {
			return t, nil, fmt.Errorf("copying the topology: no stream and consumer for %s", reads[i])
		}
		c := &stages[i].consumer
		c.ConsumerConfig = o.topology.Consumers[n].ConsumerConfig
		c.Name, c.Durable = "bench-"+string(stages[i].next), "bench-"+string(stages[i].next)
		c.FilterSubject, c.FilterSubjects = rename(c.FilterSubject), renamed(c.FilterSubjects)
		t.Consumers = append(t.Consumers, *c)
	}
	return t, stages, nil
}

func renamed(subjects []string) []string {
	own := make([]string, len(subjects))
	for i, s := range subjects {
		own[i] = rename(s)
	}
	if len(own) == 0 {
		return nil
	}
	return own
}

func rename(subject string) string {
	if rest, ok := strings.CutPrefix(subject, "flowgate.work.0."); ok {
		return "flowgate.work." + strconv.Itoa(barePartition) + "." + rest
	}
	if rest, ok := strings.CutPrefix(subject, "flowgate."); ok {
		return barePrefix + rest
	}
	return subject
}

// target is where the load goes.
func (b *bare) target() target {
	return target{
		name:    "bare",
		subject: func(id string) string { return barePrefix + "request.std." + bareTenant + "." + id },
		body:    document(),
		results: barePrefix + "result." + bareTenant + ".",
	}
}

// purge empties the streams between rounds: all that is in them has ended.
func (b *bare) purge(ctx context.Context) error {
	for _, name := range []string{bareIngress, broker.WorkStream(barePartition)} {
		stream, err := b.opts.js.Stream(ctx, name)
		if err == nil {
			err = stream.Purge(ctx)
		}
		if err != nil {
			return fmt.Errorf("purging stream %s: %w", name, err)
		}
	}
	return nil
}

// stop ends the lanes and removes streams and consumers, also when the context of the measurement has ended.
func (b *bare) stop() error {
	b.cancel()
	b.lanes.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), tidy)
	defer cancel()
	return b.remove(ctx)
}

// remove deletes the bare streams, and never a stream of that name that is somebody else's.
func (b *bare) remove(ctx context.Context) error {
	for _, name := range []string{bareIngress, broker.WorkStream(barePartition)} {
		stream, err := b.opts.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err == nil && stream.CachedInfo().Config.Description != bareDescription {
			return fmt.Errorf("stream %s is not a measurement's: move it away", name)
		}
		if err == nil {
			err = b.opts.js.DeleteStream(ctx, name)
		}
		if err != nil {
			return fmt.Errorf("removing stream %s: %w", name, err)
		}
	}
	return nil
}

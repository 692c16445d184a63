// Package bench measures the governed chain beside the bare chain on one server. The governed chain is the running node:
// three layers, money, the record in Postgres, a backend that answers at once. The bare chain is the same law and the same
// streams with nothing in between (bare.go): what governance costs is the difference.
//
// Load is a closed loop (load.go): a bounded number of requests is under way, each ends with its wake-up, and a governed
// round ends when the last outcome is committed. Rounds of both chains alternate; medians are reported.
//
// Read next: bare.go, then load.go, then split.go.
package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
)

// Kinds of Options.Sync.
const (
	// SyncAlways: the server flushes every write to disk before it is acknowledged.
	SyncAlways = "always"
	// SyncInterval: the server flushes from time to time.
	SyncInterval = "interval"
)

// Options are what a measurement needs. DefaultOptions has everything but the connections and what the caller alone knows.
type Options struct {
	// Conn and JS are connected as the operator to the server on which the node runs. Load and the bare chain use them.
	Conn *nats.Conn
	JS   jetstream.JetStream
	// Topology is the node's own: streams and consumers of the bare chain are copies of it.
	Topology broker.Topology
	// Tenant is whom the governed requests belong to. Its limits MUST allow them all.
	Tenant string
	// Committed tells how many outcomes of Tenant are recorded. It is asked every 20 ms at the end of a governed round.
	Committed func(ctx context.Context) (uint64, error)
	// PostgresPID is the postmaster's process; 0: its CPU is not counted (a server elsewhere).
	PostgresPID int
	// Sync is how the server stores: SyncAlways or SyncInterval. With SyncAlways flushes are counted and, where there is a
	// Group, each round of it is followed by one without.
	Sync string
	// Group is the node's, by which its publications reach the disk together; nil: it has none.
	Group *worker.Group
	// Rounds of each chain are counted, each of RoundTime, after one of WarmUp that is not.
	Rounds            int
	RoundTime, WarmUp time.Duration
	// Outstanding is how many requests are under way at once.
	Outstanding int
	// UnloadedRequests is how many requests of each chain are sent one at a time.
	UnloadedRequests int
	// MicroBatch and Lanes are the node's settings, for the bare chain.
	MicroBatch, Lanes int
	// Concurrency is how many requests the AI queue has in hand, one by one; 0: the bare chain takes micro-batches there too.
	Concurrency int
	// Progress, where set, is told what is being done.
	Progress func(string)
}

// DefaultOptions are five rounds of ten seconds.
func DefaultOptions() Options {
	return Options{
		Tenant: "bench", Sync: SyncInterval, Rounds: 5, RoundTime: 10 * time.Second, WarmUp: 3 * time.Second, Outstanding: 2000,
		UnloadedRequests: 300, MicroBatch: 200, Lanes: 2, Concurrency: 64,
	}
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	if o.Conn == nil || o.JS == nil || o.Committed == nil {
		faults = append(faults, errors.New("conn, js and committed are required"))
	}
	if err := messages.CheckTenant(o.Tenant); err != nil {
		faults = append(faults, err)
	}
	if o.Sync != SyncAlways && o.Sync != SyncInterval {
		faults = append(faults, fmt.Errorf("sync is %q, must be %q or %q", o.Sync, SyncAlways, SyncInterval))
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"rounds", o.Rounds},
		{"outstanding", o.Outstanding},
		{"unloaded_requests", o.UnloadedRequests},
		{"micro_batch", o.MicroBatch},
		{"lanes", o.Lanes},
	} {
		if n.value < 1 {
			faults = append(faults, fmt.Errorf("%s is %d, must be at least 1", n.name, n.value))
		}
	}
	if o.Concurrency < 0 || o.PostgresPID < 0 {
		faults = append(faults, errors.New("concurrency and postgres_pid must not be negative"))
	}
	if o.RoundTime <= 0 || o.WarmUp <= 0 {
		faults = append(faults, errors.New("round_time and warm_up must be longer than nothing"))
	}
	return errors.Join(faults...)
}

// Run measures. It takes about (2 x Rounds + 1) x RoundTime + 2 x WarmUp. When ctx ends it stops and returns ctx's error;
// streams and consumers of the bare chain are removed in any case. A request that does not end in success, a second
// wake-up of one request, or a minute without progress is an error: such a figure would mean nothing.
//
// It takes the process's CPU profile once; nobody else may be taking one.
func Run(ctx context.Context, o Options) (report Report, err error) {
	if err := o.Validate(); err != nil {
		return Report{}, fmt.Errorf("measuring: %w", err)
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	b := &bench{opts: o, meter: meter{postmaster: o.PostgresPID}}
	if _, err := b.meter.read(); err != nil {
		o.Progress(fmt.Sprintf("Postgres' own CPU is left out: %v", err))
		b.meter.postmaster = 0
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bare, err := startBare(ctx, bareOptions{
		conn: o.Conn, js: o.JS, topology: o.Topology, microBatch: o.MicroBatch, lanes: o.Lanes, concurrency: o.Concurrency,
		broken: cancel,
	})
	if err != nil {
		return Report{}, fmt.Errorf("measuring: %w", err)
	}
	defer func() { err = errors.Join(err, bare.stop()) }()
	if b.load, err = newLoad(o.Conn, o.Outstanding, cancel); err != nil {
		return Report{}, fmt.Errorf("measuring: %w", err)
	}
	defer b.load.close()
	b.bare = bare
	if report, err = b.measure(ctx); err != nil {
		return Report{}, fmt.Errorf("measuring: %w", err)
	}
	return report, nil
}

// bench is one measurement.
type bench struct {
	opts  Options
	load  *load
	bare  *bare
	meter meter
}

func (b *bench) governed() target { return governedTarget(b.opts.Tenant, b.opts.Committed) }

func (b *bench) measure(ctx context.Context) (Report, error) {
	for _, t := range []target{b.governed(), b.bare.target()} {
		if _, err := b.round(ctx, t, 0, b.opts.WarmUp); err != nil {
			return Report{}, err
		}
	}
	var governed, singly, bare []sample
	before := b.opts.Group.Counts()
	for n := 1; n <= b.opts.Rounds; n++ {
		g, err := b.round(ctx, b.governed(), n, b.opts.RoundTime)
		if err != nil {
			return Report{}, err
		}
		governed = append(governed, g)
		if b.grouped() {
			s, err := b.singly(ctx, n, b.opts.RoundTime)
			if err != nil {
				return Report{}, err
			}
			singly = append(singly, s)
		}
		p, err := b.round(ctx, b.bare.target(), n, b.opts.RoundTime)
		if err != nil {
			return Report{}, err
		}
		bare = append(bare, p)
	}
	r := newReport(b.opts, governed, bare)
	if b.opts.Sync == SyncAlways {
		var err error
		if r.Durable, err = b.durable(ctx, governed, singly, bare, b.opts.Group.Counts().Since(before)); err != nil {
			return Report{}, err
		}
	}
	if err := b.unloaded(ctx, &r); err != nil {
		return Report{}, err
	}
	shares, err := b.underProfile(ctx)
	if err != nil {
		return Report{}, err
	}
	r.split(shares, governed)
	return r, nil
}

// round loads one chain for a while, from a clean slate: garbage collected, the bare streams empty.
func (b *bench) round(ctx context.Context, t target, n int, length time.Duration) (sample, error) {
	if err := b.bare.purge(ctx); err != nil {
		return sample{}, err
	}
	runtime.GC()
	s, err := b.load.drive(ctx, t, bounds{outstanding: b.opts.Outstanding, time: length}, &b.meter)
	if err != nil {
		return sample{}, fmt.Errorf("loading the %s chain: %w", t.name, err)
	}
	what := fmt.Sprintf("round %d of %d", n, b.opts.Rounds)
	if n == 0 {
		what = "uncounted"
	}
	b.opts.Progress(fmt.Sprintf("%s, %s: %.0f requests/s, %.0f us of CPU a request", what, t.name, s.rps(), s.cpuUS()))
	return s, nil
}

// unloaded sends one request at a time.
func (b *bench) unloaded(ctx context.Context, r *Report) error {
	for _, t := range []struct {
		target
		p50, p99 *float64
	}{{b.governed(), &r.UnloadedP50MS, &r.UnloadedP99MS}, {b.bare.target(), &r.BareP50MS, &r.BareP99MS}} {
		s, err := b.load.drive(ctx, t.target, bounds{outstanding: 1, requests: b.opts.UnloadedRequests}, &b.meter)
		if err != nil {
			return fmt.Errorf("asking the %s chain one at a time: %w", t.name, err)
		}
		*t.p50, *t.p99 = milliseconds(percentile(s.latencies, 50)), milliseconds(percentile(s.latencies, 99))
		b.opts.Progress(fmt.Sprintf("unloaded, %s: p50 %.2f ms, p99 %.2f ms", t.name, *t.p50, *t.p99))
	}
	return nil
}

// underProfile is a governed round under the profiler, which counts for nothing else.
func (b *bench) underProfile(ctx context.Context) (shares, error) {
	b.opts.Progress("one more governed round, under the profiler")
	return profiled(func() error {
		_, err := b.round(ctx, b.governed(), 0, b.opts.RoundTime)
		return err
	})
}

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/pipelines"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/control"
	"flowgate/worker/fleet"
	"flowgate/worker/postgres"
	"flowgate/worker/recorder"
)

// Database is what is asked of Postgres.
type Database interface {
	recorder.Positions
	// Clock is the server's clock.
	Clock(ctx context.Context) (time.Time, error)
}

// Sources are where facts come from. Those that the caller could not reach are nil, and named in the facts that it begins
// with.
type Sources struct {
	JS jetstream.JetStream
	DB Database
	// Schema tells how far the database is migrated.
	Schema func(ctx context.Context) (postgres.Status, error)
	// Agreements are those that decide about requests, as the database has them.
	Agreements func(ctx context.Context) ([]flow.Entry, error)
	// Topology is what should be there.
	Topology broker.Topology
	// Folder is this machine's state folder; empty: none.
	Folder string
	// Timeout bounds each question (default 3 s); Looks is how often the queues are looked at (default 3), Between the time
	// from one look to the next (default 700 ms).
	Timeout time.Duration
	Looks   int
	Between time.Duration
}

// gathering collects facts from several goroutines.
type gathering struct {
	Sources

	mu    sync.Mutex
	facts Facts
}

// Gather asks every source at once, each with its bound of time, and adds what they say to the facts that the caller has.
func Gather(ctx context.Context, s Sources, known Facts) Facts {
	s.Timeout, s.Looks, s.Between = cmp.Or(s.Timeout, 3*time.Second), cmp.Or(s.Looks, 3), cmp.Or(s.Between, 700*time.Millisecond)
	g := &gathering{Sources: s, facts: known}
	g.facts.Now = time.Now()
	var all sync.WaitGroup
	ask := func(what string, question func(context.Context) error) {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, s.Timeout+time.Duration(s.Looks)*s.Between)
			defer cancel()
			if err := question(ctx); err != nil {
				g.silent(what, err)
			}
		})
	}
	if s.JS != nil {
		ask("topology", g.drift)
		ask("control bucket", g.pauses)
		ask("fleet and queues", g.looks)
		ask("broker's clock", g.brokerClock)
		ask("JetStream's storage", g.storage)
	}
	if s.DB != nil {
		ask("Postgres' clock", g.databaseClock)
	}
	if s.Schema != nil {
		ask("schema", g.schema)
	}
	if s.Agreements != nil {
		ask("agreements", g.agreements)
	}
	if s.DB != nil && s.JS != nil {
		ask("record", g.records)
	}
	if s.Folder != "" {
		ask("state folder", g.folder)
	}
	all.Wait()
	g.conclude()
	return g.facts
}

func (g *gathering) silent(what string, err error) {
	g.add(func(f *Facts) { f.Unreachable = append(f.Unreachable, Silence{What: what, Why: err.Error()}) })
}

func (g *gathering) add(change func(*Facts)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.facts)
}

// conclude derives what follows from the facts together, and sorts what came in any order.
func (g *gathering) conclude() {
	gateways, err := fleet.Gateways(pipelines.Chain(), g.facts.Fleet, control.Layers(g.facts.Pauses))
	if err != nil {
		g.facts.Unreachable = append(g.facts.Unreachable, Silence{What: "gateways", Why: err.Error()})
	}
	g.facts.Gateways = gateways
	for i := range g.facts.Fleet.Answers {
		a := &g.facts.Fleet.Answers[i]
		ahead, within := a.Offset()
		g.facts.Clocks = append(g.facts.Clocks, Clock{Whose: "worker " + a.Worker, Ahead: ahead, Within: within})
		if a.Disk != nil {
			what := fmt.Sprintf("state folder %s of worker %s", a.Disk.Path, a.Worker)
			g.facts.Disks = append(g.facts.Disks, Space{What: what, Free: a.Disk.FreeBytes, Total: a.Disk.TotalBytes})
		}
	}
	slices.SortFunc(g.facts.Unreachable, func(a, b Silence) int { return cmp.Compare(a.What, b.What) })
	slices.SortFunc(g.facts.Disks, func(a, b Space) int { return cmp.Compare(a.What, b.What) })
	slices.SortFunc(g.facts.Clocks, func(a, b Clock) int { return cmp.Compare(a.Whose, b.Whose) })
}

func (g *gathering) drift(ctx context.Context) error {
	found, err := broker.Check(ctx, g.JS, g.Topology)
	g.add(func(f *Facts) { f.Drift = found })
	return err
}

func (g *gathering) agreements(ctx context.Context) error {
	found, err := g.Agreements(ctx)
	if err == nil {
		g.add(func(f *Facts) { f.Agreements = found })
	}
	return err
}

func (g *gathering) pauses(ctx context.Context) error {
	found, err := control.List(ctx, g.JS)
	g.add(func(f *Facts) { f.Pauses = found })
	return err
}

// clock reads somebody's clock: its offset is taken from the middle of question and answer.
func (g *gathering) clock(whose string, read func() (time.Time, error)) error {
	asked := time.Now()
	at, err := read()
	if err != nil {
		return err
	}
	within := time.Since(asked) / 2
	g.add(func(f *Facts) {
		f.Clocks = append(f.Clocks, Clock{Whose: whose, Ahead: at.Sub(asked.Add(within)), Within: within})
	})
	return nil
}

func (g *gathering) brokerClock(ctx context.Context) error {
	return g.clock("broker", func() (time.Time, error) {
		var reply struct {
			TS time.Time `json:"ts"`
		}
		err := (&worker.Leader{JS: g.JS}).Ask(ctx, "STREAM.INFO."+worker.IngressStream, nil, &reply)
		if err == nil && reply.TS.IsZero() {
			err = fmt.Errorf("stream %s says no time; is it there?", worker.IngressStream)
		}
		return reply.TS, err
	})
}

func (g *gathering) databaseClock(ctx context.Context) error {
	return g.clock("Postgres", func() (time.Time, error) { return g.DB.Clock(ctx) })
}

func (g *gathering) schema(ctx context.Context) error {
	status, err := g.Schema(ctx)
	if err == nil {
		g.add(func(f *Facts) { f.Schema = &status })
	}
	return err
}

// records measures the lag of every stream that is recorded.
func (g *gathering) records(ctx context.Context) error {
	for _, stream := range g.Topology.Streams {
		if stream.Name == worker.IngressStream {
			continue
		}
		lag, err := recorder.Lag(ctx, &worker.Leader{JS: g.JS}, g.DB, stream.Name)
		if err != nil {
			return err
		}
		g.add(func(f *Facts) { f.Records = append(f.Records, Record{Stream: stream.Name, Lag: lag}) })
	}
	return nil
}

func (g *gathering) folder(context.Context) error {
	disk, err := fleet.DiskOf(g.Folder)
	if err == nil {
		g.add(func(f *Facts) {
			f.Disks = append(f.Disks, Space{What: "state folder " + disk.Path, Free: disk.FreeBytes, Total: disk.TotalBytes})
		})
	}
	return err
}

// storage reads the account's bound and those of the streams; where there is none, the disk's is what counts.
func (g *gathering) storage(ctx context.Context) error {
	account, err := g.JS.AccountInfo(ctx)
	if err != nil {
		return err
	}
	g.space("JetStream's storage of the account", account.Store, account.Limits.MaxStore)
	for _, want := range g.Topology.Streams {
		stream, err := g.JS.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) { // a difference of the topology
			continue
		}
		if err != nil {
			return fmt.Errorf("reading stream %s: %w", want.Name, err)
		}
		info := stream.CachedInfo()
		g.space("stream "+want.Name, info.State.Bytes, info.Config.MaxBytes)
	}
	return nil
}

func (g *gathering) space(what string, used uint64, most int64) {
	if most <= 0 {
		return
	}
	total := uint64(most)
	g.add(func(f *Facts) {
		f.Disks = append(f.Disks, Space{What: what, Free: total - min(used, total), Total: total})
	})
}

package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"flowgate/worker"
)

// Options say which drill it is. The same options make the same plan.
type Options struct {
	Seed     uint64 `json:"seed"`
	Requests int    `json:"requests"`
	Faults   int    `json:"faults"`
	// Cluster is how many NATS servers there are, 1 or 3.
	Cluster int `json:"cluster"`
}

// Bounds of a drill.
const (
	MaxRequests = 100_000
	MaxFaults   = 1000
)

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	if o.Requests < 1 || o.Requests > MaxRequests {
		faults = append(faults, fmt.Errorf("requests must be from 1 to %d, is %d", MaxRequests, o.Requests))
	}
	if o.Faults < 0 || o.Faults > MaxFaults {
		faults = append(faults, fmt.Errorf("faults must be from 0 to %d, is %d", MaxFaults, o.Faults))
	}
	if o.Cluster != 1 && o.Cluster != 3 {
		faults = append(faults, fmt.Errorf("cluster must be 1 or 3, is %d", o.Cluster))
	}
	return errors.Join(faults...)
}

// Do is what a fault does to its target.
type Do string

// The faults.
const (
	// Kill ends a process with -9; it is started again after Lasts.
	Kill Do = "kill"
	// Freeze stops a process for Lasts, longer than AckWait; then it wakes as a zombie.
	Freeze Do = "freeze"
	// Restart asks a process to drain and starts it again.
	Restart Do = "restart"
	// CutBroker and CutDatabase take a worker's network away, FreezeBroker lets it carry nothing without ending anything,
	// SlowBroker and SlowDatabase delay each piece.
	CutBroker    Do = "cut_broker"
	CutDatabase  Do = "cut_database"
	FreezeBroker Do = "freeze_broker"
	SlowBroker   Do = "slow_broker"
	SlowDatabase Do = "slow_database"
	// Fill leaves a stream no room to grow.
	Fill Do = "fill"
	// KillLeader and FreezeLeader hit the server that leads the WORK stream at that moment.
	KillLeader   Do = "kill_leader"
	FreezeLeader Do = "freeze_leader"
	// Isolate cuts a NATS server off from the others; its clients still reach it.
	Isolate Do = "isolate"
	// Rolling restarts every NATS server, one after the other.
	Rolling Do = "rolling_restart"
)

// Fault is one entry of the schedule.
type Fault struct {
	N int `json:"n"`
	// After is how many requests have been accepted when it begins.
	After int `json:"after"`
	Do    Do  `json:"do"`
	// Target is the process, the worker whose network it is, or the stream; empty where Do chooses.
	Target string        `json:"target,omitempty"`
	Lasts  time.Duration `json:"lasts_ns"`
	// Delay is that of the slow ones.
	Delay time.Duration `json:"delay_ns,omitempty"`
}

func (f Fault) String() string {
	text := string(f.Do)
	if f.Target != "" {
		text += " " + f.Target
	}
	return fmt.Sprintf("%s for %s", text, f.Lasts)
}

// Plan is a whole drill.
type Plan struct {
	Options

	Schedule []Fault   `json:"schedule"`
	Mix      []Request `json:"mix"`
}

// New makes the plan of a drill.
func New(o Options) (Plan, error) {
	if err := o.Validate(); err != nil {
		return Plan{}, err
	}
	p := Plan{Options: o, Schedule: make([]Fault, 0, o.Faults)}
	p.Mix = mix(o, stream(o.Seed, 1))
	random, deck := stream(o.Seed, 2), []shape(nil)
	for n := range o.Faults {
		if len(deck) == 0 { // every shape comes once before one comes twice
			deck = shapes(o.Cluster)
			random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		f := deck[0].fault(random)
		deck = deck[1:]
		f.N = n + 1
		f.After = spread(random, n, o)
		p.Schedule = append(p.Schedule, f)
	}
	slices.SortStableFunc(p.Schedule, func(a, b Fault) int { return a.After - b.After })
	return p, nil
}

// stream is one independent sequence of random numbers of a seed.
func stream(seed, of uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, of)) } //nolint:gosec // a schedule is no secret

// spread places the n-th fault somewhere in its equal share of the first nine tenths of the requests.
func spread(random *rand.Rand, n int, o Options) int {
	share := float64(o.Requests) * 0.9 / float64(o.Faults)
	return int(share * (float64(n) + random.Float64()))
}

// Names of the processes of a drill.
const (
	Postgres = "postgres"
	Recorder = "recorder"
)

// BodiesStream is the stream below the bucket of large bodies.
const BodiesStream = "OBJ_flowgate_bodies"

// WorkersOf are the workers of a drill: layers by their short names, the recorder, and how many there are of each.
func WorkersOf() []struct {
	Layer string
	N     int
} {
	return []struct {
		Layer string
		N     int
	}{{"corporate", 2}, {"ai", 2}, {"optimizer", 1}, {Recorder, 2}}
}

// WorkerNames are the names of the workers, such as ai-1.
func WorkerNames(layers ...string) []string {
	var names []string
	for _, w := range WorkersOf() {
		for i := range w.N {
			if len(layers) == 0 || slices.Contains(layers, w.Layer) {
				names = append(names, fmt.Sprintf("%s-%d", w.Layer, i+1))
			}
		}
	}
	return names
}

// BrokerNames are the names of the NATS servers.
func BrokerNames(cluster int) []string {
	names := make([]string, cluster)
	for i := range names {
		names[i] = fmt.Sprintf("nats-%d", i+1)
	}
	return names
}

// shape is a kind of fault, with the targets among which chance chooses.
type shape struct {
	do          Do
	targets     []string
	least, most time.Duration
	slow        time.Duration
}

// AckWait is the acknowledgement wait of a drill: freezes last longer.
const AckWait = 2 * time.Second

func shapes(cluster int) []shape {
	const ms, s = time.Millisecond, time.Second
	short := func(do Do, targets ...string) shape {
		return shape{do: do, targets: targets, least: 100 * ms, most: 2 * s}
	}
	long := func(do Do, targets ...string) shape {
		return shape{do: do, targets: targets, least: AckWait + s/2, most: AckWait + 3*s}
	}
	slow := func(do Do, targets ...string) shape {
		return shape{do: do, targets: targets, least: 2 * s, most: 4 * s, slow: 200 * ms}
	}
	brokers := BrokerNames(cluster)
	all := []shape{
		short(Kill, WorkerNames("corporate")...), short(Kill, WorkerNames("ai")...), short(Kill, WorkerNames("ai")...),
		short(Kill, WorkerNames("optimizer")...), short(Kill, WorkerNames(Recorder)...), short(Kill, brokers...), short(Kill, Postgres),
		long(Freeze, WorkerNames("corporate")...), long(Freeze, WorkerNames("ai")...), long(Freeze, WorkerNames("optimizer")...),
		long(Freeze, WorkerNames(Recorder)...), long(Freeze, brokers...),
		short(Restart, WorkerNames()...), short(Restart, brokers...), short(Restart, Postgres),
		long(CutBroker, WorkerNames()...), long(FreezeBroker, WorkerNames()...), slow(SlowBroker, WorkerNames()...),
		long(CutDatabase, WorkerNames("corporate", Recorder)...), slow(SlowDatabase, WorkerNames("corporate", Recorder)...),
		short(Fill, worker.WorkStream(0)), short(Fill, worker.IngressStream, worker.EventsStream, BodiesStream),
	}
	if cluster > 1 {
		all = append(all, short(KillLeader), short(KillLeader), long(FreezeLeader), short(Rolling),
			long(Isolate, brokers...), long(Isolate, brokers...))
	}
	return all
}

func (s shape) fault(random *rand.Rand) Fault {
	f := Fault{Do: s.do, Lasts: s.least + time.Duration(random.Int64N(int64(s.most-s.least)))}
	f.Lasts = f.Lasts.Round(10 * time.Millisecond)
	if len(s.targets) > 0 {
		f.Target = s.targets[random.IntN(len(s.targets))]
	}
	if s.slow > 0 {
		f.Delay = (s.slow/10 + time.Duration(random.Int64N(int64(s.slow)))).Round(time.Millisecond)
	}
	return f
}

package sessions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
)

// MonitorOptions say what is watched and how closely. The zero value of a duration is its default.
type MonitorOptions struct {
	// Probes are asked in the background, each on its own: none waits for another.
	Probes []Probe
	// Unused are shown beside them.
	Unused []Unused
	// Interval is how often a service is asked, give or take a tenth. One that failed is asked three times as often. 0: 30 s.
	Interval time.Duration
	// Timeout cuts a check. 0: 5 s.
	Timeout time.Duration
	// Slow is from which latency on a service that answers is degraded. 0: 1 s.
	Slow time.Duration
	// Recovered is called with the name of a service that failed and answers again; nil: nobody hears of it. It must not block.
	Recovered func(service string)
	// Logger hears of every change of state. nil: nobody does.
	Logger *zap.Logger
}

// Defaults of MonitorOptions.
const (
	DefaultInterval = 30 * time.Second
	DefaultTimeout  = 5 * time.Second
	DefaultSlow     = time.Second
)

func (o MonitorOptions) withDefaults() MonitorOptions {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Slow == 0 {
		o.Slow = DefaultSlow
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

func (o MonitorOptions) validate() error {
	var faults []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"interval", o.Interval}, {"timeout", o.Timeout}, {"slow", o.Slow}} {
		if d.value < time.Millisecond {
			faults = append(faults, fmt.Errorf("%s is %s, must be at least 1ms", d.name, d.value))
		}
	}
	names := map[string]bool{}
	once := func(name string) {
		if name == "" || names[name] {
			faults = append(faults, fmt.Errorf("service %q: each needs a name of its own", name))
		}
		names[name] = true
	}
	for _, p := range o.Probes {
		once(p.Name())
	}
	for _, u := range o.Unused {
		once(u.Service)
	}
	return errors.Join(faults...)
}

// Monitor keeps the health of services. Its methods may be called from any goroutine; Run and Once not at the same time.
type Monitor struct {
	options MonitorOptions
	watched []*watched
}

// NewMonitor validates the options. It asks nobody.
func NewMonitor(options MonitorOptions) (*Monitor, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("making a health monitor: %w", err)
	}
	m := &Monitor{options: options}
	for _, p := range options.Probes {
		m.watched = append(m.watched, &watched{probe: p, slow: options.Slow, maxAge: 2*options.Interval + options.Timeout, since: time.Now()})
	}
	return m, nil
}

// Run asks every service from time to time until ctx is done, then waits for the checks under way.
func (m *Monitor) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, w := range m.watched {
		all.Go(func() {
			for wait := time.Duration(0); pause(ctx, wait); wait = m.next(w) {
				m.check(ctx, w)
			}
		})
	}
	all.Wait()
}

// Once asks every service one time, all at once, and is the snapshot afterwards.
func (m *Monitor) Once(ctx context.Context) []Health {
	var all sync.WaitGroup
	for _, w := range m.watched {
		all.Go(func() { m.check(ctx, w) })
	}
	all.Wait()
	return m.Snapshot()
}

// Snapshot is how the services are, in the order of the options, those that are not used last. It asks nobody.
func (m *Monitor) Snapshot() []Health {
	now := time.Now()
	all := make([]Health, 0, len(m.watched)+len(m.options.Unused))
	for _, w := range m.watched {
		all = append(all, w.health(now))
	}
	for _, u := range m.options.Unused {
		all = append(all, Health{Service: u.Service, State: StateUnknown, Unused: true, Detail: u.Why})
	}
	return all
}

// next is how long to wait before the next check, with jitter, so that the processes of a deployment do not ask together.
func (m *Monitor) next(w *watched) time.Duration {
	every := m.options.Interval
	if w.health(time.Now()).State == StateUnhealthy {
		every /= 3
	}
	return every - every/10 + rand.N(every/5+1)
}

// check asks once. A probe that outstays its timeout is recorded at once and then waited for, since there must not be two.
func (m *Monitor) check(ctx context.Context, w *watched) {
	limited, cancel := context.WithTimeout(ctx, m.options.Timeout)
	defer cancel()
	began := time.Now()
	answer := make(chan reply, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { answer <- m.ask(limited, w.probe) })
	var r reply
	select {
	case r = <-answer:
	case <-limited.Done():
		r = late(answer)
	}
	if ctx.Err() != nil {
		return // the check was called off: it says nothing about the service
	}
	if limited.Err() != nil && (r.err != nil || r == reply{}) {
		r = cut(r.err, m.options.Timeout)
	}
	now := time.Now()
	if before, after := w.record(r, now, now.Sub(began)); before != after.State {
		m.tell(before, after)
		if before == StateUnhealthy && m.options.Recovered != nil && (after.State == StateHealthy || after.State == StateDegraded) {
			m.options.Recovered(after.Service)
		}
	}
}

func (m *Monitor) tell(before State, after Health) {
	fields := []zap.Field{
		zap.String("service", after.Service), zap.String("before", string(before)), zap.String("state", string(after.State)),
		zap.Float64("latency_ms", after.LatencyMS.Last),
	}
	if after.State == StateHealthy {
		m.options.Logger.Info("a service is healthy", fields...)
		return
	}
	m.options.Logger.Warn("a service is not healthy", append(fields, zap.String("error", after.Error))...)
}

// reply is how a check ended.
type reply struct {
	finding Finding
	err     error
	cut     bool // by its timeout
}

// lastWord is how long a probe that was cut may take to say what it was at.
const lastWord = 100 * time.Millisecond

func late(answer <-chan reply) reply {
	timer := time.NewTimer(lastWord)
	defer timer.Stop()
	select {
	case r := <-answer:
		return r
	case <-timer.C:
		return reply{}
	}
}

func cut(err error, timeout time.Duration) reply {
	if err == nil || err == context.DeadlineExceeded { //nolint:errorlint // a bare one says no more
		return reply{err: fmt.Errorf("gave no answer within %s", timeout), cut: true}
	}
	return reply{err: fmt.Errorf("gave no answer within %s (%w)", timeout, err), cut: true}
}

// ask turns a probe's panic into an error, so that it harms no other.
func (m *Monitor) ask(ctx context.Context, p Probe) (r reply) {
	defer func() {
		if v := recover(); v != nil {
			m.options.Logger.Error("a health check panicked", zap.String("service", p.Name()), zap.Any("panic", v), zap.Stack("stack"))
			r = reply{err: errors.New("the check itself failed; the log has its stack")}
		}
	}()
	finding, err := p.Check(ctx)
	return reply{finding: finding, err: err}
}

// pause waits. It tells whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

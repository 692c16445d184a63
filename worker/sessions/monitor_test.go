package sessions

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// probe answers as its function does.
type probe struct {
	name  string
	check func(context.Context) (Finding, error)
	calls atomic.Int64
}

func (p *probe) Name() string { return p.name }

func (p *probe) Check(ctx context.Context) (Finding, error) {
	p.calls.Add(1)
	return p.check(ctx)
}

func answering(name string, f Finding, err error) *probe {
	return &probe{name: name, check: func(context.Context) (Finding, error) { return f, err }}
}

// hanging is a service that accepts and never answers.
func hanging(name string) *probe {
	return &probe{name: name, check: func(ctx context.Context) (Finding, error) {
		<-ctx.Done()
		return Finding{}, ctx.Err()
	}}
}

// run starts a monitor and stops it when the test ends.
func run(t *testing.T, o MonitorOptions) *Monitor {
	t.Helper()
	m, err := NewMonitor(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return m
}

func of(t *testing.T, all []Health, service string) Health {
	t.Helper()
	for _, h := range all {
		if h.Service == service {
			return h
		}
	}
	t.Fatalf("no %s in %+v", service, all)
	return Health{}
}

func TestNothingIsKnownBeforeTheFirstCheck(t *testing.T) {
	m, err := NewMonitor(MonitorOptions{Probes: []Probe{answering("db", Finding{}, nil)}, Unused: []Unused{{"s3", "s3.bucket is not set"}}})
	if err != nil {
		t.Fatal(err)
	}
	all := m.Snapshot()
	if h := of(t, all, "db"); h.State != StateUnknown || h.Error != "not checked yet" || !h.LastCheck.IsZero() || h.Unused {
		t.Errorf("%+v", h)
	}
	if h := of(t, all, "s3"); h.State != StateUnknown || !h.Unused || h.Detail != "s3.bucket is not set" {
		t.Errorf("%+v", h)
	}
	if Worst(all) != StateUnknown {
		t.Error(Worst(all))
	}
}

func TestHangingServiceIsCutAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, quick := hanging("stuck"), answering("quick", Finding{Detail: "v1", Source: "role"}, nil)
		m := run(t, MonitorOptions{Probes: []Probe{stuck, quick}})
		time.Sleep(DefaultTimeout + time.Millisecond)
		synctest.Wait()
		if h := of(t, m.Snapshot(), "stuck"); h.State != StateUnhealthy || h.Error != "gave no answer within 5s" {
			t.Errorf("%+v", h)
		}
		if h := of(t, m.Snapshot(), "quick"); h.State != StateHealthy || h.Detail != "v1" || h.Source != "role" || h.Error != "" {
			t.Errorf("%+v", h)
		}
		time.Sleep(10 * time.Minute)
		if n := quick.calls.Load(); n < 18 || n > 23 {
			t.Errorf("%d checks in ten minutes", n)
		}
		if n := stuck.calls.Load(); n < 35 || n > 46 {
			t.Errorf("%d checks of a service that hangs: each lasts 5 s and begins about 10 s after the one before", n)
		}
	})
}

// TestServiceIsAskedOnceAtATime has a probe that breaks its contract: it does not heed its context.
func TestServiceIsAskedOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := &probe{name: "deaf", check: func(context.Context) (Finding, error) {
			time.Sleep(time.Hour)
			return Finding{}, nil
		}}
		m := run(t, MonitorOptions{Probes: []Probe{deaf}})
		time.Sleep(time.Minute)
		if h := of(t, m.Snapshot(), "deaf"); h.State != StateUnhealthy {
			t.Errorf("%+v", h)
		}
		time.Sleep(58 * time.Minute)
		if h := of(t, m.Snapshot(), "deaf"); h.State != StateUnknown || !strings.Contains(h.Error, "the last check is") {
			t.Errorf("%+v", h)
		}
		if n := deaf.calls.Load(); n != 1 {
			t.Errorf("%d checks at once", n)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestStateFollowsTheChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now Finding
		var fault error
		var takes time.Duration
		p := &probe{name: "db", check: func(context.Context) (Finding, error) {
			time.Sleep(takes)
			return now, fault
		}}
		core, logged := observer.New(zap.InfoLevel)
		var recovered []string
		m, err := NewMonitor(MonitorOptions{Probes: []Probe{p}, Logger: zap.New(core), Recovered: func(service string) { recovered = append(recovered, service) }})
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range []struct {
			finding Finding
			err     error
			takes   time.Duration
			state   State
			says    string
		}{
			{finding: Finding{Detail: "v1"}, state: StateHealthy},
			{takes: 2 * time.Second, state: StateDegraded, says: "slowly, after 2s"},
			{finding: Finding{Degraded: "far behind"}, state: StateDegraded, says: "far behind"},
			{finding: Finding{Detail: "v2"}, state: StateHealthy},
			{err: errors.New("refused"), state: StateUnhealthy, says: "refused"},
			{state: StateDegraded, says: "answers again"},
			{state: StateDegraded, says: "answers again"},
			{state: StateHealthy},
			{err: ErrUnknown, state: StateUnknown, says: "nothing to ask with"},
			{state: StateHealthy},
		} {
			now, fault, takes = step.finding, step.err, step.takes
			time.Sleep(10 * time.Second)
			h := of(t, m.Once(t.Context()), "db")
			if h.State != step.state || !strings.Contains(h.Error, step.says) || step.says == "" && h.Error != "" {
				t.Errorf("step %d: %+v", i, h)
			}
			if len(h.History) != i+1 || h.History[i].State != step.state {
				t.Errorf("step %d: history %+v", i, h.History)
			}
		}
		if n := logged.Len(); n != 8 {
			t.Errorf("%d lines for 8 changes of state: %+v", n, logged.All())
		}
		if !slices.Equal(recovered, []string{"db"}) {
			t.Errorf("recovered: %q, want the one failure's end", recovered)
		}
	})
}

func TestOldCheckIsNoHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := NewMonitor(MonitorOptions{Probes: []Probe{answering("db", Finding{}, nil)}})
		if err != nil {
			t.Fatal(err)
		}
		if h := of(t, m.Once(t.Context()), "db"); h.State != StateHealthy {
			t.Errorf("%+v", h)
		}
		time.Sleep(66 * time.Second)
		if h := of(t, m.Snapshot(), "db"); h.State != StateUnknown || h.Error != "the last check is 1m6s old" {
			t.Errorf("%+v", h)
		}
	})
}

func TestHistoryIsBoundedAndQuantilesAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := time.Duration(0)
		m, err := NewMonitor(MonitorOptions{Slow: time.Minute, Timeout: time.Minute, Probes: []Probe{&probe{name: "db", check: func(context.Context) (Finding, error) {
			n += time.Millisecond
			time.Sleep(n)
			return Finding{}, nil
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			m.Once(t.Context())
		}
		h := of(t, m.Snapshot(), "db")
		if want := (Latency{Last: 100, P50: 50, P95: 95, P99: 99}); h.LatencyMS != want {
			t.Errorf("%+v", h.LatencyMS)
		}
		if len(h.History) != HistoryLength || h.History[0].LatencyMS != 81 {
			t.Errorf("%+v", h.History)
		}
		for range 2 * LatencyWindow {
			m.Once(t.Context())
		}
		if n := len(m.watched[0].latencies); n != LatencyWindow {
			t.Errorf("%d latencies are kept", n)
		}
	})
}

func TestPanicOfACheckIsAFault(t *testing.T) {
	m, err := NewMonitor(MonitorOptions{Probes: []Probe{&probe{name: "db", check: func(context.Context) (Finding, error) { panic("bug") }}}})
	if err != nil {
		t.Fatal(err)
	}
	if h := of(t, m.Once(t.Context()), "db"); h.State != StateUnhealthy || !strings.Contains(h.Error, "the check itself failed") {
		t.Errorf("%+v", h)
	}
}

func TestCheckThatIsCalledOffSaysNothing(t *testing.T) {
	m, err := NewMonitor(MonitorOptions{Probes: []Probe{hanging("db")}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if h := of(t, m.Once(ctx), "db"); h.State != StateUnknown || h.Error != "not checked yet" {
		t.Errorf("%+v", h)
	}
}

func TestWorstStateCounts(t *testing.T) {
	unused := Health{State: StateUnhealthy, Unused: true}
	for want, all := range map[State][]Health{
		StateHealthy:   {{State: StateHealthy}, unused},
		StateDegraded:  {{State: StateDegraded}, {State: StateHealthy}},
		StateUnknown:   {unused},
		StateUnhealthy: {{State: StateUnhealthy}, {State: StateUnknown}, {State: StateDegraded}},
	} {
		if got := Worst(all); got != want {
			t.Errorf("%+v: %s, want %s", all, got, want)
		}
	}
}

func TestMonitorOptionsAreValidated(t *testing.T) {
	_, err := NewMonitor(MonitorOptions{
		Interval: -1, Timeout: time.Microsecond, Probes: []Probe{hanging("a"), hanging("a")}, Unused: []Unused{{Service: ""}},
	})
	for _, want := range []string{"interval is -1ns", "timeout is 1µs", `service "a"`, `service ""`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

func TestErrorsAreShownWithoutSecrets(t *testing.T) {
	for text, want := range map[string]string{
		`Get "https://user:pa55word@host/x?X-Amz-Signature=pa55word": EOF`:           `Get "https://host/x": EOF`,
		"cannot parse `postgres://u:pa55word@[::1]:5432/db?sslmode=require`: bad":    "postgres://[::1]:5432/db",
		"failed: password=pa55word host=db":                                          "password=*** host=db",
		"x-amz-security-token:pa55word host":                                         "x-amz-security-token:*** host",
		`{"secret_access_key": "pa55word"}`:                                          `"secret_access_key": ***`,
		"Authorization: Bearer pa55word":                                             "Authorization: ***",
		"the key AKIAIOSFODNN7EXAMPLE is expired\nand\tso on \x1b[31m":               "the key *** is expired and so on [31m",
		"ExpiredToken: The provided token has expired, AWS credentials: none":        "ExpiredToken: The provided token has expired, AWS credentials: none",
		"AWSAccessKeyId=x&Signature=pa55word":                                        "Signature=***",
		strings.Repeat("long ", 1000):                                                "long…",
		"MLFLOW_TRACKING_TOKEN=pa55word, and api-key: pa55word; credential=pa55word": "MLFLOW_TRACKING_TOKEN=***, and api-key: ***; credential=***",
	} {
		got := Printable(errors.New(text))
		if !strings.Contains(got, want) && !strings.HasPrefix(want, "long") || strings.Contains(got, "pa55word") || strings.Contains(got, "AKIA") || len(got) > maxText+4 {
			t.Errorf("%q became %q", text, got)
		}
	}
	if Printable(nil) != "" {
		t.Error("no error has no text")
	}
}

func TestServiceThatIsUnknownFromTheBeginningIsLogged(t *testing.T) {
	core, logged := observer.New(zap.WarnLevel)
	m, err := NewMonitor(MonitorOptions{Probes: []Probe{answering("s3", Finding{}, ErrUnknown)}, Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	m.Once(t.Context())
	m.Once(t.Context())
	if n := logged.Len(); n != 1 {
		t.Errorf("%d lines for one change", n)
	}
}

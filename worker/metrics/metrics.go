package metrics

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/breaker"
	"flowgate/worker/pace"
	"flowgate/worker/sessions"
)

// Sources are asked when somebody scrapes. A nil one has no metrics; what one does not know it leaves out.
type Sources struct {
	// Queues tells how every queue stands.
	Queues func(ctx context.Context) ([]Queue, error)
	// Held is what open requests hold in reserve, in micro-dollars.
	Held func(ctx context.Context) (int64, error)
	// Lag is how far the record of each stream is behind.
	Lag func(ctx context.Context) (map[string]time.Duration, error)
	// Services is the health of services, Pool the connections to Postgres, Broker the connection to the broker: known
	// without asking anybody; false where it is not known yet.
	Services func() ([]sessions.Health, bool)
	// Budgets is how budgets stand, in the process that looks after them.
	Budgets func() (Budgets, bool)
	Pool    func() (Pool, bool)
	// Cache is how the cache of answers stands, where there is one.
	Cache  func() (Cache, bool)
	Broker func() (Broker, bool)
	// Breakers is how the breakers of backends stand, Paced how calls to them wait.
	Breakers func() ([]breaker.State, bool)
	Paced    func() (Paced, bool)
}

// Queue is how a queue stands.
type Queue struct {
	Layer messages.LayerName
	Class messages.Class
	Name  string
	// Pending were given to nobody yet, Unanswered are in hand or parked.
	Pending, Unanswered uint64
	// Oldest is when the oldest message that is not done with was stored; zero for none.
	Oldest time.Time
}

// Budgets is how budgets stand. Kinds, windows and marks are few.
type Budgets struct {
	// Used are the fullest ones.
	Used []BudgetUsed
	// Alerts count what was told.
	Alerts []BudgetAlerts
}

// BudgetUsed is the part of its limit that the fullest budget of a kind has spent.
type BudgetUsed struct {
	Kind, Window string
	Ratio        float64
}

// BudgetAlerts counts the alerts of a mark.
type BudgetAlerts struct {
	Kind, Window, Mark string
	N                  int
}

// Cache is how the cache of answers stands. Levels are few.
type Cache struct {
	// Hits and Bytes are by level.
	Hits                           map[string]int64
	Bytes                          map[string]int64
	Misses, Evicted, SavedMicroUSD int64
}

// Pool is how a pool of connections stands.
type Pool struct {
	InUse, Idle, Max int
	// Waits counts how often somebody had to wait, Waited is how long all did.
	Waits  int64
	Waited time.Duration
}

// Broker is how the connection to the broker stands.
type Broker struct {
	Connected  bool
	Reconnects uint64
}

// Paced is how calls to backends wait for limits of providers.
type Paced struct {
	Keys []pace.State
	// Waited is how long calls have waited, by backend.
	Waited map[string]time.Duration
}

// Options are what metrics need.
type Options struct {
	Version string
	Sources Sources
	// Timeout bounds what a source may take for a scrape (0: 2 s), Keep is how long its answer is used again (0: 5 s).
	Timeout, Keep time.Duration
}

// Metrics is the registry of a process and the observer that feeds it.
type Metrics struct {
	worker.Observer

	registry *prometheus.Registry
}

// New makes the registry.
func New(o Options) *Metrics {
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Keep <= 0 {
		o.Keep = 5 * time.Second
	}
	registry := prometheus.NewRegistry()
	build := define(nameBuild)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: build.Name, Help: build.Help}, build.Labels)
	info.WithLabelValues(o.Version, runtime.Version()).Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{Observer: newRequests(registry), registry: registry}
	for _, c := range o.collectors() {
		registry.MustRegister(c)
	}
	return m
}

// Gatherer gives everything that is measured.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Handler answers scrapes: at most two at once, what one source cannot tell is left out.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 2, Timeout: 10 * time.Second,
	})
}

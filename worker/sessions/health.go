package sessions

import "time"

// State is how a service is.
type State string

// The states, best first. Unknown is not healthy: nobody has asked, the last answer is too old, or there is nothing to ask
// with.
const (
	StateHealthy   State = "healthy"
	StateDegraded  State = "degraded"
	StateUnknown   State = "unknown"
	StateUnhealthy State = "unhealthy"
)

// States lists the states, best first.
func States() []State { return []State{StateHealthy, StateDegraded, StateUnknown, StateUnhealthy} }

// worse tells whether a is worse than b. What is no state of ours is worse than all of them.
func (a State) worse(b State) bool { return a.rank() > b.rank() }

func (a State) rank() int {
	for i, s := range States() {
		if a == s {
			return i
		}
	}
	return len(States())
}

// Health is what is known of one service. It holds no secret and may be shown to everyone who operates the process.
type Health struct {
	Service string `json:"service"`
	State   State  `json:"state"`
	// Unused marks a service that is not configured; Detail says what would configure it. Its state is unknown and does no
	// harm.
	Unused bool `json:"unused,omitempty"`
	// Detail is what the last good check found: a version, a bucket, a backlog.
	Detail string `json:"detail,omitempty"`
	// Source names where the credentials come from, never what they are.
	Source    string  `json:"source,omitempty"`
	LatencyMS Latency `json:"latency_ms"`
	// LastCheck is when the last check ended, whatever it found; zero for none yet.
	LastCheck time.Time `json:"last_check,omitzero"`
	// Since is when State became what it is.
	Since time.Time `json:"since,omitzero"`
	// Error is what keeps the service from being healthy.
	Error string `json:"error,omitempty"`
	// History has the last checks, oldest first, at most HistoryLength.
	History []Sample `json:"history,omitempty"`
}

// Latency is how long checks that were answered took, in milliseconds: the last one, and quantiles over at most the last
// LatencyWindow. All are 0 while there was none.
type Latency struct {
	Last float64 `json:"last"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
}

// Sample is one check of the past.
type Sample struct {
	At        time.Time `json:"at"`
	State     State     `json:"state"`
	LatencyMS float64   `json:"latency_ms"`
	Error     string    `json:"error,omitempty"`
}

// Worst is the worst state among the services that are used; unknown where none is.
func Worst(all []Health) State {
	worst, used := StateHealthy, false
	for _, h := range all {
		if h.Unused {
			continue
		}
		used = true
		if h.State.worse(worst) {
			worst = h.State
		}
	}
	if !used {
		return StateUnknown
	}
	return worst
}

package console

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// Check is one thing that a process needs to work.
type Check struct {
	Name string
	// Ask tells what is wrong, nil where nothing is; detail says what was found. It MUST obey ctx. Neither may hold a secret.
	Ask func(ctx context.Context) (detail string, err error)
}

// Finding is what one check found.
type Finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	// Error says what is wrong, and why.
	Error string `json:"error,omitempty"`
}

// Readiness is the body of /readyz.
type Readiness struct {
	Ready  bool      `json:"ready"`
	Checks []Finding `json:"checks"`
	// Services are those that the process uses, as its own probes last found them. They explain and do not decide: a process
	// whose model is away for a moment is not to be taken out.
	Services []Service `json:"services,omitempty"`
	At       time.Time `json:"at"`
}

// Service is how a service was when it was asked last.
type Service struct {
	Name  string `json:"name"`
	State string `json:"state"`
	// Error is what keeps it from being healthy.
	Error string `json:"error,omitempty"`
}

// Liveness is the body of /livez.
type Liveness struct {
	Live bool `json:"live"`
	// Overdue are the loops that hang.
	Overdue []string `json:"overdue,omitempty"`
}

const (
	// checkTimeout bounds one check.
	checkTimeout = 2 * time.Second
	// checkKept is how long an answer stands: many who ask do not become a load on broker and database.
	checkKept = time.Second
)

// readyz answers 200 where every check is in order, else 503; services are shown beside them, as they are known.
func readyz(checks []Check, services func() []Service) http.Handler {
	r := &reader{checks: checks}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		standing := r.read()
		if services != nil {
			standing.Services = services()
		}
		answer(w, standing.Ready, standing)
	})
}

// livez answers 200 while no loop of the process hangs, else 503: whoever supervises it starts it anew.
func livez(overdue func() []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var l Liveness
		if overdue != nil {
			l.Overdue = overdue()
		}
		l.Live = len(l.Overdue) == 0
		answer(w, l.Live, l)
	})
}

func answer(w http.ResponseWriter, good bool, body any) {
	w.Header().Set("Content-Type", "application/json")
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(body) // whoever asked has gone
}

// reader asks every check at once, and at most once in checkKept.
type reader struct {
	checks []Check

	mu   sync.Mutex
	last Readiness
}

func (r *reader) read() Readiness {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.last.At) < checkKept {
		return r.last
	}
	found := make([]Finding, len(r.checks))
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	var all sync.WaitGroup
	for i, c := range r.checks {
		all.Go(func() { found[i] = c.find(ctx) })
	}
	all.Wait()
	r.last = Readiness{Ready: true, Checks: found, At: time.Now().UTC()}
	for _, f := range found {
		r.last.Ready = r.last.Ready && f.OK
	}
	return r.last
}

func (c Check) find(ctx context.Context) Finding {
	detail, err := c.Ask(ctx)
	f := Finding{Name: c.Name, OK: err == nil, Detail: detail}
	if err != nil {
		f.Error = err.Error()
	}
	return f
}

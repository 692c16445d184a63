package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strings"
	"time"
)

// Orders are what the control door changes; what is absent stays as it is.
type Orders struct {
	Latency *string              `json:"latency,omitempty"`
	Faults  *map[Outcome]float64 `json:"faults,omitempty"`
	Seed    *uint64              `json:"seed,omitempty"`
	Rate    *float64             `json:"rate,omitempty"` // 0 lifts the limit
	Burst   *int                 `json:"burst,omitempty"`
	AtOnce  *int                 `json:"at_once,omitempty"` // those beyond wait; 0 lifts the limit
	// DeadFor refuses all connections for that long, the door's own among them.
	DeadFor *string `json:"dead_for,omitempty"`
}

// MaxRate, MaxAtOnce and MaxDead bound what may be ordered.
const (
	MaxRate   = 1e6
	MaxAtOnce = 100_000
	MaxDead   = time.Hour
)

// state is what a rehearsal runs on at the moment.
type state struct {
	Rehearsal

	rate   float64
	burst  int
	atOnce int
}

// Rehearse runs on numbers from now on: those of a Rehearsal in place of the script, a limit of rate calls a second, and one of so many at
// once; 0: without limit.
func (s *Server) Rehearse(r Rehearsal, rate float64, burst, atOnce int) error {
	if err := errors.Join(r.Validate(), checkRate(rate, burst), checkAtOnce(atOnce)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rehearse(state{r, rate, burst, atOnce})
	return nil
}

func (s *Server) rehearse(now state) {
	s.now = now
	s.SetScript(now.Script())
	s.SetLimit(now.rate, now.burst)
	s.SetAtOnce(now.atOnce)
}

func checkAtOnce(n int) error {
	if n < 0 || n > MaxAtOnce {
		return fmt.Errorf("at_once is %d, must be 0 (no limit) to %d calls", n, MaxAtOnce)
	}
	return nil
}

func checkRate(rate float64, burst int) error {
	switch {
	case !(rate >= 0 && rate <= MaxRate): // NaN is neither
		return fmt.Errorf("rate is %g, must be 0 (no limit) to %g calls a second", rate, float64(MaxRate))
	case burst < 0 || float64(burst) > MaxRate:
		return fmt.Errorf("burst is %d, must be 0 to %d calls", burst, int(MaxRate))
	}
	return nil
}

// burstOf is the burst of a rate for which none was said: what a fifth of a second brings.
func burstOf(rate float64, burst int) int {
	if burst > 0 {
		return burst
	}
	return max(1, int(math.Ceil(rate/5)))
}

// door lets tests and people change a running provider. A page in a browser is no person: what comes with an Origin is refused.
func (s *Server) door(mux *http.ServeMux) {
	guard := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Origin") != "" {
				writeJSON(w, http.StatusForbidden, map[string]string{"error": "the control door is not for browsers"})
				return
			}
			h(w, r)
		}
	}
	mux.HandleFunc("GET /fake/calls", guard(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, s.Totals(r.URL.Query().Get("request")))
	}))
	mux.HandleFunc("POST /fake/reset", guard(func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("PUT /fake/script", guard(s.order))
	mux.HandleFunc("GET /fake/script", guard(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		now := s.now
		s.mu.Unlock()
		writeJSON(w, http.StatusOK, now.orders())
	}))
}

// orders are what would bring a state about.
func (s state) orders() Orders {
	latency, faults := s.Latency.String(), maps.Clone(s.Faults)
	if faults == nil {
		faults = map[Outcome]float64{}
	}
	return Orders{Latency: &latency, Faults: &faults, Seed: &s.Seed, Rate: &s.rate, Burst: &s.burst, AtOnce: &s.atOnce}
}

const maxOrders = 64 << 10

func (s *Server) order(w http.ResponseWriter, r *http.Request) {
	var o Orders
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrders))
	in.DisallowUnknownFields()
	if err := in.Decode(&o); err != nil {
		known := "latency, faults, seed, rate, burst, at_once, dead_for"
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "the body must be a JSON object with some of " + known + ": " + plain(err)})
		return
	}
	s.mu.Lock()
	now, dead, err := s.now.with(o)
	if err == nil {
		s.rehearse(now)
	}
	s.mu.Unlock()
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, now.orders())
	_ = http.NewResponseController(w).Flush() // the caller may have gone
	if dead > 0 {
		s.DeadFor(dead)
	}
}

// plain is a decoder's word without its prefix.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "json: ") }

// with is the state that orders make of it.
func (s state) with(o Orders) (state, time.Duration, error) {
	latency, err1 := duration("latency", o.Latency, s.Latency)
	dead, err2 := duration("dead_for", o.DeadFor, 0)
	s.Latency = latency
	if o.Faults != nil {
		s.Faults = *o.Faults
	}
	if o.Seed != nil {
		s.Seed = *o.Seed
	}
	if o.Rate != nil {
		s.rate = *o.Rate
	}
	if o.Burst != nil {
		s.burst = *o.Burst
	}
	if o.AtOnce != nil {
		s.atOnce = *o.AtOnce
	}
	if dead < 0 || dead > MaxDead {
		err2 = fmt.Errorf("dead_for is %s, must be 0 to %s", dead, MaxDead)
	}
	return s, dead, errors.Join(err1, err2, s.Validate(), checkRate(s.rate, s.burst), checkAtOnce(s.atOnce))
}

func duration(field string, text *string, otherwise time.Duration) (time.Duration, error) {
	if text == nil {
		return otherwise, nil
	}
	d, err := time.ParseDuration(*text)
	if err != nil {
		return otherwise, fmt.Errorf("%s is %.40q, must be a duration such as 200ms", field, *text)
	}
	return d, nil
}

// DeadFor makes it refuse connections for a while, from now on, or from when it runs. It returns at once.
func (s *Server) DeadFor(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.dying = d
		return
	}
	s.die(d)
}

// die is called under the lock.
func (s *Server) die(d time.Duration) {
	ctx := s.ctx
	s.lives.Go(func() {
		if s.Dead(true) != nil || !pause(ctx, d) {
			return // it has stopped
		}
		if err := s.Dead(false); err != nil && ctx.Err() == nil {
			select {
			case s.fatal <- err:
			default:
			}
		}
	})
}

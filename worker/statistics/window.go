package statistics

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Span names a window.
type Span string

// The windows. Each is a ring of slots: what fell out of it is forgotten.
const (
	Minute      Span = "1m"
	FiveMinutes Span = "5m"
	Hour        Span = "1h"
)

// Spans lists the windows, shortest first.
func Spans() []Span { return []Span{Minute, FiveMinutes, Hour} }

// Length is how long a window is.
func (s Span) Length() time.Duration {
	d, err := time.ParseDuration(string(s))
	if err != nil {
		return 0
	}
	return d
}

// slots is how many parts a window has; its oldest part goes as a whole, so a window holds its last eleven twelfths at
// least.
const slots = 12

// Bounds on reasons: there are fewer than fifty, and what a stranger sends is cut to this.
const (
	maxReasons = 64
	maxWord    = 128
	// Other stands for everything above the bound.
	Other = "other"
)

// Window is what was counted in one window.
type Window struct {
	Span Span `json:"window"`
	// Seconds is how long was counted: the window's length, less while the process is young.
	Seconds float64 `json:"seconds"`
	// Requests are those with which a gateway was through (passed on or ended), or the attempts of a backend.
	Requests uint64 `json:"requests"`
	// Errors are those of them that failed or were too late; Refused those that a rule refused.
	Errors  uint64 `json:"errors"`
	Refused uint64 `json:"refused"`
	// Again is how often one was handed back or put off, to be taken up later.
	Again uint64 `json:"again"`
	// Reasons counts errors and refusals by reason.
	Reasons map[string]uint64 `json:"reasons,omitempty"`
	// Took is how long each was worked on, Waited how long it had waited for that.
	Took   Histogram `json:"took"`
	Waited Histogram `json:"waited"`
}

// Merge adds the same window of another process.
func (w *Window) Merge(o *Window) {
	w.Seconds = max(w.Seconds, o.Seconds)
	w.Requests += o.Requests
	w.Errors += o.Errors
	w.Refused += o.Refused
	w.Again += o.Again
	for _, reason := range slices.Sorted(maps.Keys(o.Reasons)) {
		w.reason(reason, o.Reasons[reason])
	}
	w.Took.Merge(&o.Took)
	w.Waited.Merge(&o.Waited)
}

// reason counts n more under a reason, under Other where there are too many.
func (w *Window) reason(reason string, n uint64) {
	if reason == "" {
		return
	}
	if w.Reasons == nil {
		w.Reasons = make(map[string]uint64)
	}
	if _, known := w.Reasons[reason]; !known && len(w.Reasons) >= maxReasons {
		reason = Other
	}
	w.Reasons[reason] += n
}

// Check refuses a window that no process can have counted; the histograms have checked themselves.
func (w *Window) Check() error {
	if !slices.Contains(Spans(), w.Span) {
		return fmt.Errorf("window %.20q is not one of %v", string(w.Span), Spans())
	}
	if w.Requests > most || w.Errors > most || w.Refused > most || w.Again > most || w.Seconds < 0 || len(w.Reasons) > maxReasons+1 {
		return errors.New("counts are out of bounds")
	}
	for reason, n := range w.Reasons {
		if !word(reason) || n > most {
			return errors.New("a reason is out of bounds")
		}
	}
	return nil
}

// word tells whether a text is short and holds nothing that a terminal obeys.
func word(s string) bool {
	return len(s) <= maxWord && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// ring holds one window as slots of equal length.
type ring struct {
	span Span
	slot [slots]struct {
		turn int64 // which slot since the beginning of time this is; 0: none yet
		Window
	}
}

func (r *ring) width() int64 { return int64(r.span.Length()) / slots }

// at is the slot of a moment, emptied if it was that of an earlier one.
func (r *ring) at(now time.Time) *Window {
	turn := now.UnixNano() / r.width()
	s := &r.slot[turn%slots]
	if s.turn != turn {
		took, waited := s.Took, s.Waited
		took.reset()
		waited.reset()
		s.turn, s.Window = turn, Window{Took: took, Waited: waited}
	}
	return &s.Window
}

// sum adds the slots that are still in the window; began is when counting did.
func (r *ring) sum(now, began time.Time) Window {
	turn := now.UnixNano() / r.width()
	w := Window{Span: r.span}
	for i := range r.slot {
		if s := &r.slot[i]; s.turn > turn-slots && s.turn <= turn {
			w.Merge(&s.Window)
		}
	}
	oldest := time.Unix(0, (turn-slots+1)*r.width())
	if oldest.Before(began) {
		oldest = began
	}
	w.Seconds = max(now.Sub(oldest).Seconds(), 0)
	return w
}

package statistics

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// maxLines bounds how many gateways, and how many backends, are kept apart.
const maxLines = 32

// Line is what one gateway or backend did.
type Line struct {
	Name    string   `json:"name"`
	Windows []Window `json:"windows"`
	// Total and TotalErrors count since the process started.
	Total       uint64 `json:"total"`
	TotalErrors uint64 `json:"total_errors"`
	// Last is when it last did something, LastError when something last failed, and for which reason.
	Last            time.Time `json:"last,omitzero"`
	LastError       time.Time `json:"last_error,omitzero"`
	LastErrorReason string    `json:"last_error_reason,omitempty"`
	// LastErrorCode is a provider's own code, where one failed.
	LastErrorCode string `json:"last_error_code,omitempty"`
}

// Window finds the line's window of a span; an empty one where it has none.
func (l *Line) Window(s Span) Window {
	for _, w := range l.Windows {
		if w.Span == s {
			return w
		}
	}
	return Window{Span: s}
}

// Merge adds what another process counted of the same gateway or backend.
func (l *Line) Merge(o *Line) {
	for i := range o.Windows {
		at := slices.IndexFunc(l.Windows, func(w Window) bool { return w.Span == o.Windows[i].Span })
		if at < 0 {
			l.Windows = append(l.Windows, Window{Span: o.Windows[i].Span})
			at = len(l.Windows) - 1
		}
		l.Windows[at].Merge(&o.Windows[i])
	}
	l.Total += o.Total
	l.TotalErrors += o.TotalErrors
	if o.Last.After(l.Last) {
		l.Last = o.Last
	}
	if o.LastError.After(l.LastError) {
		l.LastError, l.LastErrorReason, l.LastErrorCode = o.LastError, o.LastErrorReason, o.LastErrorCode
	}
}

// Snapshot is everything that was counted, by name.
type Snapshot struct {
	Gateways []Line `json:"gateways"`
	Backends []Line `json:"backends"`
}

// Merge adds the snapshot of another process.
func (s *Snapshot) Merge(o *Snapshot) {
	s.Gateways = merge(s.Gateways, o.Gateways)
	s.Backends = merge(s.Backends, o.Backends)
}

func merge(into, from []Line) []Line {
	for i := range from {
		at := slices.IndexFunc(into, func(l Line) bool { return l.Name == from[i].Name })
		if at < 0 {
			if len(into) >= maxLines {
				continue
			}
			into = append(into, Line{Name: from[i].Name})
			at = len(into) - 1
		}
		into[at].Merge(&from[i])
	}
	slices.SortFunc(into, func(a, b Line) int { return cmp.Compare(a.Name, b.Name) })
	return into
}

// Check refuses a snapshot that no process can have counted.
func (s *Snapshot) Check() error {
	for _, lines := range [][]Line{s.Gateways, s.Backends} {
		if len(lines) > maxLines {
			return fmt.Errorf("%d lines are more than %d", len(lines), maxLines)
		}
		for i := range lines {
			if err := lines[i].check(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Line) check() error {
	if l.Name == "" || !word(l.Name) || !word(l.LastErrorReason) || !word(l.LastErrorCode) || len(l.Windows) > len(Spans()) || l.Total > most || l.TotalErrors > most {
		return fmt.Errorf("the line %.20q is out of bounds", l.Name)
	}
	for i := range l.Windows {
		if err := l.Windows[i].Check(); err != nil {
			return fmt.Errorf("the line %.20q: %w", l.Name, err)
		}
	}
	return nil
}

// Book counts. It is a worker.Observer and safe for concurrent use.
type Book struct {
	now   func() time.Time
	began time.Time

	mu                 sync.Mutex
	gateways, backends map[string]*account
}

var _ worker.Observer = (*Book)(nil)

// NewBook begins to count; now is time.Now outside of tests.
func NewBook(now func() time.Time) *Book {
	return &Book{now: now, began: now(), gateways: make(map[string]*account), backends: make(map[string]*account)}
}

// account is the open line of one gateway or backend: its windows are rings.
type account struct {
	Line

	rings []*ring
}

// entry is one thing that happened.
type entry struct {
	outcome      outcome
	reason, code string
	took, waited time.Duration
	// unwaited is true where there is no waiting to speak of.
	unwaited bool
}

type outcome int

const (
	done outcome = iota
	failed
	refused
	again
)

// Settled counts a delivery at its gateway. What asked for nothing, or what somebody else did, is not counted.
func (b *Book) Settled(s worker.Settled) {
	e := entry{reason: string(s.Reason), took: s.Took, waited: s.Waited}
	switch s.Outcome {
	case worker.SettledPassed, worker.SettledAs(messages.StatusSuccess), worker.SettledAs(messages.StatusPartial):
	case worker.SettledAs(messages.StatusFailure), worker.SettledAs(messages.StatusTimeout):
		e.outcome = failed
	case worker.SettledAs(messages.StatusDenied), worker.SettledAs(messages.StatusRateLimited):
		e.outcome = refused
	case worker.SettledUnpublished:
		e.outcome, e.reason = failed, string(s.Outcome)
	case worker.SettledWaiting, worker.SettledRetry, worker.SettledParked:
		e.outcome = again
	case worker.SettledMoved, worker.SettledLost, worker.SettledLeft:
		return
	}
	b.count(b.gateways, string(s.Layer), e)
}

// Attempted counts an attempt at its backend.
func (b *Book) Attempted(a worker.Attempted) {
	e := entry{took: time.Duration(a.Attempt.DurationMS) * time.Millisecond, unwaited: true}
	if !a.OK() {
		e.outcome, e.reason = failed, a.Attempt.Class
		if word(a.Attempt.Code) { // a stranger's text
			e.code = a.Attempt.Code
		}
	}
	b.count(b.backends, a.Attempt.Backend, e)
}

// Died counts nothing: the end that it tells of was counted.
func (b *Book) Died(worker.Died) {}

func (b *Book) count(book map[string]*account, name string, e entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	a := b.account(book, name)
	if a == nil {
		return
	}
	a.Last = now
	if e.outcome != again {
		a.Total++
	}
	if e.outcome == failed {
		a.TotalErrors++
		a.LastError, a.LastErrorReason, a.LastErrorCode = now, e.reason, e.code
	}
	for _, r := range a.rings {
		r.at(now).add(e)
	}
}

func (w *Window) add(e entry) {
	if e.outcome == again {
		w.Again++
		return
	}
	w.Requests++
	w.Took.Add(e.took)
	if !e.unwaited {
		w.Waited.Add(e.waited)
	}
	switch e.outcome {
	case failed:
		w.Errors++
		w.reason(e.reason, 1)
	case refused:
		w.Refused++
		w.reason(e.reason, 1)
	case done, again:
	}
}

// account is that of a name; nil where there are too many.
func (b *Book) account(book map[string]*account, name string) *account {
	if a := book[name]; a != nil {
		return a
	}
	if name == "" || len(name) > maxWord || len(book) >= maxLines {
		return nil
	}
	a := &account{Line: Line{Name: name}}
	for _, s := range Spans() {
		a.rings = append(a.rings, &ring{span: s})
	}
	book[name] = a
	return a
}

// Snapshot is what was counted up to now.
func (b *Book) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	return Snapshot{Gateways: b.lines(b.gateways, now), Backends: b.lines(b.backends, now)}
}

func (b *Book) lines(book map[string]*account, now time.Time) []Line {
	lines := make([]Line, 0, len(book))
	for _, a := range book {
		l := a.Line
		for _, r := range a.rings {
			l.Windows = append(l.Windows, r.sum(now, b.began))
		}
		lines = append(lines, l)
	}
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.Name, b.Name) })
	return lines
}

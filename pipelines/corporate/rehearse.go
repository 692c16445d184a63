package corporate

import (
	"cmp"
	"slices"
	"time"

	"flowgate/messages"
)

// Spend is a request that was let through, or would be: what it reserves when it is decided on, and what it costs when it has ended.
type Spend struct {
	At, Ended    time.Time
	Amount, Cost int64
	Scopes       []Scope
}

// Rehearsed is what the ledger would have said to a spend: denied for Reason, Waits for others' reservations, or neither.
type Rehearsed struct {
	Reason messages.Reason
	Waits  bool
}

// Rehearse plays the ledger over spends in the order of their decisions, from what was settled in each scope before. Each ends when it
// ended on record. One that only others' reservations keep from its money waits, and is counted as if it had got it at once: when it
// would have got it, nobody knows.
func Rehearse(spends []Spend, settled map[string]int64) []Rehearsed {
	type event struct {
		at   time.Time
		ends bool
		n    int
	}
	events := make([]event, 0, 2*len(spends))
	for n := range spends {
		events = append(events, event{spends[n].At, false, n}, event{spends[n].Ended, true, n})
	}
	slices.SortStableFunc(events, func(a, b event) int {
		return cmp.Or(a.at.Compare(b.at), a.n-b.n)
	})
	said, reserved, open := make([]Rehearsed, len(spends)), make(map[string]int64), make([]bool, len(spends))
	for _, e := range events {
		s := &spends[e.n]
		switch {
		case !e.ends:
			said[e.n] = ask(s, settled, reserved)
			open[e.n] = said[e.n].Reason == ""
			if open[e.n] {
				book(s, reserved, s.Amount)
			}
		case open[e.n]:
			book(s, reserved, -s.Amount)
			book(s, settled, s.Cost)
		}
	}
	return said
}

func ask(s *Spend, settled, reserved map[string]int64) (said Rehearsed) {
	for _, scope := range s.Scopes {
		switch {
		case settled[scope.Name]+s.Amount > scope.Limit:
			return Rehearsed{Reason: scope.Reason}
		case settled[scope.Name]+reserved[scope.Name]+s.Amount > scope.Limit:
			said.Waits = true
		}
	}
	return said
}

func book(s *Spend, in map[string]int64, amount int64) {
	for _, scope := range s.Scopes {
		in[scope.Name] += amount
	}
}

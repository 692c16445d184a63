package pace

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// State is how the pace of one key stands, as this worker knows it.
type State struct {
	Backend string `json:"backend"`
	Model   string `json:"model"`
	// Source says where the rate comes from: headers, refusals, or none while no limit is known.
	Source string `json:"source"`
	// Rate is how many calls a second all workers may send, apart from probes; while no limit is known, what is tried. Share is this
	// worker's part.
	Rate  float64 `json:"calls_per_second"`
	Share float64 `json:"share"`
	// BlockedUntil is until when the provider wants no call; absent where it does.
	BlockedUntil *time.Time `json:"blocked_until,omitempty"`
	// Waiting calls wait in their slots, Away were told to come back.
	Waiting int `json:"waiting"`
	Away    int `json:"away"`
	// Sent and Refused count this worker's calls, Paced is how long they waited in slots, all together.
	Sent        uint64        `json:"sent"`
	Refused     uint64        `json:"refused"`
	LastRefusal *time.Time    `json:"last_refusal,omitempty"`
	Paced       time.Duration `json:"paced_ns"`
}

// The sources of a rate.
const (
	SourceNone     = "none"
	SourceHeaders  = "headers"
	SourceRefusals = "refusals"
)

// Away is how many calls of a key were told to come back.
func (p *Pace) Away(key Key) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buckets[key]
	if b == nil {
		return 0
	}
	b.sweep(time.Now())
	return len(b.promises)
}

// State tells how every key stands that was used of late, ordered by backend and model.
func (p *Pace) State() []State {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	all := make([]State, 0, len(p.buckets))
	for _, b := range p.buckets {
		all = append(all, b.state(now))
	}
	slices.SortFunc(all, func(a, b State) int { return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Model, b.Model)) })
	return all
}

// Paced is how long the calls of each backend have waited in slots, all together, since this worker started.
func (p *Pace) Paced() map[string]time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := maps.Clone(p.gone)
	for key, b := range p.buckets {
		all[key.Backend] += b.paced
	}
	return all
}

func (b *bucket) state(now time.Time) State {
	share := b.share(now)
	rate, _ := b.rates(now)
	b.sweep(now)
	s := State{
		Backend: b.key.Backend, Model: b.key.Model, Source: SourceNone, Rate: rate / share, Share: share, Waiting: len(b.queue), Away: len(b.promises),
		Sent: b.sent, Refused: b.refused, Paced: b.paced,
	}
	switch {
	case b.requests.usable() || b.tokens.usable():
		s.Source = SourceHeaders
	case b.limit.Known:
		s.Source, s.Rate = SourceRefusals, b.limit.Rate
	}
	if until := b.limit.until; until.After(now) {
		s.BlockedUntil = &until
	}
	if at := b.lastRefusal; !at.IsZero() {
		s.LastRefusal = &at
	}
	return s
}

package pace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
)

// Subject is where workers tell each other how they pace. It is none of a producer's.
const Subject = "flowgate.fleet.pace"

// Version is the message's: it grows by addition.
const Version = 1

// How workers tell and hear, and the bounds of what is believed.
const (
	tellEvery  = 100 * time.Millisecond // what changed; and at once when something is learnt
	tellAnyway = time.Second            // what did not change
	unheard    = 3 * time.Second        // who says nothing for so long has no share
	tellFor    = 5 * time.Second        // after the last use of a key
	leastPart  = 0.05                   // of an even share, for who has asked for nothing yet
	maxMessage = 256 << 10
	maxLines   = 64 // keys of one message
	maxPeers   = 512
	maxName    = 256
)

// message is what one worker tells: what it does with each key that it uses.
type message struct {
	V      int    `json:"v"`
	Worker string `json:"worker"`
	Lines  []line `json:"keys"`
}

type line struct {
	Backend string `json:"backend"`
	Model   string `json:"model"`
	// Sent counts its calls since it started, Held those of them that had to wait.
	Sent uint64 `json:"sent"`
	Held uint64 `json:"held"`
	// Refused counts those of them that the provider refused for their rate.
	Refused uint64 `json:"refused,omitempty"`
	// Demand is how many calls a second it would send, and how many wait.
	Demand float64 `json:"demand"`
	// Learnt is what it believes of the provider, BlockedMS for how much longer it sends nothing.
	Learnt    learnt `json:"learnt"`
	BlockedMS int64  `json:"blocked_ms,omitempty"`
}

// peer is what another worker said of a key.
type peer struct {
	sent, held, refused uint64
	demand              float64
	heard               time.Time
}

// share is this worker's part of what all may send: by demand among those heard of late.
func (b *bucket) share(now time.Time) float64 {
	others, n := 0.0, 1.0
	for _, p := range b.peers {
		if now.Sub(p.heard) < unheard {
			others += p.demand
			n++
		}
	}
	if n == 1 {
		return 1
	}
	own := b.wants(now)
	least := leastPart / n
	if own+others <= 0 {
		return 1 / n
	}
	return max(own/(own+others), least)
}

// wants is this worker's demand: calls asked for of late, and those that wait.
func (b *bucket) wants(now time.Time) float64 {
	b.sweep(now)
	return max(b.demand.value(now), float64(len(b.queue)+len(b.promises)))
}

// line is what this worker tells of a key.
func (b *bucket) line(now time.Time) line {
	l := line{Backend: b.key.Backend, Model: b.key.Model, Sent: b.sent, Held: b.held, Refused: b.refused, Demand: b.wants(now), Learnt: b.limit.learnt}
	if d := b.limit.until.Sub(now); d > 0 {
		l.BlockedMS = int64(math.Ceil(float64(d) / float64(time.Millisecond)))
	}
	return l
}

// merge takes what another worker said of this key.
func (b *bucket) merge(now time.Time, worker string, l line, longest time.Duration) {
	p := b.peers[worker]
	if p == nil {
		if len(b.peers) >= maxPeers {
			b.forgetPeers(now)
		}
		if len(b.peers) >= maxPeers {
			return
		}
		p = &peer{}
		if now.Sub(b.began) > unheard { // it was there before: what it sent is long past
			p.sent, p.held, p.refused = l.Sent, l.Held, l.Refused
		}
		b.peers[worker] = p
	}
	sent, held, refused := since(&p.sent, l.Sent), since(&p.held, l.Held), since(&p.refused, l.Refused)
	p.demand, p.heard = l.Demand, now
	blocked := min(time.Duration(l.BlockedMS)*time.Millisecond, longest)
	b.limit.called(now, sent, min(held, sent))
	b.limit.owe(refused)
	b.limit.merge(now, l.Learnt, blocked)
}

// since is how much a counter grew; one that fell was started anew.
func since(was *uint64, is uint64) float64 {
	grown := 0.0
	if is >= *was {
		grown = min(float64(is-*was), fastest)
	}
	*was = is
	return grown
}

func (b *bucket) forgetPeers(now time.Time) {
	for worker, p := range b.peers {
		if now.Sub(p.heard) >= unheard {
			delete(b.peers, worker)
		}
	}
}

// decode reads what somebody told and refuses what no worker of ours can have said.
func decode(data []byte) (m message, err error) {
	if len(data) > maxMessage {
		return m, fmt.Errorf("it has %d bytes, more than %d", len(data), maxMessage)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("it is no message: %w", err)
	}
	switch {
	case m.V < 1:
		return m, errors.New("v: is missing")
	case !word(m.Worker):
		return m, errors.New("worker: must be one short line")
	case len(m.Lines) > maxLines:
		return m, fmt.Errorf("keys: are %d, more than %d", len(m.Lines), maxLines)
	}
	for i := range m.Lines {
		if err := m.Lines[i].check(); err != nil {
			return m, fmt.Errorf("keys[%d]: %w", i, err)
		}
	}
	return m, nil
}

func (l *line) check() error {
	if !word(l.Backend) || !word(l.Model) {
		return errors.New("backend, model: must be short lines")
	}
	if !within(l.Demand, 0, 1e9) || l.BlockedMS < 0 || l.BlockedMS > (24*time.Hour).Milliseconds() {
		return errors.New("demand, blocked_ms: are out of bounds")
	}
	o := l.Learnt
	if o.Gen > 1<<53 || !within(o.Rate, slowest, fastest) || !within(o.Burst, 0, 1e9) || !within(o.Loss, 0, 1e9) || !within(o.Held, 0, fastest) ||
		!within(o.Delivered, 0, 1e9) || o.Streak < 0 || o.Streak > 4 || o.Early < 0 || o.Early > 1e9 || !within(o.Delay, 0, 10) ||
		!within(o.First, 0, 1e9) || !within(o.Took, 0, 1e9) {
		return errors.New("learnt: is out of bounds")
	}
	return nil
}

func within(v, least, most float64) bool { return v >= least && v <= most }

// word tells whether a text is one short line.
func word(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) || c == unicode.ReplacementChar })
}

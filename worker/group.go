package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"flowgate/messages"
)

// Group lets publications of several callers reach the disk together. A broker that flushes before it acknowledges flushes
// once for each publication, but once for an atomic batch. While nobody commits, whoever comes commits at once; who comes
// meanwhile waits, and goes together with all who came: batches are as large as the load makes them, and nobody waits for a
// timer.
//
// The law holds as it does for one: a batch is stored whole or not at all, each member under its own S and token. Whatever
// is not known to be stored goes out singly, with the same S and token, and finds its own token if it was stored after all.
// No batch has two members of one family: the server compares both with what was there before the batch, and stores both.
//
// It helps one server that flushes always. Replicated streams propose many messages at once by themselves, and without
// flushing a batch costs more than it saves: there a Hop has none.
type Group struct {
	// Patience is how long the answer to a batch is awaited before its members go singly (default 5 s).
	Patience time.Duration

	mu    sync.Mutex
	lanes map[int]*lane
	off   atomic.Bool
	// counts are of batches that were stored, of their members, and of batches that were not.
	batches, members, refused atomic.Uint64
}

// Bounds of a batch.
const (
	// groupLeast is how many members pay for what a batch costs the server beside its flush: it stages batches in a store of
	// their own, some nine flushes more. By BenchmarkDurablePublish 16 together cost more than singly, 32 as much or less, 200 a
	// sixth.
	groupLeast = 32
	// groupMost is the server's; groupBytes bounds their sizes together, groupMember each.
	groupMost   = 1000
	groupBytes  = 8 << 20
	groupMember = 256 << 10
)

// Switch turns it off and on: off, every publication is a flush of its own.
func (g *Group) Switch(on bool) { g.off.Store(!on) }

// GroupCounts is what a group did.
type GroupCounts struct {
	// Batches were stored, with so many Members; Refused ones went out singly.
	Batches, Members, Refused uint64
}

// Since is what was done since other counts were taken.
func (c GroupCounts) Since(before GroupCounts) GroupCounts {
	return GroupCounts{c.Batches - before.Batches, c.Members - before.Members, c.Refused - before.Refused}
}

// Counts tells what it did up to now; no group did nothing.
func (g *Group) Counts() GroupCounts {
	if g == nil {
		return GroupCounts{}
	}
	return GroupCounts{Batches: g.batches.Load(), Members: g.members.Load(), Refused: g.refused.Load()}
}

// lane is one partition's: one call leads, the others wait.
type lane struct {
	led   bool
	queue []*joint
}

// joint is one call of Publish that goes, or waits to go, together with others.
type joint struct {
	pubs []*Publication
	// stored are the sequences of pubs that were; 0: it goes out singly.
	stored []uint64
	// ready is closed when stored is known, or when this call shall lead.
	ready chan struct{}
	leads bool
}

// join publishes with others, or alone. What it returns as pending goes out singly; then the caller MUST call leave. All
// publications are of partition p.
func (g *Group) join(ctx context.Context, h *Hop, p int, pubs []*Publication) (stored []uint64, leave func()) {
	j := &joint{pubs: pubs, stored: make([]uint64, len(pubs)), ready: make(chan struct{})}
	stay := func() {}
	if g.off.Load() {
		return j.stored, stay
	}
	if !g.enter(p, j) {
		select {
		case <-j.ready:
		case <-ctx.Done():
			g.withdraw(p, j)
			return make([]uint64, len(pubs)), stay // what the leader may still write belongs to nobody
		}
		if !j.leads {
			return j.stored, stay
		}
	}
	g.commit(ctx, h, g.take(p, j))
	return j.stored, sync.OnceFunc(func() { g.pass(p) })
}

// enter makes the call lead a lane without a leader, or queues it.
func (g *Group) enter(p int, j *joint) (leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[p]
	if l == nil {
		if g.lanes == nil {
			g.lanes = make(map[int]*lane)
		}
		l = &lane{}
		g.lanes[p] = l
	}
	if l.led {
		l.queue = append(l.queue, j)
		return false
	}
	l.led, j.leads = true, true
	return true
}

// withdraw takes a call out that waits no longer; where it was just told to lead, the next one does.
func (g *Group) withdraw(p int, j *joint) {
	g.mu.Lock()
	l := g.lanes[p]
	for i, other := range l.queue {
		if other == j {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			break
		}
	}
	leads := j.leads
	g.mu.Unlock()
	if leads {
		g.pass(p)
	}
}

// pass lets the longest waiting call lead.
func (g *Group) pass(p int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[p]
	if len(l.queue) == 0 {
		l.led = false
		return
	}
	next := l.queue[0]
	l.queue = l.queue[1:]
	next.leads = true
	close(next.ready)
}

// take is the leader's call and those that go with it. The rest waits for the next.
func (g *Group) take(p int, leader *joint) []*joint {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, together, n := g.lanes[p], []*joint{leader}, len(leader.pubs)
	for len(l.queue) > 0 && n+len(l.queue[0].pubs) <= groupMost {
		together = append(together, l.queue[0])
		n += len(l.queue[0].pubs)
		l.queue = l.queue[1:]
	}
	return together
}

// commit publishes what can go together as one batch, and tells everybody but the leader.
func (g *Group) commit(ctx context.Context, h *Hop, together []*joint) {
	type place struct {
		of *joint
		i  int
	}
	var members []*Publication
	var places []place
	families, size := make(map[messages.Key]bool), 0
	for _, j := range together {
		for i, p := range j.pubs {
			if n := len(p.Data); len(members) < groupMost && !families[p.Key] && n <= groupMember && size+n <= groupBytes {
				members, places = append(members, p), append(places, place{j, i})
				families[p.Key], size = true, size+n
			}
		}
	}
	if len(members) >= groupLeast && h.JS.Conn().IsConnected() {
		first, err := h.batch(ctx, g.patience(), members)
		if err != nil {
			g.refused.Add(1)
		} else {
			g.batches.Add(1)
			g.members.Add(uint64(len(members)))
			for n, at := range places {
				at.of.stored[at.i] = first + uint64(n) //nolint:gosec // an index
			}
		}
	}
	for _, j := range together[1:] {
		close(j.ready)
	}
}

func (g *Group) patience() time.Duration {
	if g.Patience > 0 {
		return g.Patience
	}
	return 5 * time.Second
}

// batch publishes an atomic batch and gives the sequence of its first member. An error says nothing about what was stored.
func (h *Hop) batch(ctx context.Context, patience time.Duration, members []*Publication) (first uint64, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // it is the others' too
	defer cancel()
	id, conn, last := nuid.Next(), h.JS.Conn(), len(members)-1
	for i, p := range members {
		msg := p.message()
		msg.Header[headerBatch] = []string{id}
		msg.Header[headerBatchSeq] = []string{strconv.Itoa(i + 1)}
		if i < last {
			if err := conn.PublishMsg(msg); err != nil {
				return 0, fmt.Errorf("publishing a batch: %w", err)
			}
			continue
		}
		msg.Header[headerBatchCommit] = []string{"1"}
		reply, err := conn.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return 0, fmt.Errorf("committing a batch: %w", err)
		}
		var ack struct {
			Error *jetstream.APIError `json:"error"`
			Seq   uint64              `json:"seq"`
			Count int                 `json:"count"`
		}
		switch err := json.Unmarshal(reply.Data, &ack); {
		case err != nil:
			return 0, fmt.Errorf("reading the answer to a batch: %w", err)
		case ack.Error != nil:
			return 0, fmt.Errorf("committing a batch: %w", ack.Error)
		case ack.Count != len(members) || ack.Seq < uint64(len(members)):
			return 0, fmt.Errorf("committing a batch of %d: the answer counts %d up to sequence %d", len(members), ack.Count, ack.Seq)
		}
		return ack.Seq - uint64(last), nil //nolint:gosec // an index
	}
	return 0, errors.New("publishing a batch: it has no members")
}

// Headers of an atomic batch.
const (
	headerBatch       = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

package cache

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Shared is the level that workers of all machines share. It keeps bytes; what they are is proven by who reads them.
type Shared interface {
	// Get reads an entry; false where there is none.
	Get(ctx context.Context, family, key string) ([]byte, bool, error)
	// Put stores an entry for so long, or leaves it out where there is no room.
	Put(ctx context.Context, family, key string, data []byte, ttl time.Duration) error
	// Slow tells whether storing so many bytes takes longer than a request may wait.
	Slow(size int) bool
}

// Bounds of the shared level: what it does not give or take in time is done without.
const (
	sharedPatience = 250 * time.Millisecond
	slowPatience   = 10 * time.Second
	mostLater      = 16
	// After sharedFaults faults in a row nobody asks it for sharedRest.
	sharedFaults = 3
	sharedRest   = 5 * time.Second
)

// guarded is a shared level that is left alone for a while when it does not answer, so that requests do not wait for it one after the
// other.
type guarded struct {
	Shared

	now func() time.Time

	mu     sync.Mutex
	faults int
	until  time.Time
}

func (g *guarded) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.now().Before(g.until)
}

// told notes how it answered.
func (g *guarded) told(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.faults = 0
		return
	}
	if g.faults++; g.faults >= sharedFaults {
		g.faults, g.until = 0, g.now().Add(sharedRest)
	}
}

func (c *Cache) fromShared(ctx context.Context, a Ask, now time.Time) (Entry, bool) {
	if c.shared == nil || !c.shared.open() {
		return Entry{}, false
	}
	within, cancel := context.WithTimeout(ctx, sharedPatience)
	defer cancel()
	data, has, err := c.shared.Get(within, a.Family, a.Key)
	if ctx.Err() == nil {
		c.shared.told(err)
	}
	if err != nil {
		c.complain("reading the shared level of the cache", err)
		return Entry{}, false
	}
	if !has || len(data) > mostFile {
		return Entry{}, false
	}
	e, err := c.codec.decode(data, a.Family, a.Key)
	if err != nil || !c.usable(&e, a, now) {
		return Entry{}, false
	}
	c.keep(e, data, now)
	return e, true
}

// parcel is an entry on its way to the shared level.
type parcel struct {
	family, key string
	data        []byte
	expires     time.Time
}

// share gives an entry to the other workers: at once, so that whoever waits for this very answer finds it, or later where that takes
// too long.
func (c *Cache) share(ctx context.Context, e *Entry, data []byte, now time.Time) {
	if c.shared == nil || !c.shared.open() {
		return
	}
	p := parcel{e.Family, e.Key, data, e.Expires}
	if c.shared.Slow(len(data)) {
		select {
		case c.later <- p:
		default: // too many are on their way: the others pay for this one themselves
		}
		return
	}
	c.send(ctx, p, sharedPatience, now)
}

func (c *Cache) send(ctx context.Context, p parcel, patience time.Duration, now time.Time) {
	ttl := p.expires.Sub(now)
	if ttl < time.Second {
		return
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.shared.Put(within, p.family, p.key, p.data, ttl)
	if ctx.Err() != nil {
		return
	}
	c.shared.told(err)
	if err != nil {
		c.complain("sharing an answer of the cache", fmt.Errorf("%s: %w", p.family, err))
	}
}

// deliver shares what is large.
func (c *Cache) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-c.later:
			c.send(ctx, p, slowPatience, c.now())
		}
	}
}

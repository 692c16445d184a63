package cache

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// room knows how many bytes the files of each family have, as of the last look at its folder and what this process wrote since. Other
// processes may write there too: the folder is looked at again from time to time.
type room struct {
	mu    sync.Mutex
	bytes map[string]int64
	// full are the families over their bound.
	full map[string]bool
	wake chan struct{}
}

func newRoom() *room {
	return &room{bytes: make(map[string]int64), full: make(map[string]bool), wake: make(chan struct{}, 1)}
}

// admit tells whether a file may be written: an eighth over the bound at most, until somebody has made room.
func (r *room) admit(family string, size, most int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	after := r.bytes[family] + size
	if after > most {
		r.full[family] = true
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	if after > most+most/8 {
		return false
	}
	r.bytes[family] = after
	return true
}

// settle notes what a look at a folder found.
func (r *room) settle(family string, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes[family] = bytes
	delete(r.full, family)
}

func (r *room) overfull() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for family := range r.full {
		names = append(names, family)
	}
	return names
}

func (r *room) total() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var sum int64
	for _, n := range r.bytes {
		sum += n
	}
	return sum
}

// evict makes room in a family's folder where it is over its bound: those that were not used for longest go, until a tenth is free.
func (c *Cache) evict(ctx context.Context, family string) {
	most := c.family(family).MaxBytes
	all, err := c.files.list(family, c.now())
	if err != nil {
		c.complain("looking at the files of the cache", err)
	}
	var bytes int64
	for _, f := range all {
		bytes += f.size
	}
	if bytes > most || len(all) > mostFiles {
		slices.SortFunc(all, func(a, b found) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.key, b.key)) })
		files, n := len(all), 0
		for ; n < files && (bytes > most-most/10 || files-n > mostFiles-mostFiles/10) && ctx.Err() == nil; n++ {
			if _, err := c.files.remove(family, all[n].key); err != nil {
				c.complain("making room in the cache", err)
				break
			}
			bytes -= all[n].size
		}
		c.counters.evicted(family, int64(n))
	}
	c.room.settle(family, bytes)
}

// look looks at the folders of all families.
func (c *Cache) look(ctx context.Context) {
	families, err := c.files.families()
	if err != nil {
		c.complain("looking at the cache", err)
	}
	for _, family := range families {
		if ctx.Err() == nil {
			c.evict(ctx, family)
		}
	}
}

// prune removes the files of a family that do not count at a moment: their time is over, or they are no entries at all. Where it is zero
// all go.
func (f files) prune(ctx context.Context, family string, at, now time.Time) (removed int, bytes int64, err error) {
	all, err := f.list(family, now)
	for _, file := range all {
		if ctx.Err() != nil {
			return removed, bytes, ctx.Err()
		}
		if s, ok := f.peek(family, file.key); ok && !at.IsZero() && at.Before(s.expires) {
			continue
		}
		gone, wrong := f.remove(family, file.key)
		if gone {
			removed, bytes = removed+1, bytes+file.size
		}
		err = cmp.Or(err, wrong)
	}
	return removed, bytes, err
}

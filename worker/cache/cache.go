package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Level is where an answer was found.
type Level string

// The levels, nearest first.
const (
	LevelMemory Level = "memory"
	LevelDisk   Level = "disk"
	LevelShared Level = "shared"
)

// Levels lists the levels.
func Levels() []Level { return []Level{LevelMemory, LevelDisk, LevelShared} }

// Family is how the files of a family of models are kept.
type Family struct {
	// MaxBytes bounds them.
	MaxBytes int64
	// Compress packs them.
	Compress bool
}

// Options are the settings of a cache.
type Options struct {
	// Dir is the absolute folder of the files; empty: nothing is written.
	Dir string
	// Default holds for families that are not in Families.
	Default  Family
	Families map[string]Family
	// MemoryBytes bounds what is kept in memory; 0 is nothing.
	MemoryBytes int64
	// Secret, where it is not empty, encrypts what is stored, in files and in the shared level.
	Secret string
	// Shared is the level of all workers; nil: there is none.
	Shared Shared
	// Now is the clock; nil is time.Now.
	Now    func() time.Time
	Logger *zap.Logger
}

// Cache is the cache of one process. It is safe for concurrent use.
type Cache struct {
	options  Options
	codec    codec
	memory   *memory
	files    files
	room     *room
	counters *counters
	shared   *guarded
	cleared  atomic.Pointer[cleared]
	// later are answers for the shared level that take too long to wait for, behind those whose files are still to be written.
	later, behind chan parcel
	running       atomic.Bool
	// complained is when trouble was logged last, in Unix nanoseconds.
	complained atomic.Int64
}

// New wires and validates. It makes no folder: the first answer does.
func New(o Options) (*Cache, error) {
	var faults []error
	if o.Dir != "" && !filepath.IsAbs(o.Dir) {
		faults = append(faults, fmt.Errorf("the folder of the cache is %s, must be absolute", o.Dir))
	}
	if o.Default.MaxBytes < 1 {
		faults = append(faults, errors.New("the cache has no bound for the files of a family"))
	}
	if o.MemoryBytes < 0 {
		faults = append(faults, errors.New("the memory of the cache must not be negative"))
	}
	for family, f := range o.Families {
		if !familyForm.MatchString(family) || f.MaxBytes < 1 {
			faults = append(faults, fmt.Errorf("the family %.80q of the cache has no proper name, or no bound", family))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("wiring the cache: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	c := &Cache{
		options: o, memory: newMemory(o.MemoryBytes), files: files{o.Dir}, room: newRoom(), counters: newCounters(o.Dir),
		later: make(chan parcel, mostLater), behind: make(chan parcel, mostBehind),
	}
	if o.Secret != "" {
		seal, err := newSealer(o.Secret)
		if err != nil {
			return nil, err
		}
		c.codec.seal = seal
	}
	if o.Shared != nil {
		c.shared = &guarded{Shared: o.Shared, now: o.Now}
	}
	c.reread()
	return c, nil
}

func (c *Cache) now() time.Time { return c.options.Now() }

func (c *Cache) family(family string) Family {
	if f, own := c.options.Families[family]; own {
		return f
	}
	return c.options.Default
}

// Ask is a question to the cache.
type Ask struct {
	Family, Key string
	// MaxAge is how old an answer may be; 0: as old as it says itself.
	MaxAge time.Duration
	// Again is set where the same was asked a moment ago: another miss is not counted.
	Again bool
	// Fits, where it is set, tells whether this request may have the answer; one that it may not have is a miss.
	Fits func(*Entry) bool
	// Recall, where it is set, makes of an entry what its asker needs, no larger than the entry's response. It stays in memory beside the
	// entry, so that it is made once, and MUST NOT be changed; an error is a miss.
	Recall func(*Entry) (any, error)
}

// Get looks for an answer, level by level. Every fault is a miss. A hit counts as what its call had cost.
func (c *Cache) Get(ctx context.Context, a Ask) (Entry, Level, bool) {
	if !named(a.Family, a.Key) {
		return Entry{}, "", false
	}
	now := c.now()
	for _, level := range []struct {
		Level

		get func() (Entry, bool)
	}{
		{LevelMemory, func() (Entry, bool) { return c.fromMemory(a, now) }},
		{LevelDisk, func() (Entry, bool) { return c.fromDisk(a, now) }},
		{LevelShared, func() (Entry, bool) { return c.fromShared(ctx, a, now) }},
	} {
		e, found := level.get()
		if found {
			e, found = c.recall(e, a)
		}
		if found {
			c.counters.hit(&e, level.Level)
			return e, level.Level, true
		}
	}
	if !a.Again {
		c.counters.count(a.Family, Tally{Misses: 1})
	}
	return Entry{}, "", false
}

// recall completes an entry with what its asker makes of it; false where nothing can be made of it.
func (c *Cache) recall(e Entry, a Ask) (Entry, bool) {
	if a.Recall == nil || e.Recalled != nil {
		return e, true
	}
	made, err := a.Recall(&e)
	if err != nil {
		return Entry{}, false
	}
	e.Recalled = made
	c.memory.recalled(&e)
	return e, true
}

// usable tells whether an entry answers what is asked.
func (c *Cache) usable(e *Entry, a Ask, now time.Time) bool {
	if marks := c.cleared.Load(); marks != nil && marks.covers(e.Family, e.Created) {
		return false
	}
	return e.fresh(now, a.MaxAge) && (a.Fits == nil || a.Fits(e))
}

// touchEvery is how often a file in use is marked as used.
const touchEvery = time.Minute

func (c *Cache) fromMemory(a Ask, now time.Time) (Entry, bool) {
	h, has := c.memory.get(a.Family, a.Key)
	if !has {
		return Entry{}, false
	}
	if h.file != nil && !c.files.same(a.Family, a.Key, h.file) {
		c.memory.remove(a.Family, a.Key)
		return Entry{}, false
	}
	if !c.usable(&h.entry, a, now) {
		return Entry{}, false
	}
	if h.file != nil && now.UnixNano()-h.touched > int64(touchEvery) {
		c.files.touch(a.Family, a.Key, now)
		c.memory.touch(a.Family, a.Key, now.UnixNano())
	}
	return h.entry, true
}

func (c *Cache) fromDisk(a Ask, now time.Time) (Entry, bool) {
	if c.files.dir == "" {
		return Entry{}, false
	}
	data, info, err := c.files.read(a.Family, a.Key)
	if err == nil {
		var e Entry
		if e, err = c.codec.decode(data, a.Family, a.Key); err == nil {
			return e, c.keepRead(e, info, a, now)
		}
	}
	switch {
	case errors.Is(err, errForm), errors.Is(err, errTooMuch): // half, corrupt, or nothing of ours
		if _, err := c.files.remove(a.Family, a.Key); err != nil {
			c.complain("removing a broken file of the cache", err)
		}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errKey):
	default:
		c.complain("reading the cache", err)
	}
	return Entry{}, false
}

// keepRead takes what was read into memory and tells whether it can be used. What nobody can use any more goes.
func (c *Cache) keepRead(e Entry, info fs.FileInfo, a Ask, now time.Time) bool {
	if !now.Before(e.Expires) {
		if _, err := c.files.remove(a.Family, a.Key); err != nil {
			c.complain("removing an expired file of the cache", err)
		}
		return false
	}
	if !c.usable(&e, a, now) {
		return false
	}
	touched := info.ModTime()
	if now.Sub(touched) > touchEvery {
		c.files.touch(a.Family, a.Key, now)
		touched = now
	}
	c.memory.put(held{entry: e, file: info, touched: touched.UnixNano()})
	return true
}

// Put keeps an answer, and shares it. It never fails: what cannot be kept is paid for again.
func (c *Cache) Put(ctx context.Context, e Entry) {
	e.V, e.Created, e.Expires = Version, e.Created.UTC(), e.Expires.UTC()
	now := c.now()
	if !named(e.Family, e.Key) || e.check(e.Family, e.Key) != nil || !e.fresh(now, 0) {
		return
	}
	data, err := c.codec.encode(&e, c.family(e.Family).Compress)
	if err != nil {
		if !errors.Is(err, errTooMuch) {
			c.complain("keeping an answer in the cache", err)
		}
		return
	}
	c.keep(e, data, now)
	c.counters.count(e.Family, Tally{Stored: 1})
	c.share(ctx, &e, data, now)
}

// keep keeps an entry on this machine.
func (c *Cache) keep(e Entry, data []byte, now time.Time) {
	h := held{entry: e, touched: now.UnixNano()}
	files := c.files.dir != "" && c.room.admit(e.Family, int64(len(data)), c.family(e.Family).MaxBytes)
	if c.options.MemoryBytes > 0 {
		c.memory.put(h)
	}
	p := parcel{e.Family, e.Key, data, e.Expires}
	if files && !c.leave(p) {
		c.writeFile(p, now)
	}
}

// leave leaves the writing of a file to Run, so that no request waits for a disk; false where it has to be done at once.
func (c *Cache) leave(p parcel) bool {
	if c.options.MemoryBytes == 0 || !c.running.Load() {
		return false
	}
	select {
	case c.behind <- p:
		return true
	default:
	}
	room := time.NewTimer(patience)
	defer room.Stop()
	select {
	case c.behind <- p:
		return true
	case <-room.C:
		return false
	}
}

func (c *Cache) writeFile(p parcel, now time.Time) {
	info, err := c.files.write(p.family, p.key, p.data, now)
	if err != nil {
		c.complain("keeping an answer in the cache", err)
		return
	}
	c.memory.wrote(p.family, p.key, p.expires, info)
}

// write writes the files that were left to it, to the last one.
func (c *Cache) write(ctx context.Context) {
	for {
		select {
		case p := <-c.behind:
			c.writeFile(p, c.now())
			continue
		default:
		}
		select {
		case p := <-c.behind:
			c.writeFile(p, c.now())
		case <-ctx.Done():
			return
		}
	}
}

// Bounds of what runs beside the requests.
const (
	// mostBehind is how many files may wait to be written. Who finds no room waits for it for a while, about as long as a file takes, for
	// two that write in one folder are no faster; then it writes its own.
	mostBehind = 64
	patience   = 2 * time.Millisecond
	flushEvery = 2 * time.Second
	lookEvery  = 5 * time.Minute
)

// Run makes room in the folder, writes the counters and shares what is large, until ctx ends. It MUST run while the cache is used.
func (c *Cache) Run(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { c.deliver(ctx) })
	c.running.Store(true)
	parts.Go(func() { c.write(ctx) })
	defer c.counters.close()
	defer c.flush()
	defer parts.Wait()
	flush, look := time.NewTicker(flushEvery), time.NewTicker(lookEvery)
	defer flush.Stop()
	defer look.Stop()
	c.look(ctx)
	for {
		select {
		case <-ctx.Done():
			c.running.Store(false)
			return
		case <-flush.C:
			c.flush()
			c.reread()
		case <-look.C:
			c.look(ctx)
		case <-c.room.wake:
			for _, family := range c.room.overfull() {
				c.evict(ctx, family)
			}
		}
	}
}

func (c *Cache) flush() {
	if err := c.counters.flush(c.now()); err != nil {
		c.complain("counting what the cache saves", err)
	}
}

// reread looks at what was cleared.
func (c *Cache) reread() {
	if c.files.dir == "" {
		return
	}
	marks := readCleared(c.files.dir)
	c.cleared.Store(&marks)
}

// complainEvery bounds how often trouble is told.
const complainEvery = time.Minute

// complain tells of trouble that is nobody's fault but the machine's: no request suffers from it.
func (c *Cache) complain(what string, err error) {
	now, last := c.now().UnixNano(), c.complained.Load()
	if last != 0 && now-last < int64(complainEvery) || !c.complained.CompareAndSwap(last, now) {
		return
	}
	c.options.Logger.Warn(what, zap.Error(err))
}

// Stand is how the cache of this process stands, for metrics.
type Stand struct {
	Tally

	// MemoryEntries and MemoryBytes are in memory, DiskBytes in files, as far as this process knows.
	MemoryEntries int
	MemoryBytes   int64
	DiskBytes     int64
}

// Stats is how the cache of this process stands since it began.
func (c *Cache) Stats() Stand {
	n, bytes := c.memory.stand()
	return Stand{Tally: c.counters.total(), MemoryEntries: n, MemoryBytes: bytes, DiskBytes: c.room.total()}
}

package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Tally is what was counted of a family.
type Tally struct {
	// Memory, Disk and Shared are the hits of each level.
	Memory int64 `json:"memory"`
	Disk   int64 `json:"disk"`
	Shared int64 `json:"shared"`
	Misses int64 `json:"misses"`
	// Stored and Evicted count entries.
	Stored  int64 `json:"stored"`
	Evicted int64 `json:"evicted"`
	// SavedMicroUSD and SavedSeconds are what the calls had cost that hits took the place of.
	SavedMicroUSD int64   `json:"saved_microusd"`
	SavedSeconds  float64 `json:"saved_seconds"`
}

// Hits are those of all levels.
func (t Tally) Hits() int64 { return t.Memory + t.Disk + t.Shared }

func (t Tally) plus(o Tally) Tally {
	return Tally{
		t.Memory + o.Memory, t.Disk + o.Disk, t.Shared + o.Shared, t.Misses + o.Misses, t.Stored + o.Stored, t.Evicted + o.Evicted,
		t.SavedMicroUSD + o.SavedMicroUSD, t.SavedSeconds + o.SavedSeconds,
	}
}

// counts are tallies by family, and the hits of entries by key.
type counts struct {
	Families map[string]Tally `json:"families"`
	Entries  map[string]int64 `json:"entries,omitempty"`
}

func newCounts() counts {
	return counts{Families: make(map[string]Tally), Entries: make(map[string]int64)}
}

// Bounds of what is counted apart.
const (
	mostFamilies = 64
	mostEntries  = 4096
	// mostSlots bounds the files of counters, so the processes that count in one folder at once.
	mostSlots     = 64
	mostCounters  = 1 << 20
	folderCounted = ".counters"
)

func (c counts) add(o counts) {
	for family, t := range o.Families {
		_, has := c.Families[family]
		if has || len(c.Families) < mostFamilies {
			c.Families[family] = c.Families[family].plus(t)
		}
	}
	for key, n := range o.Entries {
		if _, has := c.Entries[key]; !has && len(c.Entries) >= mostEntries {
			continue
		}
		c.Entries[key] += n
	}
}

// counters count in memory, and write to a file of this process's own in the folder from time to time. They are never in the way: what
// cannot be written is kept for the next time, and what was deleted begins anew.
type counters struct {
	dir string

	mu    sync.Mutex
	fresh counts // since the last flush
	since Tally  // since the process began, all families

	flushing sync.Mutex
	slot     int
	lock     *os.File
}

func newCounters(dir string) *counters {
	return &counters{dir: dir, fresh: newCounts()}
}

func (c *counters) count(family string, t Tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = c.since.plus(t)
	if _, has := c.fresh.Families[family]; has || len(c.fresh.Families) < mostFamilies {
		c.fresh.Families[family] = c.fresh.Families[family].plus(t)
	}
}

func (c *counters) evicted(family string, n int64) {
	if n > 0 {
		c.count(family, Tally{Evicted: n})
	}
}

func (c *counters) hit(e *Entry, level Level) {
	t := Tally{SavedMicroUSD: e.CostMicroUSD, SavedSeconds: e.Seconds}
	switch level {
	case LevelMemory:
		t.Memory = 1
	case LevelDisk:
		t.Disk = 1
	case LevelShared:
		t.Shared = 1
	}
	c.count(e.Family, t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, has := c.fresh.Entries[e.Key]; has || len(c.fresh.Entries) < mostEntries {
		c.fresh.Entries[e.Key]++
	}
}

// total is what this process has counted since it began.
func (c *counters) total() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since
}

// flush adds what was counted since the last time to the file of this process.
func (c *counters) flush(now time.Time) error {
	if c.dir == "" {
		return nil
	}
	c.flushing.Lock()
	defer c.flushing.Unlock()
	c.mu.Lock()
	fresh := c.fresh
	c.fresh = newCounts()
	c.mu.Unlock()
	if len(fresh.Families) == 0 {
		return nil
	}
	err := c.write(fresh, now)
	if err != nil {
		c.mu.Lock()
		fresh.add(c.fresh)
		c.fresh = fresh
		c.mu.Unlock()
	}
	return err
}

func (c *counters) write(fresh counts, now time.Time) error {
	if err := c.take(); err != nil {
		return err
	}
	path := c.path(c.slot, ".json")
	sum := readCounts(path)
	if len(sum.Entries)+len(fresh.Entries) > mostEntries { // the newest are the ones that are looked for
		keep := newCounts()
		keep.Families = sum.Families
		sum = keep
	}
	sum.add(fresh)
	data, err := json.Marshal(sum)
	if err == nil {
		_, err = replace(path, data, now)
	}
	if err != nil {
		return fmt.Errorf("writing the counters of the cache: %w", err)
	}
	return nil
}

func (c *counters) path(slot int, ending string) string {
	return filepath.Join(c.dir, folderCounted, strconv.Itoa(slot)+ending)
}

var errNoSlot = fmt.Errorf("%d processes count in one folder already", mostSlots)

// take makes one of the files this process's own, unless it has one that is still there.
func (c *counters) take() error {
	if c.lock != nil {
		have, err := c.lock.Stat()
		there, gone := os.Lstat(c.path(c.slot, ".lock"))
		if err == nil && gone == nil && os.SameFile(have, there) {
			return nil
		}
		_ = c.lock.Close() // the folder was deleted, and the lock with it
		c.lock = nil
	}
	if err := os.MkdirAll(filepath.Join(c.dir, folderCounted), 0o700); err != nil {
		return fmt.Errorf("making the folder of the cache's counters: %w", err)
	}
	for slot := range mostSlots {
		lock, err := os.OpenFile(c.path(slot, ".lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return fmt.Errorf("opening the lock of the cache's counters: %w", err)
		}
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
		if err == nil {
			c.slot, c.lock = slot, lock
			return nil
		}
		_ = lock.Close() // somebody else's
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("locking the cache's counters: %w", err)
		}
	}
	return errNoSlot
}

// close lets go of the file.
func (c *counters) close() {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	if c.lock != nil {
		_ = c.lock.Close() // unlocks; nothing was written
		c.lock = nil
	}
}

// readCounts reads a file of counters; whatever is none counts nothing.
func readCounts(path string) counts {
	empty := newCounts()
	data, _, err := readFile(path, mostCounters)
	if err != nil {
		return empty
	}
	read := newCounts()
	if json.Unmarshal(data, &read) != nil || read.Families == nil {
		return empty
	}
	if read.Entries == nil {
		read.Entries = make(map[string]int64)
	}
	maps.DeleteFunc(read.Families, func(family string, _ Tally) bool { return !familyForm.MatchString(family) })
	return read
}

// counted is what all processes have counted in a folder.
func counted(dir string) (counts, error) {
	sum := newCounts()
	all, err := os.ReadDir(filepath.Join(dir, folderCounted))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sum, fmt.Errorf("reading the counters of the cache: %w", err)
	}
	for _, e := range all[:min(len(all), 4*mostSlots)] {
		if filepath.Ext(e.Name()) == ".json" && e.Type().IsRegular() {
			sum.add(readCounts(filepath.Join(dir, folderCounted, e.Name())))
		}
	}
	return sum, nil
}

// sorted are the names of a map.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

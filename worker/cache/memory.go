package cache

import (
	"container/list"
	"os"
	"sync"
	"time"
)

// memory is the level in front of the files: the entries that were used last, up to so many bytes. One that has a file counts only as
// long as that file is there and is the one that it was read from: who removes files, or replaces one, is obeyed at once.
type memory struct {
	most int64

	mu    sync.Mutex
	bytes int64
	order *list.List // of *held, newest first
	byKey map[string]*list.Element
}

// held is an entry in memory. file is nil where it has none.
type held struct {
	entry Entry
	file  os.FileInfo
	// touched is when its file was last marked as used, in Unix nanoseconds.
	touched int64
}

func newMemory(most int64) *memory {
	return &memory{most: most, order: list.New(), byKey: make(map[string]*list.Element)}
}

// get is the entry of a family and key, and marks it as used.
func (m *memory) get(family, key string) (held, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, has := m.byKey[family+"/"+key]
	if !has {
		return held{}, false
	}
	m.order.MoveToFront(at)
	return *of(at), true
}

// touch notes when the entry's file was marked.
func (m *memory) touch(family, key string, at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if found, has := m.byKey[family+"/"+key]; has {
		of(found).touched = at
	}
}

// wrote notes the file of an entry, which its expiry tells from others of its key.
func (m *memory) wrote(family, key string, expires time.Time, file os.FileInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if found, has := m.byKey[family+"/"+key]; has && of(found).entry.Expires.Equal(expires) {
		of(found).file = file
	}
}

// recalled notes what was made of an entry, which its expiry tells from others of its key.
func (m *memory) recalled(e *Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, has := m.byKey[e.Family+"/"+e.Key]
	if !has || !of(found).entry.Expires.Equal(e.Expires) {
		return
	}
	held := &of(found).entry
	m.bytes -= held.size()
	held.Recalled = e.Recalled
	for m.bytes += held.size(); m.bytes > m.most; {
		m.drop(m.order.Back())
	}
}

// put takes an entry in, and lets go of those that were not used for longest. One that is too large for it stays out.
func (m *memory) put(h held) {
	size := h.entry.size()
	m.mu.Lock()
	defer m.mu.Unlock()
	key := h.entry.Family + "/" + h.entry.Key
	m.drop(m.byKey[key])
	if size > m.most/4 {
		return
	}
	m.byKey[key] = m.order.PushFront(&h)
	for m.bytes += size; m.bytes > m.most; {
		m.drop(m.order.Back())
	}
}

func (m *memory) remove(family, key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(m.byKey[family+"/"+key])
}

// stand is how many entries there are, and their bytes.
func (m *memory) stand() (n int, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byKey), m.bytes
}

func (m *memory) drop(at *list.Element) {
	if at == nil {
		return
	}
	h := of(at)
	m.order.Remove(at)
	delete(m.byKey, h.entry.Family+"/"+h.entry.Key)
	m.bytes -= h.entry.size()
}

func of(at *list.Element) *held {
	h, ok := at.Value.(*held)
	if !ok {
		panic("cache: the list of entries has something else") // only put fills it
	}
	return h
}

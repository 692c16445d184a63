// Package directory keeps what the directories of people say, so fresh that who is suspended is refused within a second: every
// decision is made by a copy whose reading began at most Options.Fresh ago. Where there is none such, nobody decides.
//
// Read next: worker/postgres/directory.go, pipelines/corporate/directory.go.
package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"flowgate/pipelines/corporate"
	"flowgate/worker/postgres"
)

// Source is where the directories are.
type Source interface {
	// DirectoryRevision is the newest revision.
	DirectoryRevision(ctx context.Context) (int64, error)
	// DirectorySince has what was changed after a revision; everything, with since below 0.
	DirectorySince(ctx context.Context, since int64) (revision int64, entries []postgres.DirectoryEntry, err error)
}

// Options of a watch. Source and Logger are needed.
type Options struct {
	Source Source
	Logger *zap.Logger
	// Every is how often the source is asked for its revision. 0: 250 ms.
	Every time.Duration
	// Fresh is how old a copy may be that decides. 0: 900 ms, which keeps the promise of a second.
	Fresh time.Duration
	// Patience bounds one look at the source, and the wait for a fresh copy. 0: 3 s.
	Patience time.Duration
}

// ErrStale says that no copy is fresh enough to decide by.
var ErrStale = errors.New("the directory of people cannot be read now, so nobody is let through")

// Watch keeps a copy. Its methods may be called from any goroutine.
type Watch struct {
	options Options

	mu sync.Mutex
	// tenants have the copy, as of revision; whole is false where it must be read anew.
	tenants  map[string]*corporate.Directory
	revision int64
	whole    bool
	// at is when the reading of the copy began; failed is why the last look failed, nil where it did not.
	at     time.Time
	failed error
	// looked is closed and made anew after each look.
	looked chan struct{}
}

// New makes a watch; Run keeps it.
func New(o Options) *Watch {
	o.Every, o.Fresh, o.Patience = cmp.Or(o.Every, 250*time.Millisecond), cmp.Or(o.Fresh, 900*time.Millisecond), cmp.Or(o.Patience, 3*time.Second)
	return &Watch{options: o, looked: make(chan struct{})}
}

// Run looks again and again until the context ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(w.options.Every)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look brings the copy up to date. After a failure everything is read anew: the database may have been set back meanwhile.
func (w *Watch) look(ctx context.Context) {
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, w.options.Patience)
	defer cancel()
	tenants, revision, err := w.read(bounded)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		if w.failed != nil {
			w.options.Logger.Info("the directory of people is read again")
		}
		w.tenants, w.revision, w.whole, w.at, w.failed = tenants, revision, true, began, nil
	} else {
		if w.failed == nil {
			w.options.Logger.Warn("the directory of people cannot be read: nobody is let through", zap.Error(err))
		}
		w.whole, w.failed = false, err
	}
	close(w.looked)
	w.looked = make(chan struct{})
}

// read is the copy as it is to be. Only look writes what it reads of the watch.
func (w *Watch) read(ctx context.Context) (map[string]*corporate.Directory, int64, error) {
	since := int64(-1)
	if w.whole {
		newest, err := w.options.Source.DirectoryRevision(ctx)
		if err != nil {
			return nil, 0, err
		}
		if newest == w.revision {
			return w.tenants, newest, nil
		}
		if newest > w.revision {
			since = w.revision
		}
	}
	revision, entries, err := w.options.Source.DirectorySince(ctx, since)
	if err != nil {
		return nil, 0, err
	}
	var old map[string]*corporate.Directory
	if since >= 0 {
		old = w.tenants
	}
	return merged(old, entries, revision), revision, nil
}

// merged is a copy with entries put into it. Directories that others read are not touched.
func merged(old map[string]*corporate.Directory, entries []postgres.DirectoryEntry, revision int64) map[string]*corporate.Directory {
	all := make(map[string]*corporate.Directory, len(old))
	maps.Copy(all, old)
	changed := make(map[string]*corporate.Directory)
	for i := range entries {
		tenant := entries[i].Tenant
		if changed[tenant] == nil {
			changed[tenant] = all[tenant].Clone()
			changed[tenant].Revision = revision
		}
		changed[tenant].Put(entries[i].Entry)
	}
	for tenant, d := range changed {
		if all[tenant] = d; d.Empty() {
			delete(all, tenant)
		}
	}
	return all
}

// Tenant is the directory of a tenant, nil where it has none, out of a fresh copy; where the copy is not, the next look is waited
// for, as long as Options.Patience and the context last. The error is ErrStale, with why.
func (w *Watch) Tenant(ctx context.Context, tenant string) (*corporate.Directory, error) {
	late := time.NewTimer(w.options.Patience)
	defer late.Stop()
	for {
		w.mu.Lock()
		d, fresh, failed, looked := w.tenants[tenant], !w.at.IsZero() && time.Since(w.at) <= w.options.Fresh, w.failed, w.looked
		w.mu.Unlock()
		switch {
		case fresh:
			return d, nil
		case failed != nil:
			return nil, fmt.Errorf("%w: %w", ErrStale, failed)
		}
		select {
		case <-looked:
		case <-late.C:
			return nil, ErrStale
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrStale, ctx.Err())
		}
	}
}

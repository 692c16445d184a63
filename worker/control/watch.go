package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker"
)

// Options are what a watch needs.
type Options struct {
	JS jetstream.JetStream
	// Worker names this process in heartbeats.
	Worker string
	// Heartbeat is after how much silence this process writes a heartbeat itself, plus up to two fifths of it (default 5 s).
	// After twice as long the watch is made anew.
	Heartbeat time.Duration
	Logger    *zap.Logger
}

// Watch knows what is paused, and what was cancelled. Its methods may be called from everywhere, before Run too.
type Watch struct {
	opts Options
	log  *zap.Logger

	mu sync.RWMutex
	said
	// book is made of what was said of agreements; bookErr is why it cannot be used.
	book    *flow.Book
	bookErr error
	// complete tells that all agreements have been told, newest is the newest revision that was.
	complete bool
	newest   int64
	// over is set where the bucket has more than is kept: nobody may act then.
	over    bool
	version uint64
	heard   time.Time
	// created is when the bucket was made that version is of.
	created time.Time
	// known is closed when everything was told once.
	known chan struct{}
}

type id struct {
	kind worker.PauseKind
	name string
}

// said is what operators said.
type said struct {
	pauses  map[id]Pause
	cancels map[about]Cancellation
	budgets map[BudgetKey]knownBudget
	limits  map[LimitKey]knownLimit
	// agreements are by their keys.
	agreements map[string]knownAgreement
	*inForce
}

func newSaid() said {
	return said{make(map[id]Pause), make(map[about]Cancellation), make(map[BudgetKey]knownBudget), make(map[LimitKey]knownLimit), make(map[string]knownAgreement), new(inForce)}
}

// many tells that it is more than may be kept.
func (s said) many() bool {
	return len(s.pauses) > 2*MaxPauses || len(s.cancels) > 2*MaxCancels || len(s.budgets) > 2*MaxBudgets || len(s.limits) > 2*MaxLimits ||
		len(s.agreements) > 2*MaxAgreements
}

var _ worker.Control = (*Watch)(nil)

// New makes a watch that knows of nothing yet.
func New(opts Options) *Watch {
	if opts.Heartbeat <= 0 {
		opts.Heartbeat = 5 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	return &Watch{opts: opts, log: opts.Logger, said: newSaid(), heard: time.Now(), known: make(chan struct{})}
}

// Paused tells whether something is paused, and why.
func (w *Watch) Paused(kind worker.PauseKind, name string) (Pause, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	p, paused := w.pauses[id{kind, name}]
	return p, paused
}

// Cancelled tells whether an epoch of a request was cancelled, alone or with its batch.
func (w *Watch) Cancelled(key messages.Key, epoch int, submitted time.Time) (Cancellation, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if len(w.cancels) == 0 {
		return Cancellation{}, false
	}
	if c, said := w.cancels[about{key, epoch}]; said {
		return c, true
	}
	batch, ok := worker.BatchOf(key.ID)
	if !ok {
		return Cancellation{}, false
	}
	c, said := w.cancels[about{messages.Key{Tenant: key.Tenant, ID: batch}, batchEpoch}]
	return c, said && c.Covers(epoch, submitted)
}

// Pauses lists what of a kind is paused, by name.
func (w *Watch) Pauses(kind worker.PauseKind) []Pause {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var pauses []Pause
	for at, p := range w.pauses {
		if at.kind == kind {
			pauses = append(pauses, p)
		}
	}
	slices.SortFunc(pauses, func(a, b Pause) int { return cmp.Compare(a.Name, b.Name) })
	return pauses
}

// Known waits until Run has been told everything that is paused.
func (w *Watch) Known(ctx context.Context) error {
	select {
	case <-w.known:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Version is the newest revision of the bucket that was heard.
func (w *Watch) Version() uint64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.version
}

// Silent is for how long nothing was heard of the bucket. Where there are more pauses than a process may keep it is long
// enough for everybody to stop.
func (w *Watch) Silent() time.Duration {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.over {
		return 2 * worker.LongestSilence
	}
	return time.Since(w.heard)
}

// Run watches until ctx ends. A watch that breaks or falls silent is made anew.
func (w *Watch) Run(ctx context.Context) {
	delays := worker.DefaultDelays()
	for round := 1; ctx.Err() == nil; round++ {
		heard, err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if heard {
			round = 1
		}
		if err != nil {
			w.log.Warn("watching the control bucket", zap.Error(err), zap.Duration("silent", w.Silent()))
		}
		delays.Pause(ctx, round)
	}
}

var (
	errSilent = errors.New("nothing is heard of it")
	errBehind = errors.New("a replica that lags behind answered")
)

// follow hears the bucket until it breaks or is silent; heard tells whether everything in it was told once.
func (w *Watch) follow(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kv, created, err := w.open(ctx)
	if err != nil {
		return false, err
	}
	watcher, err := kv.WatchFiltered(ctx, []string{allPauses, allCancels, allBudgets, allLimits, allAgreements, policyKey, heartbeatKey})
	if err != nil {
		return false, fmt.Errorf("beginning to watch: %w", err)
	}
	defer func() { _ = stop(watcher) }()
	fresh, version := newSaid(), uint64(0)
	beat := time.NewTimer(w.jittered())
	defer beat.Stop()
	silence := time.NewTimer(2 * w.opts.Heartbeat)
	defer silence.Stop()
	old := time.NewTicker(forgetEvery)
	defer old.Stop()
	for {
		select {
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return heard, errors.New("the watch was ended by the client")
			case entry == nil:
				if !w.replace(fresh, version, created) {
					return heard, errBehind
				}
				heard = true
			case !heard:
				version = max(version, entry.Revision())
				w.put(fresh, entry)
			default:
				w.hear(entry)
			}
			silence.Reset(2 * w.opts.Heartbeat)
			beat.Reset(w.jittered())
		case <-beat.C:
			w.beat(ctx, kv)
			beat.Reset(w.jittered())
		case <-silence.C:
			return heard, errSilent
		case <-old.C:
			w.forget(time.Now())
		case <-ctx.Done():
			return heard, nil
		}
	}
}

// open finds the bucket and when it was made; no answer is waited for longer than a silence may last.
func (w *Watch) open(ctx context.Context) (kv jetstream.KeyValue, created time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.opts.Heartbeat)
	defer cancel()
	if kv, err = open(ctx, w.opts.JS); err != nil {
		return nil, created, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, created, fmt.Errorf("reading the bucket %s: %w", Bucket, err)
	}
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		created = s.StreamInfo().Created
	}
	return kv, created, nil
}

func (w *Watch) jittered() time.Duration {
	return w.opts.Heartbeat + rand.N(w.opts.Heartbeat*2/5+1) //nolint:gosec // jitter is no secret
}

// beat writes a heartbeat. It is waited for shortly: meanwhile nobody listens.
func (w *Watch) beat(ctx context.Context, kv jetstream.KeyValue) {
	ctx, cancel := context.WithTimeout(ctx, w.opts.Heartbeat/5)
	defer cancel()
	if _, err := kv.PutString(ctx, heartbeatKey, w.opts.Worker); err != nil {
		w.log.Debug("writing a heartbeat", zap.Error(err))
	}
}

// replace takes over everything that the bucket has; what is not in it is paused no more. It refuses what is older than what
// was heard before: the newest entry of a bucket is never removed, so its revision tells.
func (w *Watch) replace(all said, version uint64, created time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if version < w.version && created.Equal(w.created) {
		return false
	}
	select {
	case <-w.known:
	default:
		close(w.known)
	}
	w.said, w.version, w.created, w.heard, w.over = all, version, created, time.Now(), all.many()
	w.bind()
	return true
}

// hear takes one change over.
func (w *Watch) hear(entry jetstream.KeyValueEntry) {
	var changed *inForce
	if entry.Key() == policyKey { // compiled and tried out before anybody waits for it
		fresh := newSaid()
		w.put(fresh, entry)
		changed = fresh.inForce
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard, w.version = time.Now(), max(w.version, entry.Revision())
	if changed != nil {
		*w.inForce = *changed
	} else {
		w.put(w.said, entry)
	}
	if strings.HasPrefix(entry.Key(), agreementPrefix) {
		w.bind()
	}
	w.over = w.many()
}

// forgetEvery is how often cancellations are dropped that have expired: whoever removes them from the bucket leaves no word.
const forgetEvery = time.Minute

func (w *Watch) forget(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.cancels, func(_ about, c Cancellation) bool { return now.After(c.Expires) })
	w.over = w.many()
}

// put writes an entry into what is known, which it lets grow no further than one over its bounds.
func (w *Watch) put(into said, entry jetstream.KeyValueEntry) {
	switch entry.Key() {
	case heartbeatKey:
		return
	case policyKey:
		*into.inForce = readPolicy(entry)
		if err := into.unusable; err != nil {
			w.log.Error("no request is decided on until another policy is activated, or this process is upgraded", zap.Uint64("revision", entry.Revision()), zap.Error(err))
		}
		return
	}
	if strings.HasPrefix(entry.Key(), agreementPrefix) {
		w.putAgreement(into, entry)
		return
	}
	if a, err := parseCancelKey(entry.Key()); err == nil {
		if entry.Operation() != jetstream.KeyValuePut {
			delete(into.cancels, a)
		} else if _, known := into.cancels[a]; known || len(into.cancels) <= 2*MaxCancels {
			into.cancels[a] = decodeCancel(a, entry)
		}
		return
	}
	if k, err := parseBudgetKey(entry.Key()); err == nil {
		w.putBudget(into, k, entry)
		return
	}
	if k, err := parseLimitKey(entry.Key()); err == nil {
		w.putLimit(into, k, entry)
		return
	}
	kind, name, err := parseKey(entry.Key())
	if err != nil {
		w.log.Error("an entry of the control bucket is none that is known", zap.Int("key_bytes", len(entry.Key())), zap.Uint64("revision", entry.Revision()), zap.Error(err))
		return
	}
	at := id{kind, name}
	if entry.Operation() != jetstream.KeyValuePut {
		delete(into.pauses, at)
		return
	}
	p := decode(kind, name, entry)
	if p.Unreadable {
		w.log.Error("a pause cannot be read; it holds all the same", zap.String("kind", string(kind)), zap.String("name", name), zap.Uint64("revision", p.Version))
	}
	if _, known := into.pauses[at]; known || len(into.pauses) <= 2*MaxPauses {
		into.pauses[at] = p
	}
}

func (w *Watch) putBudget(into said, k BudgetKey, entry jetstream.KeyValueEntry) {
	if entry.Operation() != jetstream.KeyValuePut {
		delete(into.budgets, k)
		return
	}
	b, err := decodeBudget(k, entry)
	if err != nil {
		w.log.Error("requests that count in a budget wait until it can be read", zap.String("kind", string(k.Kind)), zap.Uint64("revision", entry.Revision()), zap.Error(err))
	}
	if _, known := into.budgets[k]; known || len(into.budgets) <= 2*MaxBudgets {
		into.budgets[k] = knownBudget{b, err}
	}
}

// stop ends a watch and takes what it still has to tell: whoever is about to tell would else wait for a listener for ever.
func stop(watch jetstream.KeyWatcher) error {
	err := watch.Stop()
	late := time.NewTimer(5 * time.Second)
	defer late.Stop()
	for {
		select {
		case _, open := <-watch.Updates():
			if !open {
				return err
			}
		case <-late.C:
			return err
		}
	}
}

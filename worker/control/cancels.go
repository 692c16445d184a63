package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
)

// Cancellation is this package's word for worker.Cancellation.
type Cancellation = worker.Cancellation

// MaxCancels is how many cancellations may be kept at once; a batch is one.
const MaxCancels = 100_000

const (
	cancelPrefix = "cancel."
	// allCancels is the filter of every cancellation.
	allCancels = "cancel.>"
	// wholeBatch stands in the place of the epoch.
	wholeBatch = "batch"
	// batchEpoch is the epoch under which the word about a batch is kept.
	batchEpoch = -1
)

// cancelKey is where a cancellation stands: cancel.<tenant>.<id>.<epoch>, or cancel.<tenant>.<batch>.batch.
func cancelKey(key messages.Key, epoch int) string {
	last := wholeBatch
	if epoch != batchEpoch {
		last = strconv.Itoa(epoch)
	}
	return cancelPrefix + key.Tenant + "." + key.ID + "." + last
}

// about is what a cancellation is about; Epoch is batchEpoch for a batch.
type about struct {
	messages.Key
	epoch int
}

func aboutOf(c Cancellation) about {
	if c.Batch {
		return about{c.Key, batchEpoch}
	}
	return about{c.Key, c.Epoch}
}

var errCancelKey = errors.New("no key of a cancellation")

// parseCancelKey reads what cancelKey wrote.
func parseCancelKey(k string) (about, error) {
	tokens := strings.Split(k, ".")
	if len(tokens) != 4 || tokens[0]+"." != cancelPrefix {
		return about{}, errCancelKey
	}
	a := about{messages.Key{Tenant: tokens[1], ID: tokens[2]}, batchEpoch}
	if tokens[3] != wholeBatch {
		n, err := strconv.Atoi(tokens[3])
		if err != nil || n < 0 {
			return about{}, errCancelKey
		}
		a.epoch = n
	}
	if messages.CheckKey(a.Key) != nil || cancelKey(a.Key, a.epoch) != k {
		return about{}, errCancelKey
	}
	return a, nil
}

// word is what stands in the bucket under a cancellation's key. The key says what is cancelled, whatever stands under it.
type word struct {
	V       int       `json:"v"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`
}

// CheckCancel tells whether a cancellation may be said.
func CheckCancel(c Cancellation) error {
	if err := messages.CheckKey(c.Key); err != nil {
		return err
	}
	return checkWords(c.Reason, c.By)
}

// Cancels writes cancellations.
type Cancels struct {
	kv jetstream.KeyValue
	js jetstream.JetStream
}

// OpenCancels opens the bucket.
func OpenCancels(ctx context.Context, js jetstream.JetStream) (*Cancels, error) {
	kv, err := open(ctx, js)
	if err != nil {
		return nil, err
	}
	return &Cancels{kv: kv, js: js}, nil
}

// Room refuses n more cancellations than the bucket may keep.
func (c *Cancels) Room(ctx context.Context, n int) error {
	status, err := c.kv.Status(ctx)
	if err != nil {
		return fmt.Errorf("counting cancellations: %w", err)
	}
	if status.Values()+uint64(n) <= MaxCancels { //nolint:gosec // n is a count; the bucket has more than cancellations in it
		return nil
	}
	keys, err := c.kv.ListKeysFiltered(ctx, allCancels)
	if err != nil {
		return fmt.Errorf("counting cancellations: %w", err)
	}
	have := 0
	for range keys.Keys() {
		have++
	}
	if have+n > MaxCancels {
		return fmt.Errorf("%d cancellations are kept, and %d more would pass the most of %d: cancel fewer, or a batch as a whole, which is one", have, n, MaxCancels)
	}
	return nil
}

// Say writes a cancellation; it holds everywhere within a second. Said again, the last word counts.
func (c *Cancels) Say(ctx context.Context, w Cancellation) error {
	if err := CheckCancel(w); err != nil {
		return err
	}
	data, err := json.Marshal(word{V: version, Reason: w.Reason, By: w.By, At: w.At.UTC(), Expires: w.Expires.UTC()})
	if err != nil {
		return fmt.Errorf("encoding a cancellation: %w", err)
	}
	a := aboutOf(w)
	if _, err := c.kv.Put(ctx, cancelKey(a.Key, a.epoch), data); err != nil {
		return fmt.Errorf("writing a cancellation: %w", err)
	}
	return nil
}

// List lists every cancellation that is kept, in the order in which they were said.
func (c *Cancels) List(ctx context.Context) ([]Cancellation, error) {
	watch, err := c.kv.Watch(ctx, allCancels, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("listing cancellations: %w", err)
	}
	defer func() { _ = stop(watch) }()
	var all []Cancellation
	for {
		select {
		case entry, open := <-watch.Updates():
			switch {
			case !open:
				return nil, errors.New("listing cancellations: the broker ended the list")
			case entry == nil:
				return all, nil
			}
			if a, err := parseCancelKey(entry.Key()); err == nil && len(all) < 2*MaxCancels {
				all = append(all, decodeCancel(a, entry))
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("listing cancellations: %w", ctx.Err())
		}
	}
}

// Forget removes the cancellations that have expired, without leaving markers behind, and says how many. The newest entry
// of the bucket stays: watches tell by it whether a replica lags behind.
func (c *Cancels) Forget(ctx context.Context, now time.Time) (int, error) {
	all, err := c.List(ctx)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	stream, err := c.js.Stream(ctx, "KV_"+Bucket)
	if err != nil {
		return 0, fmt.Errorf("opening the bucket %s: %w", Bucket, err)
	}
	newest, n := stream.CachedInfo().State.LastSeq, 0
	for _, w := range all {
		if !now.After(w.Expires) || w.Version == newest {
			continue
		}
		a := aboutOf(w)
		subject := "$KV." + Bucket + "." + cancelKey(a.Key, a.epoch)
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return n, fmt.Errorf("removing an old cancellation: %w", err)
		}
		n++
	}
	return n, nil
}

// unreadableLife is how long a cancellation is kept that does not say for how long.
const unreadableLife = messages.DefaultBatchLifetime + worker.CancelGrace

// decodeCancel reads an entry. One that cannot be read cancels all the same: its key says what.
func decodeCancel(a about, entry jetstream.KeyValueEntry) Cancellation {
	c := Cancellation{Key: a.Key, Epoch: max(a.epoch, 0), Batch: a.epoch == batchEpoch, At: entry.Created(), Version: entry.Revision()}
	c.Expires = c.At.Add(unreadableLife)
	var w word
	if len(entry.Value()) > maxValue || json.Unmarshal(entry.Value(), &w) != nil || w.V < 1 {
		return c
	}
	c.Reason, c.By = clip(w.Reason, MaxReason), clip(w.By, MaxBy)
	if !w.At.IsZero() {
		c.At = w.At
	}
	if !w.Expires.IsZero() {
		c.Expires = w.Expires
	}
	return c
}

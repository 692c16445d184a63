package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker"
)

// SweepAge is for how long what was removed from the bucket leaves its mark: longer than any watch is silent before it is made
// anew, so that nobody misses the removal.
const SweepAge = time.Hour

// sweptAtOnce bounds one sweep.
const sweptAtOnce = 10_000

// mark is what an ended pause leaves in the bucket.
type mark struct {
	key      string
	revision uint64
}

// Sweep removes the marks of entries that were removed from the bucket before age ago, and says how many. A mark goes by its
// own revision: an entry that is written meanwhile under the same key stays. The newest entry of the bucket is never removed:
// by its revision a watch knows whether a replica lags behind.
func Sweep(ctx context.Context, js jetstream.JetStream, age time.Duration) (swept int, err error) {
	kv, err := open(ctx, js)
	if err != nil {
		return 0, err
	}
	marks, err := marksOf(ctx, kv, time.Now().Add(-age))
	if err != nil {
		return 0, err
	}
	leader := worker.Leader{JS: js}
	for _, m := range marks {
		question := struct {
			Filter string `json:"filter"`
			Below  uint64 `json:"seq"`
		}{"$KV." + Bucket + "." + m.key, m.revision + 1}
		var reply struct {
			Error *jetstream.APIError `json:"error"`
		}
		err := leader.Ask(ctx, "STREAM.PURGE.KV_"+Bucket, question, &reply)
		if err == nil && reply.Error != nil {
			err = reply.Error
		}
		if err != nil {
			return swept, fmt.Errorf("sweeping the bucket %s: %w", Bucket, err)
		}
		swept++
	}
	return swept, nil
}

// marksOf lists marks that were made before a time.
func marksOf(ctx context.Context, kv jetstream.KeyValue, before time.Time) (marks []mark, err error) {
	watch, err := kv.WatchAll(ctx, jetstream.MetaOnly())
	if err != nil {
		return nil, fmt.Errorf("listing what was removed: %w", err)
	}
	defer func() { err = errors.Join(err, stop(watch)) }()
	newest := uint64(0)
	for {
		select {
		case entry, open := <-watch.Updates():
			if !open {
				return nil, errors.New("listing what was removed: the broker ended the list")
			}
			if entry == nil {
				return slices.DeleteFunc(marks, func(m mark) bool { return m.revision == newest }), nil
			}
			newest = max(newest, entry.Revision())
			if len(marks) < sweptAtOnce && entry.Operation() != jetstream.KeyValuePut && entry.Created().Before(before) {
				marks = append(marks, mark{entry.Key(), entry.Revision()})
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("listing what was removed: %w", ctx.Err())
		}
	}
}

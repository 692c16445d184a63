package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Apply creates what is missing and changes what differs. It may run in several processes at once and again. What the
// server does not let be changed is an error that names stream or consumer and field. What somebody paused stays paused. A
// cluster that is choosing its leader does not answer, or says so: it is asked again, for as long as leaderPatience.
func Apply(ctx context.Context, js jetstream.JetStream, t Topology) error {
	return patiently(ctx, func() error { return t.apply(ctx, js, func(d Difference) bool { return d.Field != fieldPaused }) })
}

// Ensure is Apply that leaves to the administrator what does not touch the protocol: sizes and copies.
func Ensure(ctx context.Context, js jetstream.JetStream, t Topology) error {
	return patiently(ctx, func() error { return t.apply(ctx, js, Difference.Breaks) })
}

// leaderPatience is how long a cluster may take to choose its leader.
const leaderPatience = 30 * time.Second

// noLeader is the code of a server that knows of no leader (JSClusterNotAvailErr of the server). It says so at once.
const noLeader = 10008

// patiently asks again where no answer came within five seconds, or at once one that says that nobody leads.
func patiently(ctx context.Context, ask func() error) error {
	for began := time.Now(); ; {
		err := ask()
		var api *jetstream.APIError
		leaderless := errors.As(err, &api) && api.ErrorCode == noLeader
		silent := errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrPermissionViolation)
		if !leaderless && !silent || ctx.Err() != nil || time.Since(began) >= leaderPatience {
			return err
		}
		if leaderless {
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
				return err
			}
		}
	}
}

// apply changes things that have a difference of those that count.
func (t Topology) apply(ctx context.Context, js jetstream.JetStream, counts func(Difference) bool) error {
	for _, cfg := range t.Streams {
		if err := applyStream(ctx, js, cfg, counts); err != nil {
			return err
		}
	}
	buckets := t.buckets()
	for i, cfg := range t.KeyValues {
		_, err := js.CreateKeyValue(ctx, cfg)
		if err = applyBucket(ctx, js, buckets[i], err, counts, func() error { _, err := js.UpdateKeyValue(ctx, cfg); return err }); err != nil {
			return fmt.Errorf("making bucket %s: %w", cfg.Bucket, explainAPI(js, err))
		}
	}
	for i, cfg := range t.Objects {
		_, err := js.CreateObjectStore(ctx, cfg)
		if err = applyBucket(ctx, js, buckets[len(t.KeyValues)+i], err, counts, func() error { _, err := js.UpdateObjectStore(ctx, cfg); return err }); err != nil {
			return fmt.Errorf("making object bucket %s: %w", cfg.Bucket, explainAPI(js, err))
		}
	}
	for _, c := range t.Consumers {
		if err := applyConsumer(ctx, js, c, counts); err != nil {
			return err
		}
	}
	return nil
}

// applyStream creates first: of several creators with one configuration each succeeds.
func applyStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig, counts func(Difference) bool) error {
	_, err := js.CreateStream(ctx, cfg)
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("making stream %s: %w", cfg.Name, explainAPI(js, err))
	}
	diffs, err := streamDifferences(ctx, js, cfg)
	if err != nil || !slices.ContainsFunc(diffs, counts) {
		return err
	}
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("changing %s: %w (move it away with `nats stream`, or set what it has)", list(diffs), explainAPI(js, err))
	}
	return nil
}

// applyBucket changes a bucket that could not be created because there is one.
func applyBucket(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, created error, counts func(Difference) bool, update func() error) error {
	if created == nil || !errors.Is(created, jetstream.ErrBucketExists) && !errors.Is(created, jetstream.ErrStreamNameAlreadyInUse) {
		return created
	}
	diffs, err := bucketDifferences(ctx, js, want)
	if err != nil || !slices.ContainsFunc(diffs, counts) {
		return err
	}
	return update()
}

func applyConsumer(ctx context.Context, js jetstream.JetStream, c Consumer, counts func(Difference) bool) error {
	_, err := js.CreateConsumer(ctx, c.Stream, c.ConsumerConfig)
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrConsumerExists) {
		return fmt.Errorf("making consumer %s of %s: %w", c.Name, c.Stream, explainAPI(js, err))
	}
	diffs, err := consumerDifferences(ctx, js, c)
	if err != nil || !slices.ContainsFunc(diffs, counts) {
		return err
	}
	if _, err := js.UpdateConsumer(ctx, c.Stream, c.ConsumerConfig); err != nil {
		return fmt.Errorf("changing %s: %w", list(diffs), explainAPI(js, err))
	}
	return nil
}

func list(diffs []Difference) string {
	parts := make([]string, len(diffs))
	for i, d := range diffs {
		parts[i] = d.String()
	}
	return strings.Join(parts, "; ")
}

// PartitionsFound is one more than the highest partition whose WORK stream exists; 0: there is none. A topology of fewer
// would leave requests without readers.
//
// A cluster that is choosing its leader does not answer: it is asked again, for as long as leaderPatience.
func PartitionsFound(ctx context.Context, js jetstream.JetStream) (found int, err error) {
	err = patiently(ctx, func() error {
		found, err = partitionsFound(ctx, js)
		return err
	})
	return found, err
}

func partitionsFound(ctx context.Context, js jetstream.JetStream) (int, error) {
	found := 0
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if p, err := strconv.Atoi(strings.TrimPrefix(name, strings.TrimSuffix(WorkStream(0), "0"))); err == nil && name == WorkStream(p) {
			found = max(found, p+1)
		}
	}
	if err := names.Err(); err != nil {
		return 0, fmt.Errorf("listing streams: %w", explainAPI(js, err))
	}
	return found, nil
}

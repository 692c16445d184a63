package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
)

// DeletePrefix removes every body whose key begins with prefix, such as "acme/" or "acme/order-7/", and tells how many.
func (c *Claims) DeletePrefix(ctx context.Context, prefix string) (int, error) {
	objects, err := c.list(ctx)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, o := range objects {
		if !strings.HasPrefix(o.Name, prefix) {
			continue
		}
		if err := c.remove(ctx, o.Name); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// Sweep removes the bodies that are older than age and that decide gives up, and the pieces older than age that an
// interrupted Put left behind. It tells how many bodies it removed. An error of decide ends it.
func (c *Claims) Sweep(
	ctx context.Context, age time.Duration, decide func(ctx context.Context, key messages.Key, epoch int) (remove bool, err error),
) (int, error) {
	objects, err := c.list(ctx)
	if err != nil {
		return 0, err
	}
	before := time.Now().Add(-age)
	removed := 0
	for _, o := range objects {
		if o.ModTime.After(before) {
			continue
		}
		remove := o.Deleted
		if key, epoch, ok := parseClaimKey(o.Name); ok && !remove {
			if remove, err = decide(ctx, key, epoch); err != nil {
				return removed, fmt.Errorf("deciding about body %s: %w", o.Name, err)
			}
		}
		if !remove {
			continue
		}
		if err := c.remove(ctx, o.Name); err != nil {
			return removed, err
		}
		if !o.Deleted {
			removed++
		}
	}
	return removed, c.sweepPieces(ctx, objects, before)
}

// list has deleted objects too, whose markers an interrupted remove left.
func (c *Claims) list(ctx context.Context) ([]*jetstream.ObjectInfo, error) {
	objects, err := c.bodies.List(ctx, jetstream.ListObjectsShowDeleted())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("listing the claim store: %w", err)
	}
	return objects, nil
}

// sweepPieces removes the pieces of bodies whose Put never ended: no object lists them.
func (c *Claims) sweepPieces(ctx context.Context, objects []*jetstream.ObjectInfo, before time.Time) error {
	known := map[string]bool{}
	for _, o := range objects {
		known[subjectPieces+o.NUID] = true
	}
	s, err := c.js.Stream(ctx, streamBodies)
	if err != nil {
		return fmt.Errorf("listing the claim store's pieces: %w", err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subjectPieces+">"))
	if err != nil {
		return fmt.Errorf("listing the claim store's pieces: %w", err)
	}
	for subject := range info.State.Subjects {
		if known[subject] {
			continue
		}
		newest, found, err := (&worker.Leader{JS: c.js}).Last(ctx, streamBodies, subject)
		if err != nil {
			return err
		}
		if !found || newest.Time.After(before) {
			continue
		}
		if _, err := purge(ctx, c.js, streamBodies, purgeRequest{Subject: subject}); err != nil {
			return fmt.Errorf("deleting pieces of an interrupted body: %w", err)
		}
	}
	return nil
}

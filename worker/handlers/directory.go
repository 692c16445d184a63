package handlers

import (
	"context"
	"time"

	"flowgate/pipelines/corporate"
)

// directoryPatience bounds what a whole micro-batch waits for the directory of people.
const directoryPatience = 3 * time.Second

// ofBatch is the layer for one micro-batch. The first request that asks for the directory of people waits for it, those after it take
// what is fresh: a decision MUST NOT wait for that of a neighbour and be admitted late. Where the directory could not be read it is not
// asked again, and the rest of the batch has the same error. What it says is not kept: a batch may last longer than that is fresh.
func (c *Corporate) ofBatch() *Corporate {
	if c.Directory == nil {
		return c
	}
	batch := *c
	var until time.Time
	var failed error
	batch.Directory = func(ctx context.Context, tenant string) (*corporate.Directory, error) {
		if failed != nil {
			return nil, failed
		}
		if until.IsZero() {
			until = time.Now().Add(directoryPatience)
		}
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		d, err := c.Directory(ctx, tenant)
		failed, until = err, time.Now()
		return d, err
	}
	return &batch
}

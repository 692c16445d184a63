package worker

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// Chore is something that one process of a deployment does from time to time, under a lock.
type Chore struct {
	Name  string
	Every time.Duration
	// Do does it once.
	Do func(ctx context.Context) error
}

// RunChores does a chore until ctx ends, in the one process that holds its lock. Trouble is logged and tried again the next
// time.
func RunChores(ctx context.Context, lock LockFunc, log *zap.Logger, c Chore) {
	delays := DefaultDelays()
	for round := 1; ctx.Err() == nil; round++ {
		release, lost, err := lock(ctx, c.Name)
		if err != nil {
			if ctx.Err() == nil {
				log.Warn("taking the lock of a chore", zap.String("chore", c.Name), zap.Error(err))
			}
			delays.Pause(ctx, round)
			continue
		}
		round = 1
		c.run(ctx, lost, log)
		release()
	}
}

func (c Chore) run(ctx context.Context, lost <-chan struct{}, log *zap.Logger) {
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for {
		if err := c.Do(ctx); err != nil && ctx.Err() == nil {
			log.Warn("doing a chore", zap.String("chore", c.Name), zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		case <-ticker.C:
		}
	}
}

// LockFunc takes a lock of the deployment: it blocks until it has it; lost is closed when it is gone without release.
type LockFunc func(ctx context.Context, name string) (release func(), lost <-chan struct{}, err error)

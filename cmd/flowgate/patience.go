package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/worker/postgres"
)

// awaitDatabase asks for a database that is not ours until it can be reached, as often as settings say. An answer, also a
// refusal, ends it.
func awaitDatabase(ctx context.Context, s configs.Postgres, log *zap.Logger, ask func(context.Context) error) error {
	for tries := 0; ; tries++ {
		err := ask(ctx)
		if err == nil || tries >= s.MaxRetries || !postgres.Away(err) {
			return err
		}
		log.Warn("the database cannot be reached", zap.Error(err), zap.Duration("again_in", s.RetryDelay))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(s.RetryDelay):
		}
	}
}

package main

import (
	"context"
	"strings"
	"time"

	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/worker"
	"flowgate/worker/postgres"
)

// spending tells how much of limits is taken.
type spending interface {
	SpentOver(ctx context.Context, suffix string, amount int64, limit int) ([]postgres.Spent, error)
}

// mostAlerts bounds the warnings of one round.
const mostAlerts = 100

// alerts warns of limits of which more than the threshold is taken, once for each day and month.
func alerts(s configs.Settings, db spending, log *zap.Logger, now func() time.Time) worker.Chore {
	limits := s.CostOptimization.InForce()
	warned := map[string]bool{}
	period := ""
	return worker.Chore{Name: "alerts", Every: time.Minute, Do: func(ctx context.Context) error {
		today := now().In(s.Flowgate.Location())
		day := ":day:" + today.Format("2006-01-02")
		if period != day {
			period = day
			clear(warned)
		}
		for _, bound := range []struct {
			suffix string
			limit  configs.Dollars
		}{{day, limits.DailyLimit}, {":month:" + today.Format("2006-01"), limits.MonthlyLimit}} {
			if bound.limit == configs.NoLimit {
				continue
			}
			mark := int64(float64(bound.limit) * limits.AlertThreshold / 100)
			over, err := db.SpentOver(ctx, bound.suffix, mark, mostAlerts)
			if err != nil {
				return err
			}
			for _, o := range over { // of tenants: a name of a person is for no log
				if strings.HasPrefix(o.Scope, "tenant:") && !warned[o.Scope] {
					warned[o.Scope] = true
					log.Warn("a limit on money is near", zap.String("limit", o.Scope), zap.Int64("spent_microusd", o.Settled),
						zap.Int64("reserved_microusd", o.Reserved), zap.Int64("limit_microusd", int64(bound.limit)))
				}
			}
		}
		return nil
	}}
}

package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/control"
)

// chores are what one process of the deployment does from time to time.
func (n *node) chores() []worker.Chore {
	hold := n.settings.Flowgate.Hold
	every := max(hold/10, time.Second)
	chores := []worker.Chore{
		{Name: "partitions", Every: time.Hour, Do: n.db.Maintain},
		{Name: "bodies", Every: time.Hour, Do: n.sweepBodies},
		{Name: "cancellations", Every: 10 * time.Minute, Do: n.forgetCancellations},
		{Name: "control", Every: control.SweepAge, Do: n.sweepControl},
		{Name: "agreements", Every: 2 * time.Second, Do: n.publishAgreements()},
		n.alerting.chore(),
	}
	for _, stream := range []string{worker.IngressStream, worker.WorkStream(0), worker.EventsStream} {
		options := broker.JanitorOptions{
			Stream: stream, Readers: n.topology.ConsumersOf(stream), Hold: hold, Apart: stream == worker.IngressStream,
		}
		if !options.Apart {
			options.Recorded = func(ctx context.Context, created time.Time) (uint64, error) {
				at, err := n.db.Position(ctx, stream)
				if err != nil || at.Incarnation != (worker.Bounds{Created: created}).Incarnation() {
					return 0, err
				}
				return at.Seq, nil
			}
		}
		chores = append(chores, worker.Chore{Name: "janitor " + stream, Every: every, Do: func(ctx context.Context) error {
			janitor, err := broker.NewJanitor(n.js, options)
			if err != nil {
				return err
			}
			swept, err := janitor.Sweep(ctx)
			if swept.Purged > 0 {
				n.log.Debug("purged", zap.String("stream", stream), zap.Uint64("messages", swept.Purged))
			}
			return err
		}})
	}
	return chores
}

// forgetCancellations removes those from the control bucket that have expired.
func (n *node) forgetCancellations(ctx context.Context) error {
	cancels, err := control.OpenCancels(ctx, n.js)
	if err != nil {
		return err
	}
	_, err = cancels.Forget(ctx, time.Now())
	return err
}

// sweepControl removes what ended pauses leave.
func (n *node) sweepControl(ctx context.Context) error {
	_, err := control.Sweep(ctx, n.js, control.SweepAge)
	return err
}

// longestPark is how long requests are parked at most: so long that what waits is not published again all the time, and so
// short that it keeps the streams hardly longer than they are kept anyway.
func longestPark(hold time.Duration) time.Duration { return min(hold/2, worker.LongestPark) }

// bodyAge is when a body that nobody claims any more is swept.
const bodyAge = 72 * time.Hour

func (n *node) sweepBodies(ctx context.Context) error {
	_, err := n.claims.Sweep(ctx, bodyAge, func(ctx context.Context, key messages.Key, epoch int) (bool, error) {
		needed, err := n.db.NeedsBody(ctx, key, epoch)
		return !needed, err
	})
	return err
}

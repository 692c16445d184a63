package recorder

import (
	"context"
	"fmt"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// Positions tells how far a stream has been recorded (see worker.RecordStore).
type Positions interface {
	Position(ctx context.Context, stream string) (worker.Position, error)
}

// Lag is how long the oldest message of a stream has been stored that is not recorded yet; 0 where all are.
func Lag(ctx context.Context, leader *worker.Leader, store Positions, stream string) (time.Duration, error) {
	at, err := store.Position(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("reading the recorder's position: %w", err)
	}
	bounds, err := leader.Bounds(ctx, stream)
	if err != nil {
		return 0, err
	}
	if at.Incarnation != bounds.Incarnation() {
		at.Seq = 0
	}
	if at.Seq >= bounds.Last {
		return 0, nil
	}
	wanted := filters(stream)
	if wanted == nil {
		wanted = []string{">"}
	}
	var oldest time.Time
	for _, filter := range wanted {
		m, found, err := leader.Next(ctx, stream, at.Seq+1, filter)
		if err != nil {
			return 0, err
		}
		if found && (oldest.IsZero() || m.Time.Before(oldest)) {
			oldest = m.Time
		}
	}
	if oldest.IsZero() {
		return 0, nil
	}
	return max(time.Since(oldest), 0), nil
}

// filters are the subjects of a stream that are recorded; nil for all.
func filters(stream string) []string {
	p, isWork := strings.CutPrefix(stream, "FLOWGATE_WORK_")
	if !isWork {
		return nil
	}
	var filters []string
	for _, s := range []messages.State{messages.StateAI, messages.StateCalling, messages.StateDone} {
		filters = append(filters, "flowgate.work."+p+"."+string(s)+".*.*.*")
	}
	return filters
}

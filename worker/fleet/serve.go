package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// backlog bounds questions that wait; more are dropped, and whoever asked asks again.
const backlog = 64

// Serve answers for this process until ctx ends. report is called in one goroutine, for each question; it must not block.
func Serve(ctx context.Context, conn *nats.Conn, report func() Report) (err error) {
	questions := make(chan *nats.Msg, backlog)
	sub, err := conn.ChanSubscribe(Subject, questions)
	if err != nil {
		return fmt.Errorf("answering for the fleet: %w", err)
	}
	defer func() {
		if stopped := sub.Unsubscribe(); stopped != nil && !conn.IsClosed() {
			err = errors.Join(err, fmt.Errorf("answering for the fleet: %w", stopped))
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-questions:
			answer(q, report)
		}
	}
}

// answer answers one question. Where that fails nothing is lost: whoever asked sees that this process is missing.
func answer(q *nats.Msg, report func() Report) {
	if q.Reply == "" {
		return
	}
	r := report()
	r.Clock = time.Now().UTC()
	data, err := r.encode()
	if err == nil {
		_ = q.Respond(data)
	}
}

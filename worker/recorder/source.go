package recorder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	pullWait      = 5 * time.Second
	pullHeartbeat = time.Second
)

// errBroken says that a message between two deliveries was lost on its way: the consumer is made anew.
var errBroken = errors.New("the recorder's deliveries have a hole")

// source makes runs of messages out of pulls.
type source struct {
	consumer jetstream.Consumer
	batch    int
	linger   time.Duration

	pull    jetstream.MessageBatch
	release context.CancelFunc
	last    uint64 // consumer sequence of the newest delivery
}

// next waits for a message and takes what comes within the linger. An empty run means that a pull ran out.
func (s *source) next(ctx context.Context) ([]jetstream.Msg, error) {
	if s.pull == nil {
		pulling, cancel := context.WithTimeout(ctx, pullWait)
		pull, err := s.consumer.Fetch(s.batch, jetstream.FetchContext(pulling), jetstream.FetchHeartbeat(pullHeartbeat))
		if err != nil {
			cancel()
			return nil, fmt.Errorf("fetching: %w", err)
		}
		s.pull, s.release = pull, cancel
	}
	var run []jetstream.Msg
	var linger <-chan time.Time
	for len(run) < s.batch {
		select {
		case msg, open := <-s.pull.Messages():
			if !open {
				err := s.pull.Error()
				s.release()
				s.pull = nil
				if err != nil && len(run) == 0 && !errors.Is(err, context.DeadlineExceeded) {
					return nil, fmt.Errorf("fetching: %w", err)
				}
				return run, nil
			}
			if err := s.follow(msg); err != nil {
				return nil, err
			}
			run = append(run, msg)
			if linger == nil {
				timer := time.NewTimer(s.linger)
				defer timer.Stop()
				linger = timer.C
			}
		case <-linger:
			return run, nil
		case <-ctx.Done():
			s.release()
			return nil, ctx.Err()
		}
	}
	return run, nil
}

// follow checks that deliveries follow one another.
func (s *source) follow(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("reading metadata: %w", err)
	}
	if meta.Sequence.Consumer != s.last+1 {
		return fmt.Errorf("%w: %d after %d", errBroken, meta.Sequence.Consumer, s.last)
	}
	s.last = meta.Sequence.Consumer
	return nil
}

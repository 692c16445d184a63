package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/results"
)

const (
	// publishPatience bounds a submission, ackPatience one answer of the broker.
	publishPatience = 30 * time.Second
	ackPatience     = 5 * time.Second
)

// publishRequest publishes a request, which begins a trace; there is true where one of this id stood in the ingress stream
// before.
func publishRequest(ctx context.Context, js jetstream.JetStream, class messages.Class, key messages.Key, document []byte) (there bool, trace string, err error) {
	msg := &nats.Msg{Subject: messages.RequestSubject(class, key), Header: nats.Header{}, Data: document}
	parent, trace := worker.NewTraceparent()
	msg.Header.Set(messages.HeaderTrace, parent)
	there, err = publish(ctx, js, msg)
	return there, trace, err
}

// publish publishes until the broker has stored it; an answer that does not come is asked for again. there is true where the
// subject had its message before.
func publish(ctx context.Context, js jetstream.JetStream, msg *nats.Msg) (there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishPatience)
	defer cancel()
	delays, lost := worker.DefaultDelays(), false
	for round := 1; ; round++ {
		err := publishOnce(ctx, js, msg)
		var refused *jetstream.APIError
		switch {
		case err == nil:
			return false, nil
		case errors.As(err, &refused) && isAlreadyThere(refused):
			shown, asked := stands(ctx, js, msg.Subject)
			if shown {
				return !lost, nil // after a lost answer it is our own
			}
			err = errors.Join(fmt.Errorf("%w, and nobody shows it", err), asked)
		case errors.As(err, &refused):
			return false, fmt.Errorf("the broker refuses %s: %w", msg.Subject, err)
		}
		if refused == nil && denied(js.Conn(), msg.Subject) {
			return false, environmentError{fmt.Errorf("publishing %s: the broker refuses this login there: is --tenant the tenant of its credential?", msg.Subject)}
		}
		lost = lost || refused == nil && !errors.Is(err, jetstream.ErrNoStreamResponse)
		if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrMaxPayload) || !delays.Pause(ctx, round) {
			return false, environmentError{fmt.Errorf("publishing %s: %w", msg.Subject, err)}
		}
	}
}

// denied tells whether the broker said that this login may not publish there; it says so apart from any answer.
func denied(conn *nats.Conn, subject string) bool {
	err := conn.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), strconv.Quote(subject))
}

// stands tells whether what the ingress stream's leader says is there can be seen: in the stream, or by those who answer for
// results, whom everybody may ask. A leader that is cut off counts what it has proposed to the others, who may never hear of it:
// that is no acceptance. Sent again, what has ended since is a duplicate.
func stands(ctx context.Context, js jetstream.JetStream, subject string) (bool, error) {
	_, found, err := (&worker.Leader{JS: js, Timeout: ackPatience}).Last(ctx, worker.IngressStream, subject)
	if err == nil {
		return found, nil
	}
	address, wrong := messages.ParseSubject(subject)
	if wrong != nil || address.Replay { // of an epoch nobody answers
		return false, err
	}
	result, err := results.Get(ctx, js.Conn(), address.Key)
	return err == nil && result.State != messages.ResultUnknown, err
}

func publishOnce(ctx context.Context, js jetstream.JetStream, msg *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, ackPatience)
	defer cancel()
	_, err := js.PublishMsg(ctx, msg)
	return err
}

// isAlreadyThere tells a subject that is taken from a stream that is full: both have one code.
func isAlreadyThere(refused *jetstream.APIError) bool {
	return refused.ErrorCode == 10077 && strings.Contains(refused.Description, "maximum messages per subject exceeded")
}

package results

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
)

// ErrService says that the result service answered with an error, or not at all.
var ErrService = errors.New("the result service did not answer")

// maxPieces bounds an answer: 64 MiB.
const maxPieces = 1024

// patience bounds one question.
const patience = 5 * time.Second

// Get asks for the result of a request as it stands now.
func Get(ctx context.Context, conn *nats.Conn, key messages.Key) (result messages.Result, err error) {
	if err := messages.CheckKey(key); err != nil {
		return result, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	inbox := conn.NewInbox()
	pieces := make(chan *nats.Msg, maxPieces) // a channel of our own: the client's would take half a megabyte
	sub, err := conn.ChanSubscribe(inbox, pieces)
	if err != nil {
		return result, fmt.Errorf("asking for a result: %w", err)
	}
	defer func() { err = errors.Join(err, sub.Unsubscribe()) }()
	if err := conn.PublishRequest(messages.GetResultSubject(key), inbox, nil); err != nil {
		return result, fmt.Errorf("asking for a result: %w", err)
	}
	data, err := collect(ctx, pieces)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(data, &result); err != nil {
		return result, fmt.Errorf("%w: undecodable answer", ErrService)
	}
	return result, nil
}

// collect puts the pieces of an answer together.
func collect(ctx context.Context, pieces <-chan *nats.Msg) ([]byte, error) {
	var data []byte
	for n := 1; ; n++ {
		var msg *nats.Msg
		select {
		case msg = <-pieces:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrService, ctx.Err())
		}
		if code := msg.Header.Get("Nats-Service-Error-Code"); code != "" {
			return nil, fmt.Errorf("%w: %s (%s)", ErrService, msg.Header.Get("Nats-Service-Error"), code)
		}
		if msg.Header.Get("Status") == "503" {
			return nil, fmt.Errorf("%w: %w", ErrService, nats.ErrNoResponders)
		}
		data = append(data, msg.Data...)
		total := 1
		if chunks := msg.Header.Get(HeaderChunks); chunks != "" {
			var err error
			if total, err = strconv.Atoi(chunks); err != nil || total > maxPieces {
				return nil, fmt.Errorf("%w: undecodable pieces", ErrService)
			}
		}
		if n >= total {
			return data, nil
		}
	}
}

// askAgain is how often a waiter asks although nothing woke it.
const askAgain = 5 * time.Second

// Wait waits until the given epoch of a request (or a later one) has ended, or ctx does; then it returns how the request
// stands. A wake-up that is lost costs at most askAgain.
func Wait(ctx context.Context, conn *nats.Conn, key messages.Key, epoch int) (result messages.Result, err error) {
	return WaitTelling(ctx, conn, key, epoch, func(messages.Result) {})
}

// WaitTelling is Wait that tells each time how the request stands meanwhile.
func WaitTelling(ctx context.Context, conn *nats.Conn, key messages.Key, epoch int, tell func(messages.Result)) (result messages.Result, err error) {
	wake := make(chan *nats.Msg, 16)
	sub, err := conn.ChanSubscribe(messages.ResultSubject(key), wake)
	if err != nil {
		return messages.Result{}, fmt.Errorf("waiting for a result: %w", err)
	}
	defer func() { err = errors.Join(err, sub.Unsubscribe()) }()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		result, err = Get(ctx, conn, key)
		if err == nil && result.State == messages.ResultDone && result.Epoch >= epoch {
			return result, nil
		}
		if err == nil {
			tell(result)
		}
		if conn.IsClosed() { // it does not come back
			return result, errors.Join(errors.New("waiting for a result: the broker takes this login no more; the request goes on"), conn.LastError())
		}
		select {
		case <-wake:
		case <-again.C:
		case <-ctx.Done():
			return result, errors.Join(ctx.Err(), err)
		}
	}
}

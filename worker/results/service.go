// Package results answers who asks for the result of a request: the service that runs beside the workers, and the client
// that any Go producer can use.
package results

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker"
)

// Store finds results that the streams no longer hold.
type Store interface {
	// Result reads the newest recorded result of a request, or gives worker.ErrNotFound.
	Result(ctx context.Context, key messages.Key) (messages.Result, error)
}

// Claims reads bodies that are too large for an envelope.
type Claims interface {
	Get(ctx context.Context, claim messages.Claim) ([]byte, error)
}

// Options are what the service needs.
type Options struct {
	Conn       *nats.Conn
	Leader     *worker.Leader
	Store      Store
	Claims     Claims
	Partitions int
	Logger     *zap.Logger
	// Control tells what is paused; may be nil.
	Control Control
	// Intake tells whether submissions of a class are taken; nil: always.
	Intake func(messages.Class) messages.Intake
}

// Headers of an answer that comes in pieces of at most ChunkBytes.
const (
	HeaderChunk  = "Flowgate-Chunk"  // counts from 1
	HeaderChunks = "Flowgate-Chunks" // how many there are
	ChunkBytes   = 64 << 10
)

const (
	asking  = 10 * time.Second // bounds one lookup
	atOnce  = 64               // bounds lookups at once
	backlog = 4096             // bounds questions that wait
)

// Run answers until ctx ends.
func Run(ctx context.Context, opts Options) error {
	service, err := micro.AddService(opts.Conn, micro.Config{
		Name: "flowgate-results", Version: "1.0.0", Description: "results of requests", DoneHandler: nil,
	})
	if err != nil {
		return fmt.Errorf("starting the result service: %w", err)
	}
	s := &server{opts: opts, slots: make(chan struct{}, atOnce)}
	handler := micro.HandlerFunc(func(req micro.Request) { s.take(ctx, req) })
	err = service.AddEndpoint("result", handler, micro.WithEndpointSubject(messages.GetResultSubject(messages.Key{Tenant: "*", ID: "*"})),
		micro.WithEndpointPendingLimits(backlog, backlog*messages.MaxTextBytes))
	if err == nil {
		err = service.AddEndpoint("intake", micro.HandlerFunc(s.intake), micro.WithEndpointSubject(messages.GetIntakeSubject("*", "*")))
	}
	if err == nil {
		<-ctx.Done()
	}
	stopped := service.Stop()
	for range cap(s.slots) { // wait for every answer under way
		s.slots <- struct{}{}
	}
	if err != nil {
		return fmt.Errorf("starting the result service: %w", err)
	}
	if stopped != nil && !opts.Conn.IsClosed() {
		return fmt.Errorf("stopping the result service: %w", stopped)
	}
	return nil
}

type server struct {
	opts  Options
	slots chan struct{}
}

// take starts a lookup in a slot of its own; when all are taken the questions wait at the subscription.
func (s *server) take(ctx context.Context, req micro.Request) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	go func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(ctx, asking)
		defer cancel()
		if err := s.answer(ctx, req); err != nil {
			s.opts.Logger.Warn("answering for a result", zap.Error(err))
			if err := req.Error("503", "the result could not be looked up; ask again", nil); err != nil {
				s.opts.Logger.Debug("answering for a result", zap.Error(err))
			}
		}
	}()
}

func (s *server) answer(ctx context.Context, req micro.Request) error {
	tokens := strings.Split(req.Subject(), ".")
	if len(tokens) != 5 {
		return req.Error("400", "the subject must be flowgate.get.result.<tenant>.<id>", nil)
	}
	key := messages.Key{Tenant: tokens[3], ID: tokens[4]}
	if err := messages.CheckKey(key); err != nil {
		return req.Error("400", err.Error(), nil)
	}
	result, err := s.find(ctx, key)
	if err != nil {
		return err
	}
	data, err := json.Marshal(&result)
	if err != nil {
		return fmt.Errorf("encoding a result: %w", err)
	}
	chunks := (len(data) + ChunkBytes - 1) / ChunkBytes
	for i := range chunks {
		header := micro.Headers{}
		if chunks > 1 {
			header[HeaderChunk] = []string{strconv.Itoa(i + 1)}
			header[HeaderChunks] = []string{strconv.Itoa(chunks)}
		}
		piece := data[i*ChunkBytes : min((i+1)*ChunkBytes, len(data))]
		if err := req.Respond(piece, micro.WithHeaders(header)); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
	return nil
}

// find looks at the request's family, then at what was submitted, then into the record. A request that moves on meanwhile is
// seen all the same, because the family is read again after the ingress stream.
func (s *server) find(ctx context.Context, key messages.Key) (messages.Result, error) {
	result, found, err := s.family(ctx, key)
	if err != nil || found {
		return result, err
	}
	request, submitted, err := s.opts.Leader.Submitted(ctx, key)
	if err != nil {
		return result, err
	}
	if result, found, err = s.family(ctx, key); err != nil || found {
		return result, err
	}
	result, err = s.opts.Store.Result(ctx, key)
	switch {
	case err == nil:
		return result, nil
	case !errors.Is(err, worker.ErrNotFound):
		return result, err
	case submitted:
		result = messages.Result{V: messages.Version, Key: key, State: messages.ResultPending, At: "submitted"}
		s.explain(&result, request.Address, nil)
		return result, nil
	}
	return messages.Result{V: messages.Version, Key: key, State: messages.ResultUnknown}, nil
}

// family reads the newest state of a request.
func (s *server) family(ctx context.Context, key messages.Key) (messages.Result, bool, error) {
	newest, found, err := s.opts.Leader.Newest(ctx, messages.Partition(key, s.opts.Partitions), key)
	if err != nil || !found {
		return messages.Result{}, false, err
	}
	pending := messages.Result{V: messages.Version, Key: key, State: messages.ResultPending, At: string(newest.State)}
	if messages.Newer(newest.Data) { // who can read it answers sooner or later; the record's columns mean the same to all
		if pending.Epoch, err = messages.EpochOf(newest.Data); err != nil {
			return pending, true, nil //nolint:nilerr // a version that tells no epoch leaves it at 0
		}
		return s.recorded(ctx, key, pending)
	}
	if newest.State == messages.StateCalling {
		call, err := messages.DecodeCalling(newest.Data)
		pending.Epoch = call.Epoch
		return pending, true, err
	}
	e, err := messages.DecodeEnvelope(newest.Data)
	if err != nil {
		return pending, true, nil //nolint:nilerr // an unreadable state is ended by its layer: until then it is pending
	}
	pending.Epoch, pending.TraceID = e.Epoch, e.TraceID
	if newest.State != messages.StateDone {
		s.explain(&pending, newest.Address, e)
		return s.recorded(ctx, key, pending)
	}
	if e.AI != nil && e.AI.AnswerClaim != nil {
		body, err := s.opts.Claims.Get(ctx, *e.AI.AnswerClaim)
		if err != nil {
			return s.recorded(ctx, key, pending)
		}
		e.AI.Answer = string(body)
	}
	return messages.Project(key, e), true, nil
}

// recorded prefers the recorded end of an epoch to a state of it that a late writer left behind.
func (s *server) recorded(ctx context.Context, key messages.Key, pending messages.Result) (messages.Result, bool, error) {
	result, err := s.opts.Store.Result(ctx, key)
	if err == nil && result.State == messages.ResultDone && result.Epoch >= pending.Epoch {
		return result, true, nil
	}
	return pending, true, nil
}

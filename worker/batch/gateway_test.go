package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/results"
)

// gateway stands for the workers: it ends each request of the ingress stream once, keeps the result and wakes who waits,
// except about every third. The result service before it is the real one.
type gateway struct {
	conn *nats.Conn
	js   jetstream.JetStream
	// purges makes it remove from the ingress stream what it has ended.
	purges bool
	// rest, if above 0, makes it rest after as many requests until awake is closed.
	rest  int
	awake chan struct{}

	mu      sync.Mutex
	results map[messages.Key]messages.Result
	classes map[messages.Key]messages.Class
	ended   int
	dropped int // requests with an id that had ended before
	waiters map[int]chan struct{}
}

// newGateway makes a gateway that nothing runs yet.
func newGateway(conn *nats.Conn, js jetstream.JetStream) *gateway {
	return &gateway{
		conn: conn, js: js, results: map[messages.Key]messages.Result{}, classes: map[messages.Key]messages.Class{},
		waiters: map[int]chan struct{}{}, awake: make(chan struct{}),
	}
}

// open runs the gateway until the test ends.
func (g *gateway) open(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	wg.Go(func() { g.consume(ctx) })
	wg.Go(func() {
		err := results.Run(ctx, results.Options{
			Conn: g.conn, Leader: &worker.Leader{JS: g.js, Timeout: 2 * time.Second}, Store: g, Claims: g,
			Partitions: 1, Logger: zap.NewNop(),
		})
		if err != nil {
			t.Errorf("serving results: %v", err)
		}
	})
}

func (g *gateway) consume(ctx context.Context) {
	for ctx.Err() == nil {
		if err := g.round(ctx); err != nil {
			select {
			case <-time.After(20 * time.Millisecond): // the broker is away
			case <-ctx.Done():
			}
		}
	}
}

func (g *gateway) round(ctx context.Context) error {
	consumer, err := g.js.CreateOrUpdateConsumer(ctx, broker.StreamIngress, jetstream.ConsumerConfig{
		Durable: "gateway", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second,
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		batch, err := consumer.Fetch(16, jetstream.FetchMaxWait(200*time.Millisecond))
		if err != nil {
			return err
		}
		for msg := range batch.Messages() {
			if ended, _ := g.counts(); g.rest > 0 && ended >= g.rest {
				select {
				case <-g.awake:
				case <-ctx.Done():
				}
			}
			if err := g.end(ctx, msg); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return err
		}
	}
	return nil
}

func (g *gateway) end(ctx context.Context, msg jetstream.Msg) error {
	address, err := messages.ParseSubject(msg.Subject())
	if err != nil {
		return err
	}
	request, err := messages.DecodeRequest(msg.Data())
	if err != nil {
		return err
	}
	n := g.keep(address, &request)
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if err := msg.Ack(); err != nil {
		return err
	}
	if g.purges {
		stream, err := g.js.Stream(ctx, broker.StreamIngress)
		if err == nil {
			err = stream.DeleteMsg(ctx, meta.Sequence.Stream)
		}
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	if n%3 == 0 {
		return nil
	}
	return g.conn.Publish(messages.ResultSubject(address.Key), nil)
}

func (g *gateway) keep(a messages.Address, request *messages.Request) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, twice := g.results[a.Key]; twice {
		g.dropped++
		return g.ended
	}
	g.results[a.Key], g.classes[a.Key] = resultOf(a.Key, request), a.Class
	g.ended++
	for n, waiter := range g.waiters {
		if g.ended >= n {
			close(waiter)
			delete(g.waiters, n)
		}
	}
	return g.ended
}

// at is closed when n requests have ended.
func (g *gateway) at(n int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	waiter, has := g.waiters[n]
	if !has {
		waiter = make(chan struct{})
		g.waiters[n] = waiter
	}
	if g.ended >= n {
		close(waiter)
		delete(g.waiters, n)
	}
	return waiter
}

func (g *gateway) counts() (ended, dropped int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended, g.dropped
}

func (g *gateway) class(key messages.Key) messages.Class {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.classes[key]
}

// Result implements results.Store.
func (g *gateway) Result(_ context.Context, key messages.Key) (messages.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	result, has := g.results[key]
	if !has {
		return result, worker.ErrNotFound
	}
	return result, nil
}

// Get implements results.Claims: no body is stored anywhere.
func (g *gateway) Get(context.Context, messages.Claim) ([]byte, error) {
	return nil, worker.ErrClaimMissing
}

// resultOf fails what asks for it.
func resultOf(key messages.Key, request *messages.Request) messages.Result {
	doc, err := json.Marshal(request)
	if err != nil {
		panic(err)
	}
	result := messages.Result{
		V: messages.Version, Key: key, State: messages.ResultDone, Status: messages.StatusSuccess, Reason: messages.ReasonOK,
		Answer: "answer to " + key.ID, FinishedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Metadata: &messages.ResultMetadata{
			Backend: "offline", Model: request.Model, Attempts: 1, FinishReason: "end_turn",
			Tokens: messages.Tokens{Input: 3, Output: 5, Total: 8}, CostMicroUSD: 17, CostUSD: 17e-6,
		},
	}
	switch {
	case strings.Contains(string(doc), "please deny"):
		result.Status, result.Reason, result.Answer, result.Metadata = messages.StatusDenied, messages.ReasonLimitRequest, "", nil
		result.Message, result.Field = messages.Explain(messages.ReasonLimitRequest).Text, "max_tokens"
	case strings.Contains(string(doc), "please fail"):
		result.Status, result.Reason, result.Answer = messages.StatusFailure, messages.ReasonInDoubt, ""
		result.Message, result.Retry = messages.Explain(messages.ReasonInDoubt).Text, true
	case strings.Contains(string(doc), "use tools"):
		result.Answer, result.Metadata.FinishReason = "", "tool_use"
		result.ToolCalls = []messages.ToolCall{{ID: "c1", Name: "find", Arguments: `{"q":"<a>"}`}}
	case strings.Contains(string(doc), "seen before"):
		result.Metadata.Attempts, result.Metadata.CostMicroUSD, result.Metadata.CostUSD, result.Metadata.CacheHit = 0, 0, 0, true
		result.Metadata.Reused = &messages.Reused{From: "disk", Key: strings.Repeat("a", 64), AgeSeconds: 2, SavedMicroUSD: 17, SavedSeconds: 1.5}
	case len(request.Input) > 0:
		result.Answer, result.Embeddings = "", json.RawMessage(`[[0.1,1e-3],[2,3]]`)
		result.Metadata.Tokens = messages.Tokens{Input: 3, Total: 3}
	case strings.Contains(string(doc), "be partial"):
		result.Status = messages.StatusPartial
	}
	return result
}

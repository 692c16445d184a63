package handlers_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/optimizer"
	"flowgate/pipelines/pricing"
	"flowgate/worker"
	"flowgate/worker/backends"
	"flowgate/worker/broker"
	"flowgate/worker/handlers"
	"flowgate/worker/postgres"
	"flowgate/worker/recorder"
	"flowgate/worker/workertest"
)

const model = "claude-sonnet-4-5"

// stage is one deployment: a broker, a database, a model server; processes come and go on it.
type stage struct {
	t      *testing.T
	server *broker.Server
	url    string
	openai *workertest.OpenAIServer
	// wrap changes the backend of the processes that are started; nil leaves it.
	wrap func(worker.Backend) worker.Backend
	// patience bounds what until waits for; 0 is a minute.
	patience time.Duration
	// slots are those of layer 2 in one process; 0 is 16.
	slots int
	// tune changes layer 2 of the processes that are started; may be nil.
	tune func(*process, *handlers.AI)
	// control is that of the processes that are started; may be nil.
	control worker.Control
	// observer is told by the processes that are started; may be nil.
	observer worker.Observer
	// longestPark is that of the processes that are started; 0 is the default. unrecorded starts them without recorders.
	longestPark time.Duration
	unrecorded  bool
	// agreements are those that a layer knows; nil: none, and none is asked for.
	agreements func(messages.LayerName) *flow.Book
	// actions carries out those of agreements; may be nil. prices are of models beside the usual one.
	actions handlers.Actions
	prices  []pricing.Row
	// limitDay is in micro-dollars; 0 is more than any test spends.
	limitDay int64
	topology broker.Topology
	// conn, db and leader are the test's own.
	conn   *nats.Conn
	js     jetstream.JetStream
	db     *postgres.DB
	leader *worker.Leader
	count  int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	return newStageOn(t, workertest.Database(t))
}

// newStageOn is newStage on a database of the test's own.
func newStageOn(t *testing.T, url string) *stage {
	t.Helper()
	s := &stage{t: t, server: workertest.Server(t), url: url, openai: workertest.NewOpenAI(t)}
	s.conn, s.js = workertest.Conn(t, s.server)
	var queues []broker.LayerQueue
	for _, l := range pipelines.Chain() {
		for _, q := range l.Queues {
			queues = append(queues, broker.LayerQueue{Name: q.Name, State: q.State})
		}
	}
	s.topology = workertest.Topology(t, s.js, queues, func(o *broker.TopologyOptions) { o.AckWait = time.Second })
	var err error
	if s.db, err = postgres.Open(t.Context(), s.url, postgres.Options{MaxConns: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.db.Close)
	s.leader = &worker.Leader{JS: s.js}
	return s
}

// process is one worker process: connections of its own, every layer, both recorders.
type process struct {
	name string
	conn *nats.Conn
	db   *postgres.DB
	stop context.CancelFunc
	all  sync.WaitGroup
}

// start starts a process. billable puts the OpenAI-compatible backend in the place of the offline one.
func (s *stage) start(billable bool, probe worker.Probe) *process {
	s.t.Helper()
	s.count++
	name := fmt.Sprintf("p%d", s.count)
	p := &process{}
	var err error
	if p.conn, err = s.server.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond)); err != nil {
		s.t.Fatal(err)
	}
	js, err := jetstream.New(p.conn, jetstream.WithPublishAsyncTimeout(2*time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	p.name = name
	if p.db, err = postgres.Open(s.t.Context(), named(s.t, s.url, name), postgres.Options{MaxConns: 4}); err != nil {
		s.t.Fatal(err)
	}
	leader := &worker.Leader{JS: js}
	hop := &worker.Hop{JS: js, Leader: leader, Backoff: worker.DefaultDelays()}
	claims, err := broker.OpenClaims(s.t.Context(), js)
	if err != nil {
		s.t.Fatal(err)
	}
	runtime, err := worker.NewRuntime(worker.Options{
		Conn: p.conn, JS: js, Leader: leader, Hop: hop, Worker: name, AckWait: time.Second, PullWait: 100 * time.Millisecond, Grace: 5 * time.Second, Probe: probe,
		Queues: s.queues(s.layers(p, hop, leader, claims, name, billable, probe)), Waiting: p.db.Waiting, Observer: s.observer, Control: s.control,
		LongestPark: s.longestPark,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	tuned := p.stop // of what tune started
	p.stop = func() {
		cancel()
		if tuned != nil {
			tuned()
		}
	}
	p.all.Go(func() { _ = runtime.Run(ctx) })
	if s.unrecorded {
		return p
	}
	for _, stream := range []string{worker.WorkStream(0), worker.EventsStream} {
		r, err := recorder.New(recorder.Options{
			JS: js, Leader: leader, Hop: hop, Store: p.db, Claims: claims, Stream: stream, Worker: name, Probe: probe, Believe: time.Second,
			Lock: func(ctx context.Context, name string) (func(), <-chan struct{}, error) {
				lock, err := p.db.Lock(ctx, name)
				if err != nil {
					return nil, nil, err
				}
				return lock.Release, lock.Lost(), nil
			},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		p.all.Go(func() { r.Run(ctx) })
	}
	return p
}

// named gives the connections of a process a name in the database.
func named(t *testing.T, url, name string) string {
	t.Helper()
	parsed, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	query := parsed.Query()
	query.Set("application_name", name)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

// disconnect ends the database connections of a process, as its death does, or a long sleep.
func (s *stage) disconnect(p *process) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(s.t.Context())) }()
	if _, err := conn.Exec(s.t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()", p.name); err != nil {
		s.t.Fatal(err)
	}
}

// end stops a process in order.
func (p *process) end() {
	p.stop()
	p.all.Wait()
	p.conn.Close()
	p.db.Close()
}

func (s *stage) queues(layers map[messages.LayerName]worker.Layer) []worker.Queue {
	var all []worker.Queue
	for _, link := range pipelines.Chain() {
		for _, q := range link.Queues {
			named, batch := broker.LayerQueue{Name: q.Name, State: q.State}, 16
			if link.Name == messages.LayerAI {
				batch = cmp.Or(s.slots, batch)
			}
			all = append(all, worker.Queue{
				Name: named.Consumer(messages.ClassStd, 0), Stream: named.Stream(0), Layer: layers[link.Name], Batch: batch, Lanes: 1,
				Single: link.Name == messages.LayerAI, Holds: q.State == messages.StateHold,
			})
		}
	}
	return all
}

func (s *stage) layers(
	p *process, hop *worker.Hop, leader *worker.Leader, claims *broker.Claims, name string, billable bool, probe worker.Probe,
) map[messages.LayerName]worker.Layer {
	s.t.Helper()
	prices, err := pricing.NewTable(append([]pricing.Row{{Model: model, Input: 3_000_000, Output: 15_000_000}}, s.prices...))
	if err != nil {
		s.t.Fatal(err)
	}
	book, err := flow.NewBook(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var backend worker.Backend
	if billable {
		backend, err = backends.NewOpenAI(backends.OpenAIOptions{BaseURL: s.openai.URL})
	} else {
		backend, err = backends.NewOffline(backends.OfflineOptions{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if s.wrap != nil {
		backend = s.wrap(backend)
	}
	bounds, err := leader.Bounds(s.t.Context(), worker.IngressStream)
	if err != nil {
		s.t.Fatal(err)
	}
	rules := corporate.Policy{
		Version: "test", MinAuditReason: 10, AllowUnknownUser: true, AllowUnknownDepartment: true, DefaultModel: model,
		Prices: prices, Limits: corporate.Limits{Request: 1e6, Day: cmp.Or(s.limitDay, 1e8), Month: 1e9}, BillableAttempts: 2, Location: time.UTC,
	}
	processing := &handlers.AI{
		Backends: []handlers.Serving{{Backend: backend}}, Hop: hop, Worker: name, Now: time.Now, Probe: probe, Observer: s.observer, Control: s.control,
		Bodies: handlers.Bodies{Claims: claims},
	}
	retry := ai.Retry{Attempts: 2, BaseDelay: 10 * time.Millisecond, MaxDelay: 20 * time.Millisecond, Factor: 2}
	known := func(layer messages.LayerName) *flow.Book {
		if s.agreements == nil {
			return book
		}
		return s.agreements(layer)
	}
	processing.Policy = func() ai.Policy {
		return ai.Policy{
			Agreements: known(messages.LayerAI), Prices: prices, Retry: ai.Retries{Default: retry},
			Cache: ai.CacheRules{Enabled: true, Sampled: true, Default: ai.CacheRule{Enabled: true, TTL: time.Hour}},
		}
	}
	if s.tune != nil {
		s.tune(p, processing)
	}
	bodies := handlers.Bodies{Claims: claims}
	return map[messages.LayerName]worker.Layer{
		messages.LayerCorporate: &handlers.Corporate{
			Ledger: p.db, Admissions: p.db, Dead: dead{p.db}, Bodies: bodies, Leader: leader, Ingress: bounds.Incarnation(), Partitions: 1,
			Policy: func() corporate.Policy { return rules }, Now: time.Now, Probe: probe, Control: s.control,
			LongestPark: s.longestPark, Seal: p.db.Seal, Agreements: func() (*flow.Book, error) { return known(messages.LayerCorporate), nil },
			KeepTerms: func(ctx context.Context, version string, body []byte) error {
				return p.db.KeepSettings(ctx, postgres.KeptAgreement, version, body)
			},
		},
		messages.LayerAI: processing,
		messages.LayerOptimizer: &handlers.Optimizer{
			Bodies: bodies, Actions: s.actions, Policy: func() optimizer.Policy { return optimizer.Policy{Agreements: known(messages.LayerOptimizer)} }, Now: time.Now,
		},
	}
}

type dead struct{ db *postgres.DB }

func (d dead) DeadLetter(ctx context.Context, key messages.Key) ([]byte, error) {
	letter, err := d.db.DeadLetter(ctx, key, -1)
	return letter.Envelope, err
}

// publish sends a message as a client does.
func (s *stage) publish(subject string, body []byte) {
	s.t.Helper()
	if _, err := s.js.Publish(s.t.Context(), subject, body); err != nil {
		s.t.Fatal(err)
	}
}

// until waits for what no signal tells.
func (s *stage) until(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(cmp.Or(s.patience, time.Minute))
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			s.t.Fatal("waited in vain until " + what)
		}
	}
}

// ended waits until the outcome of an epoch is recorded. Meanwhile it keeps a sleeping process away from the database: one
// that slept on another machine would have been cut off by now.
func (s *stage) ended(key messages.Key, epoch int, asleep ...*process) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, ended, err := s.db.Standing(ctx, key, epoch)
		if err == nil && ended {
			return
		}
		if err != nil && !errors.Is(err, worker.ErrNotFound) {
			s.t.Fatal(err)
		}
		for _, p := range asleep {
			s.disconnect(p)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n, _, err := s.leader.Newest(context.WithoutCancel(s.t.Context()), 0, key)
			s.t.Fatalf("epoch %d of %s never ended; newest state %s at %d (%v)", epoch, key, n.State, n.Seq, err)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker/chaos"
	"flowgate/worker/provider"
)

// dollar is the limit of the drill, in micro-dollars; dollarRequests ask for three times as much at once, each for at most a
// hundredth of it.
const (
	dollar         = 1_000_000
	dollarRequests = 500
	// Tokens of an answer: at $5 a million with the question no call can cost more than a cent, and 500 cost $3.20.
	leastTokens, mostTokens = 600, 1960
)

// TestFiveHundredRequestsOnADollar: real processes, three of them layer 1, which are killed with -9 and started again at random
// moments, while every request comes once more. Nothing is ever spent over the limit, 99 % of it is used, nothing stays held, and
// each request ends once. FLOWGATE_LONG kills 40 times instead of 6.
func TestFiveHundredRequestsOnADollar(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	switch {
	case os.Getenv(envKills) != "":
	case long:
		d.kills = 40
	default:
		d.kills = 6
	}
	r := startDollar(t)
	watching, calm := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(watching) })
	r.publish(d.random, 0, dollarRequests)
	r.harass(d)
	t.Logf("layer 1 was killed %d times", d.kills)
	r.ended()
	calm()
	watch.Wait()
	r.judge()
}

// dollarRun is a deployment of which every process is real.
type dollarRun struct {
	t *testing.T
	*deployment

	c     *client
	books *provider.Server
	raw   *pgx.Conn // of the test; the watch has one of its own
	class map[int]messages.Class
	// bodies are the documents: those that come again are the same.
	bodies map[int][]byte
}

func startDollar(t *testing.T) *dollarRun {
	t.Helper()
	books, err := provider.New(provider.Options{Listen: "127.0.0.1:0", Script: func(provider.Ask) provider.Reply {
		return provider.Reply{Outcome: provider.Success, Fill: true, After: 30 * time.Millisecond}
	}})
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- books.Run(serving) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	settings := fmt.Sprintf("  ack_wait: %s\n  sync: interval\n  micro_batch: 50\n  concurrency: {ai: 16}\n  nats: {connect_wait: 1m}\n"+
		"  backends: {allowed: [openai], openai: {base_url: %q}}\n"+
		"cost_optimization:\n  limits: {daily_limit: none, monthly_limit: 1.00}\n", chaos.AckWait, books.URL())
	r := &dollarRun{t: t, books: books, class: make(map[int]messages.Class), bodies: make(map[int][]byte), deployment: &deployment{
		exe: binary(t), dir: stateFolder(t), servers: 1, log: zap.NewNop(), settings: settings,
	}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := r.start(t.Context(), "corporate", "corporate", "corporate", "ai", "ai", "optimizer", "recorder", "recorder"); err != nil {
		t.Fatal(err)
	}
	if r.c, err = r.reach(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.c.close)
	r.raw = r.connect()
	return r
}

func (r *dollarRun) connect() *pgx.Conn {
	conn, err := pgx.Connect(r.t.Context(), r.dbURL)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(r.t.Context())) })
	return conn
}

// publish sends requests all at once; those that were sent before come again, in another class.
func (r *dollarRun) publish(random *rand.Rand, from, n int) {
	var all sync.WaitGroup
	for i := from; i < from+n; i++ {
		class, again := r.class[i]
		if !again {
			r.bodies[i], _ = json.Marshal(map[string]any{ // it has no value that JSON lacks
				"prompt": fmt.Sprint("Say ", i), "audit_reason": "a drill of money", "user_id": "drill", "model": "claude-haiku-4-5",
				"max_tokens": leastTokens + random.IntN(mostTokens-leastTokens+1),
			})
		}
		for class == r.class[i] {
			class = messages.Classes()[random.IntN(len(messages.Classes()))]
		}
		r.class[i] = class
		key, body := messages.Key{Tenant: "default", ID: fmt.Sprint("dollar-", i)}, r.bodies[i]
		all.Go(func() {
			if _, _, err := publishRequest(r.t.Context(), r.c.js, class, key, body); err != nil {
				r.t.Error(err)
			}
		})
	}
	all.Wait()
}

// harass kills and restarts workers of layer 1 at moments of the spending, and sends requests again.
func (r *dollarRun) harass(d drill) {
	moments := make([]int64, d.kills)
	for i := range moments {
		moments[i] = d.random.Int64N(dollar * 95 / 100)
	}
	slices.Sort(moments)
	for _, at := range moments {
		eventually(r.t, fmt.Sprintf("%d micro-dollars are spent", at), func() bool {
			return r.number("SELECT coalesce(sum(settled), 0)::bigint FROM flowgate.scope") >= at
		})
		w := r.workers[d.random.IntN(3)]
		if err := syscall.Kill(w.PID(), syscall.SIGKILL); err != nil {
			r.t.Fatal(err)
		}
		<-w.Done()
		again := d.random.IntN(dollarRequests - 50)
		r.publish(d.random, again, 50)
		if err := r.begin(w, r.exe); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, w := range r.workers {
		if err := w.up(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *dollarRun) number(sql string) (n int64) {
	if err := r.raw.QueryRow(r.t.Context(), sql).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// ended waits until every request has its outcome, for as long as one more comes.
func (r *dollarRun) ended() {
	const outcomes = "SELECT count(*) FROM flowgate.outcome"
	for n := int64(0); n < dollarRequests; {
		eventually(r.t, fmt.Sprintf("more than %d requests have ended", n), func() bool { return r.number(outcomes) > n })
		n = r.number(outcomes)
	}
}

// watch looks at the money all the time.
func (r *dollarRun) watch(ctx context.Context) {
	conn, looks := r.connect(), 0
	for ctx.Err() == nil {
		var settled, reserved int64
		err := conn.QueryRow(context.WithoutCancel(ctx), "SELECT coalesce(max(settled), 0), coalesce(max(settled + reserved), 0) FROM flowgate.scope").Scan(&settled, &reserved)
		if err != nil || settled > dollar || reserved > dollar {
			r.t.Errorf("%d spent, %d with what is held, of %d: %v", settled, reserved, dollar, err)
			return
		}
		looks++
	}
	r.t.Logf("looked at the money %d times", looks)
}

func (r *dollarRun) judge() {
	r.t.Helper()
	findings, err := r.c.db.Check(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range findings {
		if !f.OK {
			r.t.Errorf("audit check: %+v", f)
		}
	}
	var spent, held, calls int64
	if err := r.raw.QueryRow(r.t.Context(), "SELECT settled, reserved FROM flowgate.scope WHERE name LIKE 'tenant:default:month:%'").Scan(&spent, &held); err != nil {
		r.t.Fatal(err)
	}
	if spent > dollar || spent < dollar*99/100 || held != 0 {
		r.t.Errorf("of %d micro-dollars %d are spent and %d held in the end", dollar, spent, held)
	}
	if n := r.number("SELECT count(DISTINCT id) FROM flowgate.outcome"); n != dollarRequests || r.number("SELECT count(*) FROM flowgate.outcome") != n {
		r.t.Errorf("%d requests have an outcome, and not each one", n)
	}
	if n := r.number("SELECT count(*) FROM flowgate.outcome WHERE NOT (status = 'success' AND cost_microusd > 0 OR status = 'denied' AND reason = 'limit_month' AND cost_microusd = 0)"); n != 0 {
		r.t.Errorf("%d requests ended otherwise than well or for want of money", n)
	}
	if cost := r.number("SELECT sum(cost_microusd)::bigint FROM flowgate.outcome"); cost != spent {
		r.t.Errorf("requests cost %d, %d are spent", cost, spent)
	}
	served := r.number("SELECT count(*) FROM flowgate.outcome WHERE status = 'success'")
	for _, call := range r.books.Calls() {
		if strings.HasPrefix(call.Key, "default/dollar-") {
			calls++
		}
	}
	if calls != served {
		r.t.Errorf("%d calls were made for %d answers", calls, served)
	}
	r.t.Logf("%d of %d requests were served for %d micro-dollars", served, dollarRequests, spent)
}

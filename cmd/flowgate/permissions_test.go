package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// violations are what a server says of users who tried what they may not.
type violations struct {
	mu   sync.Mutex
	said []string
}

func (v *violations) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	v.mu.Lock()
	defer v.mu.Unlock()
	if strings.Contains(line, "iolation") {
		v.said = append(v.said, line)
	}
}

func (v *violations) all() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.said)
}

func (v *violations) Noticef(string, ...any)            {}
func (v *violations) Debugf(string, ...any)             {}
func (v *violations) Tracef(string, ...any)             {}
func (v *violations) Warnf(format string, args ...any)  { v.note(format, args...) }
func (v *violations) Errorf(format string, args ...any) { v.note(format, args...) }
func (v *violations) Fatalf(format string, args ...any) { v.note(format, args...) }

// theirs is a server that somebody else runs: its configuration, in which %s is the account's users.
func theirs(t *testing.T, users string) (url string, said *violations) {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir()}
	if err := opts.ProcessConfigString("accounts { WORK { jetstream: enabled, users: [\n" + users + "\n] } }"); err != nil {
		t.Fatalf("%v\n%s", err, users)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	said = &violations{}
	ns.SetLoggerV2(said, false, false, false)
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return "nats://%s:secret@" + ns.Addr().String(), said
}

func TestWorkersRunWithTheLeastRights(t *testing.T) {
	t.Parallel()
	plan := newGround(t, quickSettings)
	users := []string{"{ user: admin, password: secret }"}
	for _, r := range allRoles() {
		said := plan.say("topology", "plan", "--permissions", "--layer", string(r))
		said.wants(t, exitDone, "permissions {")
		users = append(users, fmt.Sprintf("{ user: %s, password: secret, %s }", r, said.stdout))
	}
	whole := plan.say("topology", "plan", "--permissions", "--layer", strings.Join(shortRoles(), ","))
	users = append(users, fmt.Sprintf("{ user: all, password: secret, %s }", whole.stdout))
	url, violations := theirs(t, strings.Join(users, "\n"))
	as := func(user string) string { return fmt.Sprintf(url, user) }
	g := newGround(t, quickSettings, "NATS_URL="+as("admin"), "DATABASE_URL="+workertest.Database(t))
	away := *g
	away.env = []string{"NATS_URL=" + as(string(messages.LayerAI))}
	away.say("worker", "--layer", "ai").wants(t, exitEnvironment, "is missing", "flowgate topology apply")
	g.say("topology", "plan").wants(t, exitDone, "make", "FLOWGATE_WORK_0", "corporate-rt")
	g.say("topology", "check").wants(t, exitFailed, "(missing)", "run `flowgate topology apply`")
	g.say("topology", "apply").wants(t, exitDone)
	g.say("topology", "check").wants(t, exitDone)

	var all []*process
	for _, r := range allRoles() {
		of := *g
		of.env = append(slices.Clone(g.env), "NATS_URL="+as(string(r)))
		all = append(all, of.workers(string(r))...)
	}
	large := g.file("large.json", sized(t, 300_000))
	g.say("submit", "--id", "small", "--wait", "--reason", "a test of rights", "x").wants(t, exitDone, "success (ok)")
	g.say("submit", "--id", "large", "--wait", "-f", large).wants(t, exitDone, "success (ok)")
	g.say("submit", "--id", "denied", "--wait", "--reason", "because", "x").wants(t, exitFailed, "audit_reason_too_short")
	var outcomes []struct{ ID string }
	eventually(t, "everything is recorded", func() bool {
		g.say("audit", "list", "--json").read(t, &outcomes)
		return len(outcomes) >= 3
	})
	g.say("audit", "check").wants(t, exitDone)
	for i, r := range allRoles() { // who has no such role would deny the action
		if r == role(messages.LayerOptimizer) {
			all[i].stop()
			all = slices.Delete(all, i, i+1)
		}
	}
	g.say("submit", "--id", "measured", "--trigger", "[Performance Test]", "--wait", "--reason", "a test of rights").wants(t, exitDone, "success (ok)", "real")
	g.securityIsLookedAtFromAWorker()
	for _, p := range all {
		p.stop()
	}
	if said := violations.all(); len(said) > 0 {
		t.Errorf("the broker refused %d times:\n%s", len(said), strings.Join(slices.Compact(said), "\n"))
	}
	for _, r := range allRoles() {
		mayNot(t, r, as(string(r)))
	}
	// up makes what is missing if it may, and works with what is there if it may not.
	up := *g
	up.env = append(slices.Clone(g.env), "NATS_URL="+as("all"))
	p := up.up()
	p.ready()
	g.say("submit", "--id", "up", "--wait", "--reason", "a test of rights", "x").wants(t, exitDone, "success (ok)")
	p.stop()
	if len(violations.all()) == 0 {
		t.Error("violations are not heard: the test proves nothing")
	}
	g.say("topology", "check").wants(t, exitDone)
}

// mayNot tries what a worker with this role must not be able to do.
func mayNot(t *testing.T, r role, url string) {
	t.Helper()
	conn, err := nats.Connect(url, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	key := messages.Key{Tenant: "default", ID: "forged"}
	publish := func(subject string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := js.Publish(ctx, subject, []byte("{}")); return err }
	}
	tries := map[string]func(context.Context) error{
		"make a stream": func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MINE", Subjects: []string{"mine"}})
			return err
		},
		"remove a stream":   func(ctx context.Context) error { return js.DeleteStream(ctx, broker.StreamEvents) },
		"remove a consumer": func(ctx context.Context) error { return js.DeleteConsumer(ctx, broker.StreamIngress, "corporate-rt") },
		"pause":             publish("$KV." + broker.BucketControl + ".pause.layer.ai_processing"),
		"cancel":            publish("$KV." + broker.BucketControl + ".cancel.default.forged.0"),
		"submit":            publish(messages.RequestSubject(messages.ClassStd, key)),
		"take another's mail": func(ctx context.Context) error {
			sub, err := conn.SubscribeSync("flowgate.request.>")
			if err != nil {
				return err
			}
			_, err = sub.NextMsgWithContext(ctx)
			return err
		},
	}
	if r == roleActions {
		delete(tries, "submit")
	}
	if !(roles{r}).database() {
		tries["approve an agreement"] = publish("$KV." + broker.BucketControl + ".agreement.5a642c9b32d1e10bd6fe1a89a6a342cd")
	}
	if r != roleRecorder {
		tries["purge"] = func(ctx context.Context) error {
			_, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.PURGE."+broker.WorkStream(0), nil)
			return err
		}
	}
	if r == roleRecorder || r == role(messages.LayerOptimizer) {
		tries["announce a call"] = publish(messages.WorkSubject(0, messages.StateCalling, messages.ClassStd, key))
	}
	var group sync.WaitGroup
	for what, try := range tries {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if err := try(ctx); err == nil {
				t.Errorf("%s may %s", r, what)
			}
		})
	}
	group.Wait()
	if _, err := js.Stream(t.Context(), broker.StreamEvents); err != nil {
		t.Errorf("%s may not read: %v", r, err)
	}
}

func TestDriftIsFoundAndRefusedWhereItBreaksTheProtocol(t *testing.T) {
	t.Parallel()
	url, _ := theirs(t, "{ user: admin, password: secret }")
	g := newGround(t, quickSettings, "NATS_URL="+fmt.Sprintf(url, "admin"))
	g.say("topology", "apply").wants(t, exitDone)
	conn, err := nats.Connect(strings.TrimPrefix(g.env[0], "NATS_URL="))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	change := func(stream string, by func(*jetstream.StreamConfig)) {
		t.Helper()
		s, err := js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		config := s.CachedInfo().Config
		by(&config)
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	// Sizes and descriptions: a warning, and the worker runs.
	change(broker.StreamEvents, func(c *jetstream.StreamConfig) { c.MaxBytes, c.Description = 1<<30, "ours" })
	s := g.say("topology", "check")
	s.wants(t, exitFailed, "max_bytes", "1073741824", "-1", "description", "flowgate topology apply")
	worker := g.begin(g.command("worker", "--layer", "ai", "--json"), "")
	worker.ready()
	worker.stop()
	if !strings.Contains(worker.err.String(), "max_bytes") {
		t.Errorf("no warning: %s", worker.err)
	}
	// A rule of the protocol: refused, with each difference.
	change(broker.WorkStream(0), func(c *jetstream.StreamConfig) { c.Discard, c.MaxAge = jetstream.DiscardOld, time.Hour })
	consumer, err := js.Consumer(t.Context(), broker.WorkStream(0), "ai-std-0")
	if err != nil {
		t.Fatal(err)
	}
	config := consumer.CachedInfo().Config
	config.MaxDeliver, config.AckWait = 5, 7*time.Second
	if _, err := js.UpdateConsumer(t.Context(), broker.WorkStream(0), config); err != nil {
		t.Fatal(err)
	}
	g.say("worker", "--layer", "ai").wants(t, exitEnvironment, "discard", "max_age", "max_deliver is 5", "ack_wait", "flowgate topology apply")
	var check struct {
		OK          bool
		Differences []drift
	}
	g.say("topology", "check", "--json").read(t, &check)
	breaking := 0
	for _, d := range check.Differences {
		if d.Breaks {
			breaking++
		}
	}
	if check.OK || breaking != 4 || len(check.Differences) != 6 {
		t.Errorf("%+v", check)
	}
	// What somebody paused is no reason to stay away.
	if _, err := js.PauseConsumer(t.Context(), broker.WorkStream(0), "ai-rt-0", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	g.say("topology", "apply").wants(t, exitFailed, "change", "max_age", "pause_until", "nats consumer resume")
	again := g.begin(g.command("worker", "--layer", "ai", "--json"), "")
	again.ready()
	again.stop()
	if _, err := js.ResumeConsumer(t.Context(), broker.WorkStream(0), "ai-rt-0"); err != nil {
		t.Fatal(err)
	}
	g.say("topology", "check").wants(t, exitDone)
	// More partitions than before are none of this deployment's.
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: broker.WorkStream(1), Subjects: []string{"another"}}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"worker", "--layer", "ai"}, {"topology", "apply"}, {"topology", "check"}} {
		g.say(args...).wants(t, exitEnvironment, "2 partitions", "cannot be changed")
	}
}

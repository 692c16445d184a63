package broker_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
)

// The attacks of a tenant's credential on other tenants and on flowgate itself, against a real server with the real streams.
// Each shows that nothing came of it there, whatever the attacker was told.

// globexKey is a request of the tenant that is attacked.
func globexKey() messages.Key { return messages.Key{Tenant: "globex", ID: "r1"} }

// replies: an acknowledgement that the server writes to a reply subject lands in the attacker's account.
func (w *walled) replies(inside ...string) {
	w.t.Helper()
	heard := w.heard()
	before := w.state()
	for i, reply := range inside {
		m := request("acme", "reply-"+strconv.Itoa(i))
		m.Reply = reply
		if err := w.acme.PublishMsg(m); err != nil {
			w.t.Fatal(err)
		}
	}
	w.settled()
	// The requests themselves are acme's right; nothing else may have come in, and nobody heard of anything else. One whose reply
	// subject is an acknowledgement's own is not even taken.
	for _, line := range heard() {
		if !strings.HasPrefix(line, "flowgate.request.std.acme.reply-") {
			w.t.Errorf("heard %s", line)
		}
	}
	after := strings.Split(w.state(), "\n")
	for i, line := range strings.Split(before, "\n") {
		if !strings.HasPrefix(line, broker.StreamIngress) && after[i] != line {
			w.t.Errorf("a stream moved from\n%s to\n%s", line, after[i])
		}
	}
	s, err := w.js.Stream(w.t.Context(), broker.StreamIngress)
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := s.Info(w.t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		w.t.Fatal(err)
	}
	for subject := range info.State.Subjects {
		if !strings.HasPrefix(subject, "flowgate.request.std.acme.") {
			w.t.Errorf("%s was stored", subject)
		}
	}
}

func TestAttackReplySubjectOfAnotherTenantsRequest(t *testing.T) {
	newWalled(t).replies(messages.RequestSubject(messages.ClassStd, globexKey()))
}

func TestAttackReplySubjectOfAnotherTenantsResult(t *testing.T) {
	newWalled(t).replies(messages.ResultSubject(globexKey()), messages.GetResultSubject(globexKey()))
}

func TestAttackReplySubjectOfAnotherTenantsInbox(t *testing.T) {
	newWalled(t).replies("_INBOX.known.1")
}

func TestAttackReplySubjectOfWork(t *testing.T) {
	newWalled(t).replies(messages.WorkSubject(0, messages.StateDone, messages.ClassStd, globexKey()),
		messages.WorkSubject(0, messages.StateDone, messages.ClassStd, messages.Key{Tenant: "acme", ID: "r1"}))
}

func TestAttackReplySubjectOfReplay(t *testing.T) {
	newWalled(t).replies(messages.ReplaySubject(messages.ClassStd, globexKey(), 1))
}

func TestAttackReplySubjectOfTheServersOwn(t *testing.T) {
	newWalled(t).replies("$JS.API.STREAM.PURGE."+broker.WorkStream(0), "$JS.ACK."+broker.StreamIngress+".corporate-std.1.1.1.1.1",
		"$KV."+broker.BucketControl+".pause.tenant.globex", messages.EventSubject("globex", "x"))
}

// listens: what happens at another tenant's is not heard by acme.
func (w *walled) listens(subjects ...string) {
	w.t.Helper()
	var subs []*nats.Subscription
	for _, subject := range subjects {
		sub, err := w.acme.SubscribeSync(subject)
		if err != nil {
			w.t.Fatal(err)
		}
		subs = append(subs, sub)
		w.settled()
	}
	own, err := w.acme.SubscribeSync(messages.ResultSubject(messages.Key{Tenant: "acme", ID: "own"}))
	if err != nil {
		w.t.Fatal(err)
	}
	w.settled()
	w.submit(w.globex, "globex", "r1")
	for _, key := range []messages.Key{globexKey(), {Tenant: "acme", ID: "own"}} {
		if _, err := publish(w.t, w.js, transition(messages.StateDone, key, 0, "t")); err != nil {
			w.t.Fatal(err)
		}
	}
	// Its own comes later and on the same way: what it may not hear would have come before.
	if _, err := own.NextMsg(5 * time.Second); err != nil {
		w.t.Fatal("acme does not hear of its own result:", err)
	}
	w.settled()
	for i, sub := range subs {
		for {
			m, err := sub.NextMsg(time.Millisecond)
			if err != nil {
				break
			}
			if !strings.HasPrefix(m.Subject, "flowgate.result.acme.") {
				w.t.Errorf("subscribing to %s heard %s", subjects[i], m.Subject)
			}
		}
	}
}

func TestAttackSubscribingToAnotherTenantsResults(t *testing.T) {
	w := newWalled(t)
	w.listens("flowgate.result.globex.>", "flowgate.result.globex.r1")
	w.refused()
}

func TestAttackSubscribingToEverything(t *testing.T) {
	w := newWalled(t)
	w.listens(">", "*.*.*.*", "flowgate.>", "flowgate.result.>", "flowgate.request.>", "flowgate.work.>")
	w.refused()
}

func TestAttackSubscribingToOthersInboxes(t *testing.T) {
	w := newWalled(t)
	w.listens("_INBOX.>", "_R_.>", "$SYS.>", "$JS.>")
}

// publishes: what acme publishes there reaches nobody.
func (w *walled) publishes(subjects ...string) {
	w.t.Helper()
	w.submit(w.globex, "globex", "r1")
	heard := w.heard()
	before := w.state()
	for _, subject := range subjects {
		if err := w.acme.Publish(subject, []byte("{}")); err != nil {
			w.t.Fatal(err)
		}
		w.refused()
	}
	w.unmoved(before)
	for _, line := range heard() {
		w.t.Errorf("heard %s", line)
	}
	w.whole()
}

func TestAttackPublishingToAnotherTenantsRequests(t *testing.T) {
	newWalled(t).publishes(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "globex", ID: "forged"}),
		messages.RequestSubject(messages.ClassStd, globexKey()), messages.RequestSubject(messages.ClassRT, globexKey()))
}

func TestAttackAskingForAnotherTenantsResult(t *testing.T) {
	newWalled(t).publishes(messages.GetResultSubject(globexKey()), messages.GetIntakeSubject("globex", "std"))
}

func TestAttackPublishingReplays(t *testing.T) {
	newWalled(t).publishes(messages.ReplaySubject(messages.ClassStd, globexKey(), 1),
		messages.ReplaySubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: "r1"}, 1))
}

func TestAttackPublishingWork(t *testing.T) {
	var subjects []string
	for _, state := range messages.States() {
		subjects = append(subjects, messages.WorkSubject(0, state, messages.ClassStd, globexKey()))
	}
	newWalled(t).publishes(subjects...)
}

func TestAttackPublishingEventsAndWakeUps(t *testing.T) {
	newWalled(t).publishes(messages.EventSubject("globex", messages.EventFreed), messages.EventSubject("acme", messages.EventFreed),
		messages.ResultSubject(globexKey()), "flowgate.fleet.report", "flowgate.fleet.pace")
}

func TestAttackOnTheJetStreamAPI(t *testing.T) {
	newWalled(t).publishes("$JS.API.INFO", "$JS.API.STREAM.PURGE."+broker.StreamIngress, "$JS.API.STREAM.DELETE."+broker.WorkStream(0),
		"$JS.API.STREAM.MSG.GET."+broker.StreamIngress, "$JS.API.CONSUMER.MSG.NEXT."+broker.StreamIngress+".corporate-std",
		"$JS.API.CONSUMER.CREATE."+broker.StreamIngress+".mine", "$JS.ACK."+broker.StreamIngress+".corporate-std.1.1.1.1.1")
}

func TestAttackOnBuckets(t *testing.T) {
	newWalled(t).publishes("$KV."+broker.BucketControl+".pause.tenant.globex", "$KV."+broker.BucketControl+".cancel.globex.r1.0",
		"$O."+broker.BucketBodies+".M.x", "$O."+broker.BucketBodies+".C.x")
}

func TestAttackOnTheSystemAccount(t *testing.T) {
	newWalled(t).publishes("$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT."+"FLOWGATE"+".CONNZ", "$SYS.REQ.USER.INFO")
}

// denied: the broker refuses a request of acme's own with these headers, and it moves nothing.
func (w *walled) denied(code jetstream.ErrorCode, headers ...string) {
	w.t.Helper()
	w.submit(w.globex, "globex", "r1")
	before := w.state()
	_, err := w.try(w.acme, "acme", "headers", headers...)
	if refused, ok := errors.AsType[*jetstream.APIError](err); !ok || refused.ErrorCode != code {
		w.t.Errorf("%v is answered with %v", headers, err)
	}
	w.unmoved(before)
	w.whole()
}

func TestAttackByScheduleHeaders(t *testing.T) {
	for name, headers := range map[string][]string{
		"once":         {"Nats-Schedule", "@at 2030-01-01T00:00:00Z"},
		"again":        {"Nats-Schedule", "@every 1s"},
		"for a tenant": {"Nats-Schedule", "@every 1s", "Nats-Schedule-Target", messages.RequestSubject(messages.ClassStd, globexKey())},
		"for work": {
			"Nats-Schedule", "@every 1s", "Nats-Schedule-Target", messages.WorkSubject(0, messages.StateDone, messages.ClassStd, globexKey()),
		},
	} {
		t.Run(name, func(t *testing.T) { newWalled(t).denied(10188, headers...) })
	}
}

func TestAttackByTimeToLive(t *testing.T) { newWalled(t).denied(10166, "Nats-TTL", "1s") }

func TestAttackByRollup(t *testing.T) {
	for _, what := range []string{"all", "sub"} {
		t.Run(what, func(t *testing.T) { newWalled(t).denied(10111, "Nats-Rollup", what) })
	}
}

func TestAttackByCounter(t *testing.T) { newWalled(t).denied(10168, "Nats-Incr", "+1") }

func TestAttackByBatch(t *testing.T) {
	newWalled(t).denied(10174, "Nats-Batch-Id", "x", "Nats-Batch-Sequence", "1", "Nats-Batch-Commit", "1")
}

// An expectation holds or refuses acme's own request; it neither stores nor moves another's.
func TestAttackByExpectedSequences(t *testing.T) {
	globex := messages.RequestSubject(messages.ClassStd, globexKey())
	for name, headers := range map[string][]string{
		"of the stream":               {"Nats-Expected-Last-Sequence", "0"},
		"of another tenant's subject": {"Nats-Expected-Last-Subject-Sequence", "0", "Nats-Expected-Last-Subject-Sequence-Subject", globex},
		"of all subjects":             {"Nats-Expected-Last-Subject-Sequence", "0", "Nats-Expected-Last-Subject-Sequence-Subject", ">"},
	} {
		t.Run(name, func(t *testing.T) { newWalled(t).denied(10071, headers...) })
	}
	t.Run("one that holds stores its own alone", func(t *testing.T) {
		w := newWalled(t)
		w.submit(w.globex, "globex", "r1")
		w.submit(w.acme, "acme", "x", "Nats-Expected-Last-Subject-Sequence", "1", "Nats-Expected-Last-Subject-Sequence-Subject", globex)
		w.stored("acme", "x", 2)
		w.stored("globex", "r1", 1)
		w.whole()
	})
}

// stored wants a request to stand at a sequence of the ingress stream.
func (w *walled) stored(tenant, id string, seq uint64) {
	w.t.Helper()
	m, found, err := leader(w.js).Last(w.t.Context(), broker.StreamIngress, messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: tenant, ID: id}))
	if err != nil || !found || m.Seq != seq {
		w.t.Errorf("%s.%s stands at %d, found %v: %v", tenant, id, m.Seq, found, err)
	}
}

func TestAttackByExpectedStreamAndMessage(t *testing.T) {
	newWalled(t).denied(10060, "Nats-Expected-Stream", "OTHER")
	newWalled(t).denied(10070, "Nats-Expected-Last-Msg-Id", "x")
}

// A message id is the whole stream's for a moment. A collision is no acceptance and says so; what is sent without an id, as
// flowgate's own commands do, is stored whatever a neighbour sends.
func TestAttackByCollidingMessageID(t *testing.T) {
	w := newWalled(t)
	w.submit(w.acme, "acme", "first", "Nats-Msg-Id", "globex-r1")
	ack, err := w.try(w.globex, "globex", "r1", "Nats-Msg-Id", "globex-r1")
	if err != nil {
		t.Fatal(err)
	}
	if !ack.Duplicate { // the window of 100 ms had passed: it is stored
		w.stored("globex", "r1", ack.Sequence)
		return
	}
	if again := w.submit(w.globex, "globex", "r1"); again.Duplicate || again.Sequence == ack.Sequence {
		t.Errorf("sent again it is answered with %+v", again)
	}
	w.stored("globex", "r1", 2)
}

func TestAttackByTraceHeader(t *testing.T) {
	w := newWalled(t)
	w.submit(w.globex, "globex", "r1")
	heard := w.heard()
	for i, dest := range []string{messages.ResultSubject(globexKey()), messages.WorkSubject(0, messages.StateDone, messages.ClassStd, globexKey())} {
		if err := w.acme.PublishMsg(request("acme", "trace-"+strconv.Itoa(i), "Nats-Trace-Dest", dest)); err != nil {
			t.Fatal(err)
		}
	}
	w.settled()
	for _, line := range heard() {
		if !strings.HasPrefix(line, "flowgate.request.std.acme.") {
			t.Errorf("heard %s", line)
		}
	}
	nothingStored(t, w.js)
}

// What the broker stores tells nothing that a producer forged about who it is.
func TestAttackByForgedRequestInfo(t *testing.T) {
	w := newWalled(t)
	w.submit(w.acme, "acme", "x", "Nats-Request-Info", `{"acc":"FLOWGATE","user":"operator"}`)
	m, found, err := leader(w.js).Last(t.Context(), broker.StreamIngress, messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: "x"}))
	if err != nil || !found || len(m.Header) != 0 {
		t.Errorf("stored with the headers %v, found %v: %v", m.Header, found, err)
	}
}

func TestSameIDFromTwoTenantsIsTwoRequests(t *testing.T) {
	w := newWalled(t)
	first, second := w.submit(w.acme, "acme", "same"), w.submit(w.globex, "globex", "same")
	if first.Sequence == second.Sequence {
		t.Errorf("%+v and %+v are one", first, second)
	}
	w.stored("acme", "same", first.Sequence)
	w.stored("globex", "same", second.Sequence)
}

// closed waits until a connection was cut off and does not come back.
func (w *walled) closed(conn *nats.Conn, user string) {
	w.t.Helper()
	changed := conn.StatusChanged(nats.CLOSED) // before it is looked at, or the change between is missed
	deadline := time.After(30 * time.Second)
	for !conn.IsClosed() {
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("%s is still connected: %s", user, conn.Status())
		}
	}
	if again, err := nats.Connect(w.url, w.logins[user]); !errors.Is(err, nats.ErrAuthorization) {
		if err == nil {
			again.Close()
		}
		w.t.Errorf("%s connects again: %v", user, err)
	}
}

// rebuilt puts up walls without some keys, and others in their place.
func (w *walled) rebuilt(tenant string, keys func([]broker.Key) []broker.Key) {
	w.t.Helper()
	for i, t := range w.walls.Tenants {
		if t.Name == tenant {
			w.walls.Tenants[i].Keys = keys(slices.Clone(t.Keys))
		}
	}
	if err := w.srv.Rebuild(w.walls); err != nil {
		w.t.Fatal(err)
	}
}

func TestAttackBySuspendedCredential(t *testing.T) {
	w := newWalled(t)
	second := w.as("acme.second")
	before := w.state()
	w.rebuilt("acme", func([]broker.Key) []broker.Key { return nil })
	w.closed(w.acme, "acme.loader")
	w.closed(second, "acme.second")
	if after := w.state(); after != before {
		t.Errorf("a suspended tenant moved the streams, from\n%sto\n%s", before, after)
	}
	w.submit(w.globex, "globex", "r1")
}

func TestAttackByRotatedOutCredential(t *testing.T) {
	w := newWalled(t)
	second := w.as("acme.second")
	public, login := key(t)
	before := w.state()
	w.rebuilt("acme", func(keys []broker.Key) []broker.Key { keys[0].Public = public; return keys })
	w.closed(w.acme, "acme.loader")
	if after := w.state(); after != before {
		t.Errorf("a rotated-out credential moved the streams, from\n%sto\n%s", before, after)
	}
	w.logins["acme.loader"] = login
	w.submit(w.as("acme.loader"), "acme", "new")
	w.submit(second, "acme", "other")
	if second.Stats().Reconnects != 0 {
		t.Error("the other credential of the tenant was cut off too")
	}
}

func TestAttackWithoutACredential(t *testing.T) {
	w := newWalled(t)
	theirs, _ := key(t)
	pair := w.walls.Tenants[1].Keys[0].Public
	for name, login := range map[string]nats.Option{
		"none":                       func(*nats.Options) error { return nil },
		"a stranger's key":           nats.Nkey(theirs, func([]byte) ([]byte, error) { return make([]byte, 64), nil }),
		"a key without its seed":     nats.Nkey(pair, func([]byte) ([]byte, error) { return make([]byte, 64), nil }),
		"the name of the operator":   nats.UserInfo(broker.OperatorUser, ""),
		"the name of a tenant":       nats.UserInfo("TENANT_globex", ""),
		"the name of anonymous ones": nats.UserInfo("producer", ""),
		"a token":                    nats.Token("x"),
	} {
		conn, err := nats.Connect(w.url, login)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	nothingStored(t, w.js)
}

package broker_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

func TestStartRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	operator := broker.Credentials{Password: "x"}
	for name, c := range map[string]struct {
		options broker.Options
		want    []string
	}{
		"a taken port":            {broker.Options{Dir: t.TempDir(), Listen: l.Addr().String(), Operator: operator}, []string{l.Addr().String(), "choose another address"}},
		"an address without port": {broker.Options{Dir: t.TempDir(), Listen: "localhost", Operator: operator}, []string{`"localhost"`}},
		"a port over 65535":       {broker.Options{Dir: t.TempDir(), Listen: "127.0.0.1:70000", Operator: operator}, []string{"from 0 to 65535"}},
		"no password":             {broker.Options{Dir: t.TempDir()}, []string{"no password"}},
	} {
		t.Run(name, func(t *testing.T) {
			srv, err := broker.Start(t.Context(), c.options)
			if err == nil {
				srv.Shutdown()
				t.Fatal("started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %q", err, want)
				}
			}
		})
	}
}

func TestServerKeepsWhatItStoredAndItsFolderToItself(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	start := func() *broker.Server {
		srv, err := broker.Start(t.Context(), broker.Options{Dir: dir, Sync: true, Operator: broker.Credentials{Password: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(srv.Shutdown)
		return srv
	}
	srv := start()
	if srv.URL() != "" {
		t.Errorf("listens on %s", srv.URL())
	}
	nc, js := workertest.Conn(t, srv)
	topology := workertest.Topology(t, js, queues())
	if _, err := js.Publish(t.Context(), "flowgate.request.rt.acme.r1", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	srv.Shutdown()
	for path, want := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, "nats"): 0o700} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}

	_, js = workertest.Conn(t, start())
	diffs, err := broker.Check(t.Context(), js, topology)
	if err != nil || len(diffs) != 1 || diffs[0].Breaks() { // what lies in the server's memory is gone
		t.Fatal(diffs, err)
	}
	m, found, err := leader(js).Get(t.Context(), broker.StreamIngress, 1)
	if err != nil || !found || string(m.Data) != "{}" {
		t.Fatal(m, found, err)
	}
}

func TestProducer(t *testing.T) {
	srv := workertest.Server(t)
	operator, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, queues())
	nc := workertest.Producer(t, srv)
	k := messages.Key{Tenant: "acme", ID: "r1"}

	t.Run("publishes a request and gets the acknowledgement", func(t *testing.T) {
		answer, err := nc.Request(messages.RequestSubject(messages.ClassStd, k), []byte("{}"), 5*time.Second)
		if err != nil || string(answer.Data) != `{"stream":"FLOWGATE_INGRESS","seq":1}` {
			t.Fatal(answer, err)
		}
		answer, err = nc.Request(messages.RequestSubject(messages.ClassStd, k), []byte("{}"), 5*time.Second)
		if err != nil || !strings.Contains(string(answer.Data), "maximum messages per subject exceeded") {
			t.Fatal(answer, err)
		}
	})
	t.Run("asks for a result and gets it in pieces", func(t *testing.T) {
		sub, err := operator.Subscribe("flowgate.get.result.*.*", func(m *nats.Msg) {
			for _, piece := range []string{"a", "b", "c"} {
				if err := m.Respond([]byte(piece)); err != nil {
					t.Error(err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer unsubscribe(t, sub)
		if err := operator.Flush(); err != nil {
			t.Fatal(err)
		}
		inbox := nc.NewInbox()
		answers, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		defer unsubscribe(t, answers)
		if err := nc.PublishRequest(messages.GetResultSubject(k), inbox, nil); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"a", "b", "c"} {
			m, err := answers.NextMsg(5 * time.Second)
			if err != nil || string(m.Data) != want {
				t.Fatal(m, err)
			}
		}
	})
	t.Run("is woken by done", func(t *testing.T) {
		sub, err := nc.SubscribeSync(messages.ResultSubject(k))
		if err != nil {
			t.Fatal(err)
		}
		all, err := nc.SubscribeSync("flowgate.result.>")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := publish(t, js, transition(messages.StateDone, k, 0, "t")); err != nil {
			t.Fatal(err)
		}
		for _, sub := range []*nats.Subscription{sub, all} {
			m, err := sub.NextMsg(5 * time.Second)
			if err != nil || m.Header.Get(messages.HeaderToken) != "t" {
				t.Fatal(m, err)
			}
		}
	})
}

func unsubscribe(t *testing.T, sub *nats.Subscription) {
	t.Helper()
	if err := sub.Unsubscribe(); err != nil {
		t.Error(err)
	}
}

func TestProducerIsRefused(t *testing.T) {
	srv := workertest.Server(t)
	_, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, queues())
	refusals := make(chan error, 10)
	nc := workertest.Producer(t, srv, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err }))
	refused := func(t *testing.T) {
		t.Helper()
		select {
		case err := <-refusals:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Fatal(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("was not refused")
		}
	}
	k := messages.Key{Tenant: "acme", ID: "r1"}
	for _, subject := range []string{
		messages.WorkSubject(0, messages.StateDone, messages.ClassStd, k), messages.ReplaySubject(messages.ClassStd, k, 1),
		messages.EventSubject("acme", "x"), messages.ResultSubject(k), "$JS.API.STREAM.NAMES", "$JS.API.STREAM.MSG.GET.FLOWGATE_INGRESS",
		"$KV.flowgate_control.cancel.acme.r1.0", "$SYS.REQ.SERVER.PING", "_INBOX.x",
	} {
		t.Run("publishing "+subject, func(t *testing.T) {
			if err := nc.Publish(subject, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			refused(t)
		})
	}
	for _, subject := range []string{">", "flowgate.work.>", "flowgate.request.>", "flowgate.event.>", "$KV.>", "_R_.>"} {
		t.Run("subscribing "+subject, func(t *testing.T) {
			if _, err := nc.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			refused(t)
		})
	}
	t.Run("a wrong password is no way in", func(t *testing.T) {
		nc, err := nats.Connect(srv.URL(), nats.UserInfo(broker.OperatorUser, "wrong"))
		if err == nil {
			nc.Close()
			t.Fatal("connected")
		}
	})
	nothingStored(t, js)
}

// The server writes its acknowledgement to whatever reply subject it is given.
func TestProducerCannotReachInsideByReplySubject(t *testing.T) {
	srv := workertest.Server(t)
	operator, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, queues())
	nc := workertest.Producer(t, srv, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // traces are refused
	k := messages.Key{Tenant: "acme", ID: "r1"}
	heard, err := operator.SubscribeSync("flowgate.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := operator.Flush(); err != nil {
		t.Fatal(err)
	}
	inside := []string{
		messages.WorkSubject(0, messages.StateDone, messages.ClassStd, k), messages.ReplaySubject(messages.ClassStd, k, 1),
		messages.EventSubject("acme", "x"), messages.ResultSubject(k), "$JS.API.STREAM.PURGE.FLOWGATE_WORK_0",
	}
	for i, reply := range inside {
		replied := nats.NewMsg(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: "reply-" + strconv.Itoa(i)}))
		replied.Reply = reply
		traced := nats.NewMsg(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: "trace-" + strconv.Itoa(i)}))
		traced.Header.Set("Nats-Trace-Dest", reply)
		if err := errors.Join(nc.PublishMsg(replied), nc.PublishMsg(traced)); err != nil {
			t.Fatal(err)
		}
	}
	// Connections are served in order: what came before has been answered too.
	last, err := nc.Request(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: "last"}), nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(last.Data), "FLOWGATE_INGRESS") {
		t.Fatalf("answered with %s", last.Data)
	}
	nothingStored(t, js)
	for i := range inside {
		_, found, err := leader(js).Last(t.Context(), broker.StreamIngress, "flowgate.request.std.acme.reply-"+strconv.Itoa(i))
		if err != nil || !found {
			t.Errorf("the request with reply subject %s was not taken: %v", inside[i], err)
		}
	}
	for {
		m, err := heard.NextMsg(10 * time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(m.Subject, "flowgate.request.") {
			t.Errorf("%s was heard on %s", m.Data, m.Subject)
		}
	}
}

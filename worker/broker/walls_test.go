package broker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

// key is a fresh nkey of a user: the public part, and the login by it.
func key(t *testing.T) (public string, login nats.Option) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return public, nats.Nkey(public, pair.Sign)
}

// walled is a real server with the streams of flowgate and two tenants: acme, who attacks, and globex.
type walled struct {
	t        *testing.T
	srv      *broker.Server // nil where it is not flowgate's own
	url      string
	walls    broker.Walls
	operator *nats.Conn
	js       jetstream.JetStream
	// logins are those of users by their names.
	logins map[string]nats.Option
	// acme and globex are connections of the tenants; refusals are what acme was told.
	acme, globex *nats.Conn
	refusals     chan error
}

func newWalled(t *testing.T) *walled {
	t.Helper()
	w := tenantsOf(t)
	w.srv = workertest.Server(t, func(o *broker.Options) { o.Walls = w.walls })
	w.url = w.srv.URL()
	operator, _ := workertest.Conn(t, w.srv)
	w.connect(operator)
	return w
}

// tenantsOf are the two tenants, before there is a server.
func tenantsOf(t *testing.T) *walled {
	t.Helper()
	w := &walled{t: t, logins: map[string]nats.Option{}, refusals: make(chan error, 64)}
	for _, user := range [][]string{{"acme", "loader", "second"}, {"globex", "loader"}} {
		tenant := broker.Tenant{Name: user[0]}
		for _, name := range user[1:] {
			public, login := key(t)
			tenant.Keys = append(tenant.Keys, broker.Key{Name: tenant.Name + "." + name, Public: public})
			w.logins[tenant.Name+"."+name] = login
		}
		w.walls.Tenants = append(w.walls.Tenants, tenant)
	}
	return w
}

// connect makes the streams as the operator, and connects the tenants.
func (w *walled) connect(operator *nats.Conn) {
	w.t.Helper()
	var err error
	if w.js, err = jetstream.New(operator); err != nil {
		w.t.Fatal(err)
	}
	w.operator = operator
	workertest.Topology(w.t, w.js, queues())
	w.acme = w.as("acme.loader", nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { w.refusals <- err }))
	w.globex = w.as("globex.loader")
}

// as connects as a user.
func (w *walled) as(user string, options ...nats.Option) *nats.Conn {
	w.t.Helper()
	conn, err := nats.Connect(w.url, append(options, w.logins[user], nats.ReconnectWait(10*time.Millisecond))...)
	if err != nil {
		w.t.Fatalf("connecting as %s: %v", user, err)
	}
	w.t.Cleanup(conn.Close)
	return conn
}

// submit publishes a request and returns the broker's answer.
func (w *walled) submit(conn *nats.Conn, tenant, id string, headers ...string) jetstream.PubAck {
	w.t.Helper()
	ack, err := w.try(conn, tenant, id, headers...)
	if err != nil {
		w.t.Fatalf("%s.%s: %v", tenant, id, err)
	}
	return ack
}

func (w *walled) try(conn *nats.Conn, tenant, id string, headers ...string) (jetstream.PubAck, error) {
	w.t.Helper()
	m := request(tenant, id, headers...)
	m.Data = []byte("{}")
	answer, err := conn.RequestMsg(m, 5*time.Second)
	if err != nil {
		return jetstream.PubAck{}, err
	}
	var ack struct {
		jetstream.PubAck

		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return ack.PubAck, err
	}
	if ack.Error != nil {
		return ack.PubAck, ack.Error
	}
	return ack.PubAck, nil
}

// request is a message for a request's subject with headers: names and values.
func request(tenant, id string, headers ...string) *nats.Msg {
	m := nats.NewMsg(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: tenant, ID: id}))
	for i := 0; i+1 < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	return m
}

// refused waits until acme was told that it may not.
func (w *walled) refused() {
	w.t.Helper()
	select {
	case err := <-w.refusals:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			w.t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		w.t.Fatal("was not refused")
	}
}

// settled returns when everything that acme sent was served: connections are served in order.
func (w *walled) settled() {
	w.t.Helper()
	if err := errors.Join(w.acme.Flush(), w.operator.Flush(), w.globex.Flush()); err != nil {
		w.t.Fatal(err)
	}
}

// state is how all streams stand: the subjects and counts of each.
func (w *walled) state() string {
	w.t.Helper()
	var all strings.Builder
	streams := w.js.ListStreams(w.t.Context())
	for info := range streams.Info() {
		s, err := w.js.Stream(w.t.Context(), info.Config.Name)
		if err != nil {
			w.t.Fatal(err)
		}
		found, err := s.Info(w.t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s: first %d, last %d, %v, %d consumers\n", info.Config.Name, found.State.FirstSeq, found.State.LastSeq,
			found.State.Subjects, found.State.Consumers)
	}
	if err := streams.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all.String()
}

// unmoved fails where the streams do not stand as before.
func (w *walled) unmoved(before string) {
	w.t.Helper()
	w.settled()
	if after := w.state(); after != before {
		w.t.Errorf("the attack moved the streams, from\n%sto\n%s", before, after)
	}
}

// whole fails unless globex can submit, and acme too.
func (w *walled) whole() {
	w.t.Helper()
	w.submit(w.globex, "globex", "after")
	w.submit(w.acme, "acme", "after")
}

// heard is what globex and the operator hear meanwhile, each line a subject and its message.
func (w *walled) heard() func() []string {
	w.t.Helper()
	var subs []*nats.Subscription
	for subject, conn := range map[string]*nats.Conn{
		"flowgate.>": w.operator, "$KV.>": w.operator, "$O.>": w.operator, "$SRV.>": w.operator,
		"flowgate.result.globex.>": w.globex, "_INBOX.known.>": w.globex,
	} {
		sub, err := conn.SubscribeSync(subject)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := conn.Flush(); err != nil {
			w.t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	return func() []string {
		w.settled()
		var all []string
		for _, sub := range subs {
			for n, _, err := sub.Pending(); err == nil && n > 0; n-- {
				m, err := sub.NextMsg(time.Second)
				if err != nil {
					w.t.Fatal(err)
				}
				all = append(all, m.Subject+" "+string(m.Data))
			}
		}
		return all
	}
}

package broker_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

func asAPIError(err error, target **jetstream.APIError) bool { return errors.As(err, target) }

// transition is the publication of a state under the law: it names the sequence that it acts on.
func transition(s messages.State, k messages.Key, expect uint64, token string) *nats.Msg {
	m := nats.NewMsg(messages.WorkSubject(0, s, messages.ClassStd, k))
	m.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(expect, 10))
	m.Header.Set("Nats-Expected-Last-Subject-Sequence-Subject", messages.Family(0, k))
	m.Header.Set(messages.HeaderToken, token)
	m.Data = []byte(token)
	return m
}

func publish(t testing.TB, js jetstream.JetStream, m *nats.Msg) (uint64, error) {
	t.Helper()
	f, err := js.PublishMsgAsync(m)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	select {
	case ack := <-f.Ok():
		return ack.Sequence, nil
	case err := <-f.Err():
		return 0, err
	case <-ctx.Done():
		t.Fatal("no answer")
		return 0, nil
	}
}

func TestTheLawHoldsInTheBroker(t *testing.T) {
	srv := workertest.Server(t)
	_, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, queues())
	k := messages.Key{Tenant: "acme", ID: "r1"}
	must := func(s messages.State, expect uint64, token string) uint64 {
		t.Helper()
		seq, err := publish(t, js, transition(s, k, expect, token))
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	refused := func(s messages.State, expect uint64) {
		t.Helper()
		_, err := publish(t, js, transition(s, k, expect, "late"))
		var api *jetstream.APIError
		if !asAPIError(err, &api) || api.ErrorCode != 10071 {
			t.Fatalf("acting on %d is answered with %v", expect, err)
		}
	}
	other := messages.Key{Tenant: "acme", ID: "r2"}
	ai := must(messages.StateAI, 0, "a")
	refused(messages.StateAI, 0)
	if _, err := publish(t, js, transition(messages.StateAI, other, 0, "o")); err != nil {
		t.Fatal(err)
	}
	calling := must(messages.StateCalling, ai, "b")
	refused(messages.StateDone, ai)
	refused(messages.StateDone, calling+100)
	done := must(messages.StateDone, calling, "c")

	m, found, err := leader(js).Last(t.Context(), broker.WorkStream(0), messages.Family(0, k))
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if m.Seq != done || m.Header.Get(messages.HeaderToken) != "c" || string(m.Data) != "c" || m.Time.IsZero() ||
		m.Subject != messages.WorkSubject(0, messages.StateDone, messages.ClassStd, k) {
		t.Fatalf("newest is %+v", m)
	}
	_, found, err = leader(js).Last(t.Context(), broker.WorkStream(0), messages.Family(0, messages.Key{Tenant: "acme", ID: "none"}))
	if err != nil || found {
		t.Fatal(found, err)
	}

	t.Run("a state acted on stays refused after everything was purged", func(t *testing.T) {
		s, err := js.Stream(t.Context(), broker.WorkStream(0))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		refused(messages.StateDone, calling)
		refused(messages.StateDone, done)
		_, found, err := leader(js).Get(t.Context(), broker.WorkStream(0), done)
		if err != nil || found {
			t.Fatal(found, err)
		}
		bounds, err := leader(js).Bounds(t.Context(), broker.WorkStream(0))
		if err != nil || bounds.Last != done || bounds.First != done+1 || bounds.Created.IsZero() {
			t.Fatal(bounds, err)
		}
	})
}

func TestReads(t *testing.T) {
	srv := workertest.Server(t)
	_, js := workertest.Conn(t, srv)
	workertest.Topology(t, js, queues())
	stream := broker.WorkStream(0)
	for i, state := range []messages.State{messages.StateAI, messages.StateHold, messages.StateAI} {
		if _, err := js.Publish(t.Context(), messages.WorkSubject(0, state, messages.ClassRT, messages.Key{Tenant: "acme", ID: strconv.Itoa(i)}), nil); err != nil {
			t.Fatal(err)
		}
	}
	m, found, err := leader(js).Get(t.Context(), stream, 2)
	if err != nil || !found || m.Seq != 2 {
		t.Fatal(m, found, err)
	}
	m, found, err = leader(js).Next(t.Context(), stream, 2, "flowgate.work.0.ai.rt.*.*")
	if err != nil || !found || m.Seq != 3 {
		t.Fatal(m, found, err)
	}
	_, found, err = leader(js).Next(t.Context(), stream, 3, "flowgate.work.0.hold.rt.*.*")
	if err != nil || found {
		t.Fatal(found, err)
	}
	if _, found, err = leader(js).Get(t.Context(), stream, 0); err != nil || found {
		t.Fatal(found, err)
	}
	if _, _, err = leader(js).Last(t.Context(), "NONE", "x"); err == nil {
		t.Fatal("a stream that is not there has answered")
	}
}

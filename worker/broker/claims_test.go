package broker_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

func openClaims(t *testing.T) (*broker.Claims, jetstream.JetStream) {
	t.Helper()
	_, js := workertest.Conn(t, workertest.Server(t))
	workertest.Topology(t, js, queues())
	claims, err := broker.OpenClaims(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	return claims, js
}

func bodiesLeft(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), "OBJ_"+broker.BucketBodies)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func TestClaims(t *testing.T) {
	claims, js := openClaims(t)
	workertest.RunClaimTests(t, claims)
	t.Run("the pieces that several putters at once left are swept", func(t *testing.T) {
		if _, err := claims.Sweep(t.Context(), 0, nil); err != nil {
			t.Fatal(err)
		}
		if n := bodiesLeft(t, js); n != 0 {
			t.Fatalf("%d messages are left", n)
		}
	})
}

func TestClaimOfWhichPiecesAreGone(t *testing.T) {
	claims, js := openClaims(t)
	claim, err := claims.Put(t.Context(), messages.Key{Tenant: "acme", ID: "r1"}, 0, make([]byte, 100<<10))
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "OBJ_"+broker.BucketBodies)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context(), jetstream.WithPurgeSubject("$O."+broker.BucketBodies+".C.>")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200_000_000)
	defer cancel()
	if _, err := claims.Get(ctx, claim); err == nil {
		t.Fatal("got a body without pieces")
	}
	if err := claims.Delete(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if n := bodiesLeft(t, js); n != 0 {
		t.Fatalf("%d messages are left", n)
	}
}

func TestClaimStoreMustBeThere(t *testing.T) {
	_, js := workertest.Conn(t, workertest.Server(t))
	if _, err := broker.OpenClaims(t.Context(), js); err == nil {
		t.Fatal("opened a bucket that is not there")
	}
}

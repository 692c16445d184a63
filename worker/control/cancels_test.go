package control_test

import (
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker/control"
)

func TestACancellationIsKnownEverywhereAndForgotten(t *testing.T) {
	js := setup(t)
	cancels, err := control.OpenCancels(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	key := messages.Key{Tenant: "acme", ID: "r1"}
	say := func(c control.Cancellation) {
		t.Helper()
		if err := cancels.Say(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	say(control.Cancellation{Key: key, Epoch: 2, Reason: "by mistake", By: "ops", At: now, Expires: now.Add(time.Hour)})
	say(control.Cancellation{Key: messages.Key{Tenant: "acme", ID: "b7"}, Batch: true, At: now, Expires: now.Add(time.Minute)})
	w := watch(t, js)
	until(t, "cancelled", func() bool { _, said := w.Cancelled(key, 2, now); return said })
	if c, _ := w.Cancelled(key, 2, now); c.Reason != "by mistake" || c.By != "ops" || c.Version == 0 || !c.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", c)
	}
	for _, other := range []struct {
		tenant, id string
		epoch      int
		asked      time.Time
		want       bool
	}{
		{"acme", "r1", 1, now, false},
		{"other", "r1", 2, now, false},
		{"acme", "b7-12", 0, now.Add(time.Hour), true},
		{"acme", "b7-12", 1, now.Add(time.Hour), false},
		{"acme", "b7-12", 1, now.Add(-time.Hour), true},
		{"acme", "b7", 0, now, false},
		{"acme", "b70-1", 0, now, false},
	} {
		if _, said := w.Cancelled(messages.Key{Tenant: other.tenant, ID: other.id}, other.epoch, other.asked); said != other.want {
			t.Errorf("%+v: %t", other, said)
		}
	}
	late := messages.Key{Tenant: "acme", ID: "late"}
	say(control.Cancellation{Key: late, At: now, Expires: now.Add(time.Hour)})
	until(t, "heard", func() bool { _, said := w.Cancelled(late, 0, now); return said })

	if n, err := cancels.Forget(t.Context(), now.Add(2*time.Minute)); err != nil || n != 1 {
		t.Fatalf("%d forgotten, %v", n, err)
	}
	all, err := cancels.List(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != "r1" {
		t.Fatalf("%+v, %v", all, err)
	}
	stream, err := js.Stream(t.Context(), "KV_"+control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.NumDeleted == 0 {
		t.Errorf("a marker is left: %+v, %v", info, err)
	}
	newcomer := watch(t, js)
	until(t, "known to a newcomer", func() bool { _, said := newcomer.Cancelled(late, 0, now); return said })
	if _, said := newcomer.Cancelled(messages.Key{Tenant: "acme", ID: "b7-1"}, 0, now); said {
		t.Error("what was removed is known")
	}
}

func TestACancellationThatCannotBeReadCancelsAllTheSame(t *testing.T) {
	js := setup(t)
	kv, err := js.KeyValue(t.Context(), control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"cancel.acme.r1.0": "{", "cancel.acme.b1.batch": strings.Repeat("x", 10<<10), "cancel.acme.r1.-1": "{}", "cancel.acme.r1.01": "{}",
		"cancel.acme.r1": "{}", "cancel.ACME.r1.0": "{}", "cancel.acme.r1.0.0": "{}",
	} {
		if _, err := kv.PutString(t.Context(), name, value); err != nil {
			t.Fatal(err)
		}
	}
	w := watch(t, js)
	until(t, "cancelled", func() bool {
		_, one := w.Cancelled(messages.Key{Tenant: "acme", ID: "r1"}, 0, time.Now())
		_, batch := w.Cancelled(messages.Key{Tenant: "acme", ID: "b1-1"}, 0, time.Now())
		return one && batch
	})
	cancels, err := control.OpenCancels(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	all, err := cancels.List(t.Context())
	if err != nil || len(all) != 2 || all[0].Expires.Before(time.Now().Add(time.Hour)) {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestBadCancellationsAreRefused(t *testing.T) {
	js := setup(t)
	cancels, err := control.OpenCancels(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	good := messages.Key{Tenant: "acme", ID: "r1"}
	for name, c := range map[string]control.Cancellation{
		"wildcard": {Key: messages.Key{Tenant: "acme", ID: "*"}}, "tenant": {Key: messages.Key{Tenant: "A", ID: "r1"}},
		"two lines": {Key: good, Reason: "a\nb"}, "long": {Key: good, Reason: strings.Repeat("x", control.MaxReason+1)},
		"by": {Key: good, By: strings.Repeat("x", control.MaxBy+1)},
	} {
		if err := cancels.Say(t.Context(), c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := cancels.Room(t.Context(), control.MaxCancels+1); err == nil {
		t.Error("there is room for more than the most")
	}
	if err := cancels.Room(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

package control_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/pipelines/flow"
	"flowgate/worker/control"
	"flowgate/worker/workertest"
)

func entry(trigger string, state flow.State, revision int64) flow.Entry {
	return flow.Entry{
		Agreement: flow.Agreement{Trigger: trigger, FlowEncoding: "@a#b!c@d", Action: "x", Parameters: map[string]any{"n": 3.0}},
		State:     state, Revision: revision,
	}
}

func publish(t *testing.T, js jetstream.JetStream, e flow.Entry) {
	t.Helper()
	if err := control.PublishAgreement(t.Context(), js, e); err != nil {
		t.Fatal(err)
	}
}

func TestAnAgreementIsKnownEverywhereAsItStandsLast(t *testing.T) {
	t.Parallel()
	js := setup(t)
	long := "[" + strings.Repeat("Ä. *>", 50) + "]" // no key could hold it
	publish(t, js, entry(long, flow.StateApproved, 1))
	w := watch(t, js)
	stands := func(trigger string, state flow.State, revision int64) func() bool {
		return func() bool {
			book, err := w.Agreements()
			e, found := book.Find(trigger)
			return err == nil && found && e.State == state && e.Revision == revision
		}
	}
	until(t, "what was there before", stands(long, flow.StateApproved, 1))
	publish(t, js, entry("[B]", flow.StateApproved, 2))
	until(t, "another", stands("[B]", flow.StateApproved, 2))
	publish(t, js, entry(long, flow.StateSuspended, 3))
	until(t, "suspended", stands(long, flow.StateSuspended, 3))
	publish(t, js, entry(long, flow.StateApproved, 1)) // whoever is late changes nothing
	publish(t, js, entry("[B]", flow.StateSuspended, 4))
	until(t, "the last word", stands("[B]", flow.StateSuspended, 4))
	if !stands(long, flow.StateSuspended, 3)() {
		t.Error("an older word took the place of a newer one")
	}
}

func TestAnAgreementThatCannotBeReadStopsDecisions(t *testing.T) {
	t.Parallel()
	js := setup(t)
	publish(t, js, entry("[A]", flow.StateApproved, 1))
	w := watch(t, js)
	until(t, "readable", func() bool { b, err := w.Agreements(); return err == nil && len(b.Triggers()) == 1 })
	kv, err := js.KeyValue(t.Context(), control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.ListKeysFiltered(t.Context(), "agreement.>")
	if err != nil {
		t.Fatal(err)
	}
	key := <-keys.Keys()
	for _, value := range []string{`{`, `{"v":99,"entry":{}}`, `{"v":1,"entry":{"trigger":"[Another]"}}`} {
		if _, err := kv.PutString(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
		until(t, "unusable: "+value, func() bool { _, err := w.Agreements(); return err != nil })
		publish(t, js, entry("[A]", flow.StateApproved, 1))
		until(t, "published again", func() bool { b, err := w.Agreements(); return err == nil && len(b.Triggers()) == 1 })
	}
}

func TestAllAgreementsAreToldBeforeAnythingIsDecidedByThem(t *testing.T) {
	t.Parallel()
	js := setup(t)
	w := watch(t, js)
	publish(t, js, entry("[Gone]", flow.StateApproved, 1))
	publish(t, js, entry("[New]", flow.StateApproved, 9))
	until(t, "both are heard of", func() bool { b, err := w.Agreements(); return err == nil && len(b.Triggers()) == 2 })
	if complete, newest := w.Told(); complete || newest != 9 {
		t.Errorf("complete %v, newest %d", complete, newest)
	}
	for range 2 {
		if err := control.PublishAgreements(t.Context(), js, []flow.Entry{entry("[A]", flow.StateApproved, 2)}, 3); err != nil {
			t.Fatal(err)
		}
		until(t, "all are told, what is no more is gone, and what is newer stays", func() bool {
			complete, _ := w.Told()
			b, err := w.Agreements()
			return complete && err == nil && strings.Join(b.Triggers(), " ") == "[A] [New]"
		})
	}
	late := watch(t, js)
	until(t, "known from the start", func() bool { complete, newest := late.Told(); return complete && newest == 9 })
	if err := js.DeleteKeyValue(t.Context(), control.Bucket); err != nil {
		t.Fatal(err)
	}
	workertest.Topology(t, js, nil)
	until(t, "a bucket that was made anew has told nothing", func() bool { complete, _ := w.Told(); return !complete })
}

package postgres_test

import (
	"slices"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

func alerted(seq uint64, scope string, mark float64, limit int64) worker.EventRecord {
	at := time.Now().UTC()
	return worker.EventRecord{Seq: seq, At: at, Event: messages.Event{
		V: 1, Kind: messages.EventBudgetAlert, Key: messages.Key{Tenant: "acme"}, At: at,
		Alert: &messages.AlertNote{Kind: "tenant", Name: "*", Window: "day", Scope: scope, Mark: mark, Limit: limit, Spent: limit},
	}}
}

func TestAnAlertIsRecordedOnceHoweverOftenItIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const day, other = "tenant:acme:day:2026-01-31", "user:acme/anna:day:2026-01-31"
	seq := uint64(0)
	tell := func(want int, alerts ...worker.EventRecord) {
		t.Helper()
		batch := worker.RecordBatch{From: b.position, To: worker.Position{Stream: b.position.Stream, Incarnation: "first"}}
		for i := range alerts {
			seq++
			alerts[i].Seq = seq
		}
		batch.Events, batch.To.Seq = alerts, seq
		if _, err := b.Commit(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		b.position = batch.To
		if n := count[int](t, b, "SELECT count(*) FROM flowgate.event WHERE kind = 'budget_alert' AND body -> 'alert' ->> 'scope' <> ''"); n != want {
			t.Errorf("%d events of alerts are recorded, want %d", n, want)
		}
	}
	tell(1, alerted(0, day, 80, 100))
	tell(1, alerted(0, day, 80, 100), alerted(0, day, 80, 100)) // by two processes at once, after a restart
	tell(3, alerted(0, day, 95, 100), alerted(0, day, 95, 100), alerted(0, other, 80, 100))
	tell(4, alerted(0, day, 80, 200)) // it was raised
	alerts, err := b.Alerts(t.Context(), ":day:2026-01-31", 100)
	if err != nil || len(alerts) != 4 || alerts[0].Scope != day || alerts[0].Mark != 80 || alerts[3].Scope != other || alerts[0].At.IsZero() {
		t.Errorf("%+v, %v", alerts, err)
	}
	if of, err := b.AlertsOf(t.Context(), []string{other}); err != nil || len(of) != 1 || of[0].Limit != 100 {
		t.Errorf("%+v, %v", of, err)
	}
	if none, err := b.Alerts(t.Context(), ":day:2026-02-01", 100); err != nil || len(none) != 0 {
		t.Errorf("another day has %+v, %v", none, err)
	}
}

func TestSpendingIsReadInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sql(t, `INSERT INTO flowgate.scope (name, settled, reserved) SELECT 'user:acme/u' || lpad(n::text, 3, '0') || ':day:' || d, n, 1
FROM generate_series(1, 25) n, unnest('{2026-01-30,2026-01-31}'::text[]) d`)
	b.sql(t, "INSERT INTO flowgate.scope (name) VALUES ('user:acme/u001:month:2026-01'), ('user:acme/x:ay:2026-01-31')")
	var names []string
	for after := ""; ; {
		page, err := b.Spending(t.Context(), ":day:2026-01-31", after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, s := range page {
			names = append(names, s.Scope)
		}
		after = page[len(page)-1].Scope
	}
	if len(names) != 25 || !slices.IsSorted(names) || names[0] != "user:acme/u001:day:2026-01-31" {
		t.Errorf("%q", names)
	}
}

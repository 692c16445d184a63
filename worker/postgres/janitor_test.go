package postgres_test

import (
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

func TestPartitionsAreThereAheadOfTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("a", 1, 10, scope("day", 100)))
	b.end(t, "a", 1, 1, "day")
	for _, parent := range []string{"admission_pending", "outcome"} {
		if n := count[int](t, b, "SELECT count(*) FROM flowgate."+parent+"_default"); n != 0 {
			t.Errorf("%d rows are in the default partition of %s", n, parent)
		}
	}
	b.sql(t, "SELECT flowgate.ensure_partitions(now() + interval '2 days')")
	if n := count[int](t, b, "SELECT flowgate.ensure_partitions(now() + interval '2 days')"); n != 0 {
		t.Errorf("%d partitions were made twice", n)
	}
	if err := b.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDropEndedKeepsWhatIsOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := scope("day", 1000)
	b.admit(t, member("open", 1, 10, day), member("ended", 2, 10, day), member("waits", 3, 1000, day))
	b.end(t, "ended", 1, 1, "day")
	// Seen from the day after tomorrow, all of today's partitions are old.
	for range 2 {
		if err := b.DropEndedAt(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if n := count[int](t, b, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'flowgate.admission_pending'::regclass"); n != 1 {
		t.Errorf("%d partitions are left, want the default one", n)
	}
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.admission_pending"); n != 2 {
		t.Errorf("%d decisions are left, want those of open and waits", n)
	}
	grants := b.admit(t, member("open", 1, 10, day))
	if g := grants[0]; g.Outcome != worker.GrantAgain || string(g.Decision) != "decision of open" {
		t.Errorf("grant is %+v", g)
	}
	b.admit(t, member("new", 9, 10, day))
	b.end(t, "open", 20, 1, "day")
	if err := b.DropEndedAt(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.admission_pending"); n != 2 {
		t.Errorf("%d decisions are left, want those of new and waits", n)
	}
	if err := b.EnsurePartitions(t.Context()); err != nil {
		t.Errorf("rows in the default partition stand in the way: %v", err)
	}
}

func TestRetainDeletesTextsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("a", 1, 10, scope("day", 100)))
	in, out := ended("a", 1, 3, "day")
	out.At = time.Now().AddDate(0, 0, -91)
	out.End.Status, out.End.Replayable, out.DeadLetter = messages.StatusPartial, true, []byte("envelope")
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
	if err := b.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count[int](t, b, "SELECT (SELECT count(*) FROM flowgate.content) + (SELECT count(*) FROM flowgate.dead_letter)"); n != 0 {
		t.Errorf("%d texts are left", n)
	}
	b.wantChecked(t)
}

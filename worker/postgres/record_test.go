package postgres_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

func TestCommitSettles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("a", 1, 1000, scope("day", 5000), scope("user", 5000)), member("b", 2, 1000, scope("day", 5000)))
	committed := b.end(t, "a", 1, 321, "day", "user")
	if len(committed.Freed)+len(committed.Second) != 0 {
		t.Errorf("committed %+v, but nobody waits", committed)
	}
	b.wantBalance(t, "day", 321, 1000)
	b.wantBalance(t, "user", 321, 0)
	b.wantChecked(t)
}

func TestCommitMovesThePositionOrNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("a", 1, 1000, scope("day", 5000)))
	in, out := ended("a", 1, 321, "day")
	batch := worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}}
	start := b.position
	b.commit(t, batch)

	t.Run("the same commit again changes nothing", func(t *testing.T) {
		batch.From, batch.To = start, b.position
		if _, err := b.Commit(t.Context(), batch); !errors.Is(err, worker.ErrPositionMoved) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("another incarnation or sequence is somebody else's position", func(t *testing.T) {
		for _, from := range []worker.Position{{Incarnation: "other", Seq: b.position.Seq}, {Incarnation: "first", Seq: b.position.Seq - 1}} {
			batch.From = from
			if _, err := b.Commit(t.Context(), batch); !errors.Is(err, worker.ErrPositionMoved) {
				t.Errorf("error is %v", err)
			}
		}
	})
	t.Run("the same messages read again change nothing", func(t *testing.T) {
		if committed := b.commit(t, batch); len(committed.Second) != 0 {
			t.Errorf("committed %+v", committed)
		}
	})
	position, err := b.Position(t.Context(), b.position.Stream)
	if err != nil || position != b.position {
		t.Errorf("position is %+v, %v", position, err)
	}
	if position, err = b.Position(t.Context(), "never"); err != nil || position != (worker.Position{Stream: "never"}) {
		t.Errorf("position of a new stream is %+v, %v", position, err)
	}
	b.wantBalance(t, "day", 321, 0)
	b.wantChecked(t)
}

func TestCommitRecordsGaps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.commit(t, worker.RecordBatch{})
	b.commit(t, worker.RecordBatch{GapTo: b.position.Seq + 4})
	b.wantChecked(t, "gaps")
}

func TestCommitSecondOutcome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("a", 1, 1000, scope("day", 5000)))
	b.end(t, "a", 1, 321, "day")
	_, late := ended("a", 5, 100, "day")
	_, later := ended("a", 6, 100, "day")
	late.History, later.History = nil, nil
	for _, batch := range [][]worker.Outcome{{late}, {late}, {late, later}} {
		committed := b.commit(t, worker.RecordBatch{Outcomes: batch})
		if len(committed.Second) != len(batch) || committed.Second[0].ID != "a" {
			t.Errorf("committed %+v", committed)
		}
	}
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.event WHERE kind = 'second_outcome'"); n != 2 {
		t.Errorf("%d events", n)
	}
	b.wantBalance(t, "day", 321, 0)
	b.wantChecked(t, "second_outcomes")
}

func TestCommitTwoOutcomesOfOneEpochTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("a", 1, 1000, scope("day", 5000)))
	in, first := ended("a", 1, 321, "day")
	_, second := ended("a", 8, 999, "day")
	second.History = nil
	committed := b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in, in}, Outcomes: []worker.Outcome{first, second}})
	if len(committed.Second) != 1 {
		t.Errorf("committed %+v", committed)
	}
	b.wantBalance(t, "day", 321, 0)
	b.wantChecked(t, "second_outcomes")
}

// An attempt is seen in the state calling, in attempt_end and in the outcome. In every order, however often, and together
// or apart, it is charged once, at the known cost.
func TestCommitAttemptsInAnyOrder(t *testing.T) {
	t.Parallel()
	at := time.Now().UTC()
	call := messages.Attempt{K: 1, Layer: messages.LayerAI, Backend: "b", Model: "m", StartedAt: at, BoundMicroUSD: 500}
	with := func(billing messages.Billing, cost int64) messages.Attempt {
		a := call
		a.Billing, a.CostMicroUSD = billing, cost
		return a
	}
	address := messages.Address{Key: messages.Key{Tenant: "acme", ID: "a"}, Class: messages.ClassStd}
	calling := worker.RecordBatch{Callings: []worker.CallingRecord{{Stored: worker.Stored{Address: address, Seq: 2, At: at}, Attempt: call}}}
	known, doubt := with(messages.BillingKnown, 123), with(messages.BillingInDoubt, 500)
	event := worker.RecordBatch{Events: []worker.EventRecord{{Seq: 1, At: at, Event: messages.Event{
		V: 1, Kind: messages.EventAttemptEnd, Key: address.Key, At: at, Attempt: &known,
	}}}}
	_, out := ended("a", 3, 500, "day")
	out.History = []messages.Attempt{doubt}
	end := worker.RecordBatch{Outcomes: []worker.Outcome{out}}
	in, _ := ended("a", 1, 0, "day")

	all := map[string]worker.RecordBatch{"calling": calling, "attempt_end": event, "outcome": end}
	for _, order := range [][]string{
		{"calling", "attempt_end", "outcome"},
		{"calling", "outcome", "attempt_end"},
		{"attempt_end", "calling", "outcome"},
		{"attempt_end", "outcome", "calling"},
		{"outcome", "calling", "attempt_end"},
		{"outcome", "attempt_end", "calling"},
		{"calling", "outcome"},
		{"outcome"},
		{"outcome", "outcome", "attempt_end", "attempt_end", "calling", "outcome"},
	} {
		charged := int64(500)
		if slices.Contains(order, "attempt_end") {
			charged = 123
		}
		for _, together := range []bool{false, true} {
			b := setup(t)
			b.admit(t, member("a", 1, 1000, scope("day", 5000)))
			b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}})
			var sum worker.RecordBatch
			for _, name := range order {
				one := all[name]
				sum.Callings, sum.Outcomes, sum.Events = append(sum.Callings, one.Callings...), append(sum.Outcomes, one.Outcomes...), append(sum.Events, one.Events...)
				if !together {
					b.commit(t, one)
				}
			}
			if together {
				b.commit(t, sum)
			}
			b.wantBalance(t, "day", charged, 0)
			b.wantChecked(t)
			if t.Failed() {
				t.Fatalf("in order %v, together %t", order, together)
			}
		}
	}
}

func TestCommitRebuildsLostAdmissions(t *testing.T) {
	t.Parallel()
	t.Run("from the intent, with its reservation", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		in, out := ended("lost", 1, 321, "user", "day")
		b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}})
		b.wantBalance(t, "day", 0, 1000)
		b.wantBalance(t, "user", 0, 1000)
		if g := b.admit(t, member("lost", 1, 1000, scope("day", 5000))); g[0].Outcome != worker.GrantDuplicate {
			t.Errorf("grant is %+v", g[0])
		}
		b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
		b.wantBalance(t, "day", 321, 0)
		b.wantChecked(t)
	})
	t.Run("from intent and outcome at once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.admit(t, member("known", 9, 1000, scope("day", 5000)))
		b.end(t, "lost", 1, 321, "day", "user")
		b.wantBalance(t, "day", 321, 1000)
		b.wantChecked(t)
	})
	t.Run("from the outcome alone", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, out := ended("lost", 2, 321, "day")
		_, denied := ended("denied", 4, 0)
		denied.End.Status, denied.AI, denied.History, denied.Answer = messages.StatusDenied, nil, nil, ""
		denied.Corporate.Verdict = messages.VerdictDenied
		b.commit(t, worker.RecordBatch{Outcomes: []worker.Outcome{out, denied}})
		b.wantBalance(t, "day", 321, 0)
		if state := count[string](t, b, "SELECT state FROM flowgate.admission WHERE id = 'denied'"); state != "refused" {
			t.Errorf("state is %s", state)
		}
		b.wantChecked(t, "intents")
	})
}

func TestCommitKeepsWhatIsNoText(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("a", 1, 1000, scope("day", 5000)))
	in, out := ended("a", 1, 321, "day")
	out.Answer, out.End.Detail, out.Sections = "zero \x00 byte", "not \xff UTF-8", []byte("{no json")
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
	result, err := b.Result(t.Context(), out.Key)
	if err != nil || result.Answer != "zero \uFFFD byte" || result.Status != messages.StatusSuccess {
		t.Errorf("result is %+v, %v", result, err)
	}
}

func TestCommitRecordsEventsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	event := worker.EventRecord{Seq: 4, At: time.Now(), Event: messages.Event{V: 1, Kind: messages.EventFreed, Scopes: []string{"day"}}}
	b.commit(t, worker.RecordBatch{Events: []worker.EventRecord{event}})
	b.commit(t, worker.RecordBatch{Events: []worker.EventRecord{event, event}})
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.event"); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestCommitEndsWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := scope("day", 1000)
	b.admit(t, member("a", 1, 1000, day), member("w", 2, 1000, day), member("x", 3, 1000, day))
	_, out := ended("w", 5, 0)
	out.End.Status, out.End.Reason, out.AI, out.History = messages.StatusFailure, messages.ReasonCancelled, nil, nil
	if committed := b.commit(t, worker.RecordBatch{Outcomes: []worker.Outcome{out}}); len(committed.Freed) != 0 {
		t.Errorf("committed %+v", committed)
	}
	if committed := b.end(t, "a", 6, 0, "day"); !slices.Equal(committed.Freed, []string{"day"}) {
		t.Errorf("committed %+v", committed)
	}
	if n := count[int](t, b, "SELECT count(*) FROM flowgate.waiter"); n != 1 {
		t.Errorf("%d wait", n)
	}
	b.wantChecked(t)
}

// TestCommitReinstatesWhatTheStreamTells: the database was set back, and decided otherwise since.
func TestCommitReinstatesWhatTheStreamTells(t *testing.T) {
	t.Parallel()
	day, small := scope("day", 5000), scope("small", 500)
	waits := member("r", 1, 1000, day)
	waits.WaitUntil = time.Now().Add(time.Hour)
	other := member("r", 9, 700, day)
	other.RequestSHA256 = sha("another document")
	refused := member("r", 9, 700, day)
	refused.Refused = messages.ReasonModelUnknown
	for name, decided := range map[string][]worker.Member{
		"it waits for its time":           {waits},
		"it waits for money":              {member("first", 7, 400, small), member("r", 1, 400, small)},
		"somebody else's was refused":     {refused},
		"somebody else's was let through": {other},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.admit(t, decided...)
			in, out := ended("r", 1, 321, "day", "user")
			for range 2 {
				b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}})
				b.wantBalance(t, "day", 0, 1000)
				b.wantBalance(t, "user", 0, 1000)
				b.wantChecked(t)
			}
			if n := count[int](t, b, "SELECT count(*) FROM flowgate.waiter"); n != 0 {
				t.Errorf("%d wait", n)
			}
			b.commit(t, worker.RecordBatch{Outcomes: []worker.Outcome{out}})
			b.wantBalance(t, "day", 321, 0)
			b.wantChecked(t)
			if g := b.admit(t, member("r", 33, 1000, day)); g[0].Outcome != worker.GrantDuplicate {
				t.Errorf("grant is %+v", g[0])
			}
		})
	}
}

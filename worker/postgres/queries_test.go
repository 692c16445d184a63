package postgres_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
)

func key(id string) messages.Key { return messages.Key{Tenant: "acme", ID: id} }

// withHistory has one success, one failure that can be replayed, one request that waits and one on its way.
func withHistory(t *testing.T) *bundle {
	t.Helper()
	b := setup(t)
	day := scope("day", 3000)
	b.admit(t, member("good", 1, 1000, day), member("bad", 2, 1000, day), member("open", 3, 1000, day), member("waits", 4, 1000, day))
	b.end(t, "good", 1, 321, "day")
	in, out := ended("bad", 5, 77, "day")
	out.End.Status, out.End.Reason, out.End.Layer = messages.StatusFailure, messages.ReasonBackendQuota, messages.LayerAI
	out.End.Replayable, out.DeadLetter, out.Answer = true, []byte(`{"v":1}`), ""
	out.Sections = sections(&out)
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
	return b
}

func TestResult(t *testing.T) {
	t.Parallel()
	b := withHistory(t)
	for id, want := range map[string]messages.Result{
		"good":  {State: messages.ResultDone, Status: messages.StatusSuccess, Reason: messages.ReasonOK, Answer: "answer"},
		"bad":   {State: messages.ResultDone, Status: messages.StatusFailure, Reason: messages.ReasonBackendQuota},
		"open":  {State: messages.ResultPending, At: "approved"},
		"waits": {State: messages.ResultPending, At: "waiting"},
	} {
		got, err := b.Result(t.Context(), key(id))
		if err != nil || got.State != want.State || got.Status != want.Status || got.Reason != want.Reason || got.Answer != want.Answer || got.At != want.At {
			t.Errorf("result of %s is %+v, %v", id, got, err)
		}
		if id == "good" && (got.Metadata == nil || got.Metadata.CostMicroUSD != 321 || got.Metadata.Tokens.Total != 120 || got.FinishedAt.IsZero()) {
			t.Errorf("metadata is %+v", got.Metadata)
		}
	}
	if _, err := b.Result(t.Context(), key("none")); !errors.Is(err, worker.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestStandingAndNeedsBody(t *testing.T) {
	t.Parallel()
	b := withHistory(t)
	for id, want := range map[string]struct {
		intent        uint64
		ended, needed bool
	}{
		"good": {1, true, false}, "bad": {5, true, true}, "open": {0, false, true}, "none": {},
	} {
		intent, ended, err := b.Standing(t.Context(), key(id), 0)
		if err != nil || intent != want.intent || ended != want.ended {
			t.Errorf("%s stands at %d, %t, %v", id, intent, ended, err)
		}
		if needed, err := b.NeedsBody(t.Context(), key(id), 0); err != nil || needed != want.needed {
			t.Errorf("body of %s: %t, %v", id, needed, err)
		}
	}
	if _, err := b.HighestEpoch(t.Context(), key("none")); !errors.Is(err, worker.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestListOutcomes(t *testing.T) {
	t.Parallel()
	b := withHistory(t)
	now := time.Now()
	for name, c := range map[string]struct {
		filter postgres.Filter
		want   int
	}{
		"everything": {postgres.Filter{}, 2}, "all": {postgres.Filter{Limit: -1}, 2}, "limit": {postgres.Filter{Limit: 1}, 1},
		"tenant": {postgres.Filter{Tenant: "acme"}, 2}, "other tenant": {postgres.Filter{Tenant: "other"}, 0},
		"status": {postgres.Filter{Status: "failure"}, 1}, "reason": {postgres.Filter{Reason: "ok", User: "ann"}, 1},
		"since": {postgres.Filter{Since: now.Add(time.Hour)}, 0}, "window": {postgres.Filter{Since: now.Add(-time.Hour), Until: now.Add(time.Hour)}, 2},
	} {
		rows, err := b.ListOutcomes(t.Context(), c.filter)
		if err != nil || len(rows) != c.want {
			t.Errorf("%s: %d rows, %v", name, len(rows), err)
		}
		usage, err := b.OutcomeTokens(t.Context(), c.filter)
		if err != nil || len(usage) != c.want {
			t.Errorf("%s: %d usages, %v", name, len(usage), err)
		}
		for i, u := range usage {
			if messages.Cost(u.Attempts) != u.CostMicroUSD || u.Usage.InputUncached != 100 || u.PriceVersion != "2026-01" || u.CostMicroUSD != rows[i].CostMicroUSD {
				t.Errorf("%s: usage is %+v", name, u)
			}
		}
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	b := withHistory(t)
	letters, err := b.DeadLetters(t.Context(), postgres.Filter{Tenant: "acme"})
	if err != nil || len(letters) != 1 || letters[0].ID != "bad" || letters[0].Bytes != 7 || letters[0].Replayed {
		t.Errorf("dead letters are %+v, %v", letters, err)
	}
	for _, epoch := range []int{-1, 0} {
		letter, err := b.DeadLetter(t.Context(), key("bad"), epoch)
		if err != nil || string(letter.Envelope) != `{"v":1}` || letter.Epoch != 0 {
			t.Errorf("dead letter is %+v, %v", letter, err)
		}
	}
	for id, epoch := range map[string]int{"bad": 1, "good": -1} {
		if _, err := b.DeadLetter(t.Context(), key(id), epoch); !errors.Is(err, worker.ErrNotFound) {
			t.Errorf("error is %v", err)
		}
	}
	again := member("bad", 9, 1000, scope("day", 30000))
	again.Epoch = 1
	b.admit(t, again)
	if letters, err = b.DeadLetters(t.Context(), postgres.Filter{}); err != nil || !letters[0].Replayed {
		t.Errorf("dead letters are %+v, %v", letters, err)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	b := withHistory(t)
	b.commit(t, worker.RecordBatch{Events: []worker.EventRecord{{Seq: 1, At: time.Now(), Event: messages.Event{
		V: 1, Kind: messages.EventDuplicateID, Key: key("bad"), At: time.Now(), Detail: "dropped",
	}}}})
	timeline, err := b.Timeline(t.Context(), key("bad"))
	if err != nil || len(timeline.Epochs) != 1 {
		t.Fatalf("timeline is %+v, %v", timeline, err)
	}
	e := timeline.Epochs[0]
	if e.Admission == nil || e.Intent == nil || len(e.Attempts) != 1 || e.Outcome == nil || len(e.Layers) != 2 || e.DeadLetter == nil || len(e.Events) != 1 {
		t.Errorf("epoch is %+v", e)
	}
	if e.Attempts[0].Charged != 77 || e.Admission.Scopes[0] != "day" || e.Outcome.CostMicroUSD != 77 || e.Admission.RequestSHA256 != sha("bad") {
		t.Errorf("epoch is %+v", e)
	}
	for i := range e.Steps[1:] {
		if e.Steps[i+1].At.Before(e.Steps[i].At) {
			t.Errorf("steps are out of order: %+v", e.Steps)
		}
	}
	if len(e.Steps) < 8 {
		t.Errorf("steps are %+v", e.Steps)
	}
	for what, want := range map[string]postgres.Step{
		"submitted":          {Stream: worker.IngressStream, Seq: 2},
		"admission approved": {Layer: "corporate_llm", Stream: worker.IngressStream, Seq: 2},
		"intent":             {Layer: "corporate_llm", Stream: "FLOWGATE_WORK_0", Seq: 5},
		"attempt 1":          {Layer: "ai_processing"},
		"outcome failure":    {Layer: "ai_processing", Reason: "backend_quota", Stream: "FLOWGATE_WORK_0", Seq: 6},
		"event duplicate_id": {Stream: "FLOWGATE_WORK_0", Seq: 1},
	} {
		i := slices.IndexFunc(e.Steps, func(s postgres.Step) bool { return s.What == what })
		if i < 0 {
			t.Errorf("no step %q in %+v", what, e.Steps)
			continue
		}
		s := e.Steps[i]
		if s.Layer != want.Layer || s.Reason != want.Reason || s.Stream != want.Stream || s.Seq != want.Seq {
			t.Errorf("step %q is %+v, want %+v", what, s, want)
		}
	}
	if _, err := json.Marshal(timeline); err != nil {
		t.Error(err)
	}
	if _, err := b.Timeline(t.Context(), key("none")); !errors.Is(err, worker.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

// TestCorrelatedRequests: by their intents, and by their outcomes where they were refused; each once, however often it is recorded.
func TestCorrelatedRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("first", 1, 1000), member("second", 2, 1000), member("other", 3, 1000), member("none", 4, 1000))
	for i, id := range []string{"first", "second", "other", "none"} {
		in, out := ended(id, uint64(10*i+1), 77)
		name := map[string]string{"first": "order-1", "second": "order-1", "other": "order-2"}[id]
		in.Corporate.CorrelationID, out.Corporate.CorrelationID = name, name
		batch := worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}}
		if id == "second" { // refused: no intent
			batch.Intents = nil
		}
		b.commit(t, batch)
	}
	keys, all, err := b.Correlated(t.Context(), "acme", "order-1")
	if want := []messages.Key{key("first"), key("second")}; err != nil || all != 2 || !slices.Equal(keys, want) {
		t.Errorf("order-1 has %v of %d, %v", keys, all, err)
	}
	if keys, _, err = b.Correlated(t.Context(), "zeta", "order-1"); err != nil || len(keys) > 0 {
		t.Errorf("another tenant sees %v, %v", keys, err)
	}
	if n := count[int](t, b, "SELECT count(*)::integer FROM flowgate.correlation"); n != 3 {
		t.Errorf("%d rows", n)
	}
}

// TestTimelineTellsOfFailoversAndReuse: what each backend said, where the request went on to, and whose answer it has.
func TestTimelineTellsOfFailoversAndReuse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admit(t, member("moved", 1, 1000), member("follows", 2, 1000))
	in, out := ended("moved", 5, 77)
	first := out.History[0]
	first.Backend, first.Class, first.Code, first.Detail = "bedrock", "overloaded", "529", "busy"
	first.Billing, first.CostMicroUSD, first.Usage = messages.BillingNone, 0, nil
	out.History[0].K = 2
	out.History = append([]messages.Attempt{first}, out.History...)
	out.Sections = sections(&out)
	followed, follows := ended("follows", 7, 0)
	follows.AI.Reused, follows.History = &messages.Reused{From: messages.ReusedRequest, Leader: "moved", SavedMicroUSD: 77}, nil
	follows.Sections = sections(&follows)
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in, followed}, Outcomes: []worker.Outcome{out, follows}})
	said := func(id string) (postgres.EpochTimeline, map[string]string) {
		t.Helper()
		timeline, err := b.Timeline(t.Context(), key(id))
		if err != nil || len(timeline.Epochs) != 1 {
			t.Fatalf("timeline is %+v, %v", timeline, err)
		}
		steps := make(map[string]string)
		for _, s := range timeline.Epochs[0].Steps {
			steps[s.What] = s.Text
		}
		return timeline.Epochs[0], steps
	}
	e, steps := said("moved")
	if len(e.Attempts) != 2 || e.Attempts[0].Code != "529" || e.Attempts[0].Detail != "busy" || e.Attempts[1].Code != "" {
		t.Errorf("attempts are %+v", e.Attempts)
	}
	if want := "bedrock, small-1, overloaded 529, none $0.000000, 12 ms"; steps["attempt 1"] != want {
		t.Errorf("got %q, want %q", steps["attempt 1"], want)
	}
	if want := "offline, small-1, known $0.000077, 12 ms, after bedrock"; steps["attempt 2"] != want {
		t.Errorf("got %q, want %q", steps["attempt 2"], want)
	}
	_, steps = said("follows")
	if want := "answer of the identical request moved, which was on its way and pays, saved $0.000077, share $0.000000"; steps["ai_processing processed"] != want {
		t.Errorf("got %q, want %q", steps, want)
	}
}

func TestCheckFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql    string
		broken []string
	}{
		"nothing":                {"SELECT 1", nil},
		"a lost outcome":         {"ALTER TABLE flowgate.outcome DISABLE TRIGGER USER; DELETE FROM flowgate.outcome WHERE id = 'good'", []string{"outcomes"}},
		"a lost intent":          {"ALTER TABLE flowgate.intent DISABLE TRIGGER USER; DELETE FROM flowgate.intent WHERE id = 'good'", []string{"intents"}},
		"a lost admission":       {"DELETE FROM flowgate.admission WHERE id = 'good'", []string{"outcomes", "admitted_intents", "settled"}},
		"money that leaked":      {"UPDATE flowgate.scope SET settled = settled + 1", []string{"settled"}},
		"money that stays":       {"UPDATE flowgate.scope SET reserved = reserved + 1", []string{"reserved"}},
		"a cost that is made up": {"ALTER TABLE flowgate.outcome DISABLE TRIGGER USER; UPDATE flowgate.outcome SET cost_microusd = 1 WHERE id = 'good'", []string{"cost"}},
		"a charge that is wrong": {"UPDATE flowgate.attempt SET cost = cost + 1 WHERE id = 'good'", []string{"charges", "settled"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := withHistory(t)
			b.sql(t, c.sql)
			b.wantChecked(t, c.broken...)
		})
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := postgres.Batch{Tenant: "acme", Name: "questions.jsonl", Digest: "d1", Total: 4, Path: "/data/questions.jsonl"}
	first, created, err := b.RegisterBatch(t.Context(), file, false)
	if err != nil || !created || first.ID == "" || first.Run != 1 || first.CreatedAt.IsZero() {
		t.Fatalf("batch is %+v, %t, %v", first, created, err)
	}
	if same, created, err := b.RegisterBatch(t.Context(), file, false); err != nil || created || same != first {
		t.Errorf("batch is %+v, %t, %v", same, created, err)
	}
	second, created, err := b.RegisterBatch(t.Context(), file, true)
	if err != nil || !created || second.Run != 2 || second.ID == first.ID {
		t.Errorf("batch is %+v, %t, %v", second, created, err)
	}
	if all, err := b.ListBatches(t.Context(), "", 10); err != nil || len(all) != 2 {
		t.Errorf("batches are %+v, %v", all, err)
	}
	if one, err := b.Batch(t.Context(), "acme", first.ID); err != nil || one != first {
		t.Errorf("batch is %+v, %v", one, err)
	}
	if _, err := b.Batch(t.Context(), "other", first.ID); !errors.Is(err, worker.ErrNotFound) {
		t.Errorf("error is %v", err)
	}

	day := scope("day", 2500)
	line := func(n string) string { return first.ID + "-" + n }
	b.admit(t, member(line("1"), 1, 1000, day), member(line("2"), 2, 1000, day), member(line("3"), 3, 1000, day), member(line("x"), 4, 0), member(second.ID+"-1", 5, 0))
	b.end(t, line("1"), 1, 321, "day")
	counts, err := b.BatchCounts(t.Context(), "acme", first.ID)
	if err != nil || counts.Admitted != 3 || counts.Ended != 1 || counts.Waiting != 1 || counts.Running != 1 ||
		counts.Statuses["success"] != 1 || counts.Reasons["ok"] != 1 || counts.CostMicroUSD != 321 {
		t.Errorf("counts are %+v, %v", counts, err)
	}
	in, out := ended(line("2"), 12, 0, "day")
	out.AI.Reused, out.History = &messages.Reused{From: "disk", SavedMicroUSD: 321, SavedSeconds: 1.5}, nil
	out.Sections = sections(&out)
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
	reuse, err := b.BatchReuse(t.Context(), "acme", first.ID)
	if err != nil || reuse.Calls != 1 || len(reuse.Reused) != 1 || reuse.Reused["disk"] != 1 || reuse.SavedMicroUSD != 321 || reuse.SavedSeconds != 1.5 {
		t.Errorf("reuse is %+v, %v", reuse, err)
	}
}

func TestOpenRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := scope("day", 1500)
	waits := member("b1-12", 4, 1000, day)
	waits.Decision = []byte(`{"v":1,"section":{"user_id":"alice","department":"sales","model":"m"}}`)
	rt := member("rt", 5, 0)
	rt.Class = messages.ClassRT
	b.admit(t, member("b1-3", 1, 1000, day), waits, member("b1-x", 6, 0), rt, member("gone", 7, 0))
	in, out := ended("gone", 9, 0)
	b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
	ids := func(open []postgres.OpenRequest, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, r := range open {
			text += r.ID + " "
		}
		return text
	}
	for text, want := range map[string]string{
		"class != rt": "b1-12 b1-3 b1-x ", "class = rt": "rt ", "user = alice and model = m": "b1-12 ", "state = waiting and waits_for = waiting_money": "b1-12 ",
		"id = b1-*": "b1-12 b1-3 b1-x ", "age > 1h": "", "age < 1h and id = rt": "rt ", "department = sales": "b1-12 ",
	} {
		where, err := postgres.ParseWhere(text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(b.OpenRequests(t.Context(), "acme", where, 100)); got != want {
			t.Errorf("%s gave %q, want %q", text, got, want)
		}
	}
	if got := ids(b.OpenInBatch(t.Context(), "acme", "b1", 100)); got != "b1-12 b1-3 " {
		t.Errorf("the batch has %q", got)
	}
	if got := ids(b.OpenInBatch(t.Context(), "other", "b1", 100)); got != "" {
		t.Errorf("another tenant's batch has %q", got)
	}
}

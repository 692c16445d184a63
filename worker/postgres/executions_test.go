package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
)

// executed is an outcome of a request for an agreement's action; a nil execution was denied before.
func executed(id string, seq uint64, trigger string, x *messages.Execution) (worker.Intent, worker.Outcome) {
	in, out := ended(id, seq, 0)
	in.Kind, out.Kind = messages.KindAction, messages.KindAction
	out.AI, out.History, out.Answer = nil, nil, ""
	corporate := *out.Corporate
	corporate.Agreement = &messages.AgreementRef{Trigger: trigger, Version: "1"}
	out.Corporate = &corporate
	if x == nil {
		out.End.Status, out.End.Reason, out.End.Layer = messages.StatusDenied, messages.ReasonAgreementSuspended, messages.LayerCorporate
	} else {
		out.Optimizer = &messages.OptimizerSection{Stay: corporate.Stay, Execution: x}
	}
	out.Sections = sections(&out)
	return in, out
}

func TestExecutionsAreListedAndCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	began := time.Now().Add(-time.Minute)
	var batch worker.RecordBatch
	seq := uint64(0)
	add := func(id, trigger string, x *messages.Execution, change func(*worker.Outcome)) {
		seq += 10
		b.admit(t, member(id, seq, 0))
		in, out := executed(id, seq, trigger, x)
		out.At = out.At.Add(time.Duration(seq) * time.Millisecond)
		if change != nil {
			change(&out)
			out.Sections = sections(&out)
		}
		batch.Intents, batch.Outcomes = append(batch.Intents, in), append(batch.Outcomes, out)
	}
	mode := func(m messages.ExecutionMode) *messages.Execution {
		return &messages.Execution{Action: "a", Version: "2", Mode: m, Samples: 7, Confidence: 0.5, Seconds: 1.5}
	}
	for i := range 3 {
		add(fmt.Sprint("real-", i), "[A]", mode(messages.ExecutionReal), nil)
	}
	add("week", "[A]", &messages.Execution{Action: "a", Mode: messages.ExecutionReal, ParametersDigest: "abc", Samples: 49}, nil)
	add("older", "[A]", mode(messages.ExecutionFallback), nil)
	add("failed", "[B]", mode(messages.ExecutionFailed), func(o *worker.Outcome) {
		corporate := *o.Corporate
		corporate.UserID, o.Corporate = "bob", &corporate
		o.End.Status, o.End.Reason = messages.StatusFailure, messages.ReasonActionFailed
	})
	add("denied", "[B]", nil, nil)
	add("lost", "[B]", nil, func(o *worker.Outcome) {
		o.End.Status, o.End.Reason = messages.StatusTimeout, messages.ReasonDeadlinePassed
	})
	add("stranger", "", nil, func(o *worker.Outcome) {
		corporate := *o.Corporate
		corporate.Agreement, corporate.Facts, o.Corporate = nil, &messages.CorporateFacts{Trigger: "[C]"}, &corporate
		o.End.Reason = messages.ReasonAgreementUnknown
	})
	b.commit(t, batch)
	b.admit(t, member("prompt", 500, 0))
	b.end(t, "prompt", 500, 0)

	for name, c := range map[string]struct {
		filter postgres.ExecutionFilter
		want   string
	}{
		"all":          {postgres.ExecutionFilter{}, "stranger lost denied failed older week real-2 real-1 real-0"},
		"tenant":       {postgres.ExecutionFilter{Tenant: "acme", Limit: 2}, "stranger lost"},
		"other tenant": {postgres.ExecutionFilter{Tenant: "other"}, ""},
		"trigger":      {postgres.ExecutionFilter{Trigger: "[A]", Limit: 3}, "older week real-2"},
		"stranger":     {postgres.ExecutionFilter{Trigger: "[C]"}, "stranger"},
		"real":         {postgres.ExecutionFilter{Mode: messages.ExecutionReal}, "week real-2 real-1 real-0"},
		"fallback":     {postgres.ExecutionFilter{Mode: messages.ExecutionFallback}, "older"},
		"failed":       {postgres.ExecutionFilter{Mode: messages.ExecutionFailed}, "lost failed"},
		"denied":       {postgres.ExecutionFilter{Mode: messages.ExecutionDenied, Tenant: "acme", Since: began}, "stranger denied"},
		"user":         {postgres.ExecutionFilter{User: "bob"}, "failed"},
		"later":        {postgres.ExecutionFilter{Since: time.Now().Add(time.Hour)}, ""},
		"earlier":      {postgres.ExecutionFilter{Until: began}, ""},
	} {
		rows, err := b.Executions(t.Context(), c.filter)
		var ids []string
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); err != nil || got != c.want {
			t.Errorf("%s: %v: got %q, want %q", name, err, got, c.want)
		}
	}
	for parameters, samples := range map[string]int64{"": 7, "abc": 49} {
		if x, err := b.NewestExecution(t.Context(), "acme", "[A]", "a", parameters, began); err != nil || x.Samples != samples {
			t.Errorf("the newest of parameters %q: %v, %+v", parameters, err, x)
		}
	}
	if x, err := b.NewestExecution(t.Context(), "acme", "[A]", "a", "other", began); !errors.Is(err, worker.ErrNotFound) {
		t.Errorf("of other parameters: %v, %+v", err, x)
	}
	rows, err := b.Executions(t.Context(), postgres.ExecutionFilter{Trigger: "[A]", Limit: 1})
	if err != nil || len(rows) != 1 {
		t.Fatal(err, rows)
	}
	if r := rows[0]; r.Action != "a" || r.Version != "2" || r.Samples != 7 || r.Confidence != 0.5 || r.Seconds != 1.5 || r.UserID != "ann" || r.EndedAt.IsZero() || r.Status != messages.StatusSuccess {
		t.Errorf("got %+v", r)
	}
	if next, err := b.Executions(t.Context(), postgres.ExecutionFilter{Trigger: "[A]", Limit: 1, Until: rows[0].EndedAt}); err != nil || len(next) != 1 || next[0].ID != "week" {
		t.Errorf("the next page is %v, %+v", err, next)
	}

	for _, tenant := range []string{"", "acme"} {
		counts, err := b.ExecutionCounts(t.Context(), tenant, began)
		got := ""
		for _, c := range counts {
			got += fmt.Sprintf("%s:%d/%d/%d/%d=%d ", c.Trigger, c.Real, c.Fallback, c.Failed, c.Denied, c.All())
			if c.Newest.Before(began) {
				t.Errorf("newest %s", c.Newest)
			}
		}
		if err != nil || got != ":0/0/0/1=1 [A]:4/1/0/0=5 [B]:0/0/2/1=3 " {
			t.Errorf("tenant %q: %v: got %s", tenant, err, got)
		}
	}
	for tenant, since := range map[string]time.Time{"other": began, "acme": time.Now().Add(time.Hour)} {
		if counts, err := b.ExecutionCounts(t.Context(), tenant, since); err != nil || counts == nil || len(counts) != 0 {
			t.Errorf("tenant %s: %v, %+v", tenant, err, counts)
		}
	}
}

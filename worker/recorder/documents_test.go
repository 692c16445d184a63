package recorder_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/actions"
	"flowgate/worker/postgres"
)

// TestDocumentsThatMayHaveAnswersAreNotKeptForEver: the record of what was decided is append-only, answers have a retention. An older
// result stands in as long as it is kept.
func TestDocumentsThatMayHaveAnswersAreNotKeptForEver(t *testing.T) {
	t.Parallel()
	const told, figure = `{"answer":"what a model told"}`, `{"requests":1234567}`
	b := newTape(t)
	now := time.Now().UTC()
	carriedOut := func(trigger string, x messages.Execution) (messages.Key, uint64) {
		x.Mode, x.Version, x.Samples, x.Confidence, x.MeasuredAt = messages.ExecutionReal, "1", 1, 1, now
		seq := b.put(messages.StateDone, &messages.Envelope{
			V: messages.Version, Kind: messages.KindAction, SubmittedAt: now,
			Corporate: &messages.CorporateSection{UserID: "ann", Agreement: &messages.AgreementRef{Trigger: trigger, Version: "1"}},
			Optimizer: &messages.OptimizerSection{Execution: &x},
			End:       &messages.End{Status: messages.StatusSuccess, Reason: messages.ReasonOK, Layer: messages.LayerOptimizer, FinishedAt: now},
		})
		return messages.Key{Tenant: "acme", ID: strconv.Itoa(b.n)}, seq
	}
	text, _ := carriedOut("[Text]", messages.Execution{Action: "week_review", Result: json.RawMessage(told)})
	figures, last := carriedOut("[Figures]", messages.Execution{Action: "cost_analysis", Result: json.RawMessage(figure), Figures: true})
	b.record(last)

	raw, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close(context.WithoutCancel(t.Context())) }()
	var all string
	if err := raw.QueryRow(t.Context(), "SELECT string_agg(o::text, ' ') FROM flowgate.outcome o").Scan(&all); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(all, "what a model told") || !strings.Contains(all, "1234567") {
		t.Errorf("outcomes have %s", all)
	}

	floor := actions.New(actions.Options{History: b.db, Functions: map[string]actions.Function{
		"week_review": func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, errors.New("no air")
		},
	}})
	defer floor.Close()
	check := func(epoch int, wantText, because string, mode messages.ExecutionMode) {
		t.Helper()
		for key, want := range map[messages.Key]string{text: wantText, figures: figure} {
			r, err := b.db.Result(t.Context(), key)
			if err != nil || r.Execution == nil || string(r.Execution.Result) != want || r.Answer != "" {
				t.Errorf("the result of %s is %+v: %v", key, r, err)
			} else if gone := want == ""; gone != r.Execution.Apart() {
				t.Errorf("the document of %s is kept apart: %+v", key, r.Execution)
			}
		}
		a := flow.Agreement{Trigger: "[Text]", Action: "week_review", Version: "1", SLASeconds: 60, FallbackAgeSeconds: 86400}
		_, done := floor.Execute(messages.Key{Tenant: "acme", ID: "next"}, epoch, flow.Asker{}, a)
		select {
		case <-done:
		case <-t.Context().Done():
			t.Fatal("it does not end")
		}
		x, _ := floor.Execute(messages.Key{Tenant: "acme", ID: "next"}, epoch, flow.Asker{}, a)
		if x == nil || x.Mode != mode || string(x.Result) != wantText || x.Figures || !strings.Contains(x.Because, because) {
			t.Errorf("what stands in is %+v", x)
		}
	}
	check(1, told, "no air", messages.ExecutionFallback)
	if err := b.db.Retain(t.Context(), postgres.Retention{Content: time.Nanosecond, DeadLetters: time.Hour}); err != nil {
		t.Fatal(err)
	}
	check(2, "", "nothing was measured that is young enough", messages.ExecutionFailed)
	if x, err := b.db.NewestExecution(t.Context(), "acme", "[Figures]", "cost_analysis", "", now.Add(-time.Hour)); err != nil || string(x.Result) != figure {
		t.Errorf("the newest figures: %+v, %v", x, err)
	}
	if _, err := b.db.NewestExecution(t.Context(), "acme", "[Text]", "week_review", "", now.Add(-time.Hour)); !errors.Is(err, worker.ErrNotFound) {
		t.Errorf("a document that is gone: %v", err)
	}
}

package actions_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
	"flowgate/worker/actions"
)

// model answers each prompt after a second with what stands behind it, or ends it as a status.
type model struct {
	answers map[string]string
	ends    map[string]messages.Status

	mu     sync.Mutex
	asked  []messages.Request
	ids    []string
	inside int
	most   int
}

func (m *model) Ask(ctx context.Context, key messages.Key, body []byte) (messages.Result, error) {
	var r messages.Request
	if err := json.Unmarshal(body, &r); err != nil {
		return messages.Result{}, err
	}
	m.mu.Lock()
	m.asked, m.ids = append(m.asked, r), append(m.ids, key.ID)
	m.inside++
	m.most = max(m.most, m.inside)
	m.mu.Unlock()
	defer func() { m.mu.Lock(); m.inside--; m.mu.Unlock() }()
	began := time.Now()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return messages.Result{}, ctx.Err()
	}
	out := messages.Result{
		Key: key, State: messages.ResultDone, Status: messages.StatusSuccess, Reason: messages.ReasonOK, Answer: m.answers[r.Prompt], SubmittedAt: began, FinishedAt: time.Now(),
		Metadata: &messages.ResultMetadata{Backend: "b", Model: "m", CostMicroUSD: 40, Tokens: messages.Tokens{Input: 5, Output: 2}},
	}
	if status, ends := m.ends[r.Prompt]; ends {
		out.Status, out.Reason, out.Answer = status, messages.ReasonBackendUnavailable, ""
	}
	return out, nil
}

func board(t *testing.T, change func(*templates.Template)) *templates.Template {
	t.Helper()
	made := templates.Template{
		Name: "board", Parameters: []templates.Parameter{{Name: "week", Required: true}},
		Steps: []templates.Step{
			{Name: "facts", DependsOn: []string{}, Prompt: "facts of {{week}}"},
			{Name: "risks", DependsOn: []string{}, Prompt: "risks of {{week}}"},
			{Name: "join", Prompt: "join {{facts.answer}} and {{risks.answer}}"},
		},
	}
	if change != nil {
		change(&made)
	}
	ready, err := templates.New(made)
	if err != nil {
		t.Fatal(err)
	}
	return ready
}

// carried lets a floor carry a template out.
func carried(t *testing.T, made *templates.Template, m *model, a flow.Agreement, history actions.History) *messages.Execution {
	t.Helper()
	f := actions.New(actions.Options{
		Functions: map[string]actions.Function{"board": actions.FromTemplate(made)}, Parameters: map[string][]templates.Parameter{"board": made.Parameters},
		Chain: m, History: history,
	})
	defer f.Close()
	a.Trigger, a.Action = "[Board]", "board"
	return executed(t, f, a)
}

func answers() map[string]string {
	return map[string]string{"facts of 49": "{{week}}", "risks of 49": "none", "join {{week}} and none": "All is well."}
}

func TestATemplateIsCarriedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &model{answers: answers()}
		x := carried(t, board(t, nil), m, flow.Agreement{Parameters: map[string]any{"week": "49"}, SLASeconds: 60}, nil)
		var r actions.TemplateReport
		if x.Mode != messages.ExecutionReal || json.Unmarshal(x.Result, &r) != nil {
			t.Fatalf("got %+v", x)
		}
		if r.Answer != "All is well." || r.CostMicroUSD != 120 || r.TokensIn != 15 || r.TokensOut != 6 || len(r.Steps) != 3 || r.Note != "" || x.Samples != 3 || x.Confidence != flow.ConfidenceOfShare(3, 3) || x.Seconds != 2 {
			t.Errorf("got %+v, %+v", x, r)
		}
		if s := r.Steps[0]; s.Name != "facts" || s.Status != messages.StatusSuccess || s.Answer != "{{week}}" || s.Backend != "b" || s.Seconds != 1 || s.CostMicroUSD != 40 {
			t.Errorf("got %+v", s)
		}
		for _, asked := range m.asked {
			if asked.Trigger != "[Board]" || asked.PartOf == nil || asked.AuditReason == "" {
				t.Errorf("asked %+v", asked)
			}
		}
		// Whoever carries it out again after a crash asks the same ids, which are answered already.
		again := &model{answers: answers()}
		carried(t, board(t, nil), again, flow.Agreement{Parameters: map[string]any{"week": "49"}, SLASeconds: 60}, nil)
		slices.Sort(m.ids)
		slices.Sort(again.ids)
		if !slices.Equal(m.ids, again.ids) || m.most != 2 {
			t.Errorf("asked %v, then %v, at most %d at once", m.ids, again.ids, m.most)
		}
	})
}

func TestATemplateThatFailsSaysWhere(t *testing.T) {
	t.Parallel()
	older := past{x: messages.Execution{Result: json.RawMessage(`{}`), Samples: 1, Confidence: 0.5}}
	week := map[string]any{"week": "49"}
	same := older
	same.x.ParametersDigest = "3aeb7a70dfb218fc" // of {"week":"49"}
	for name, c := range map[string]struct {
		change     func(*templates.Template)
		model      *model
		agreement  flow.Agreement
		history    actions.History
		mode       messages.ExecutionMode
		because    string
		asked      int
		mostlyTime float64
	}{
		"no parameter": {nil, &model{}, flow.Agreement{FallbackAgeSeconds: 100}, older, messages.ExecutionFailed, "action board: parameter week is required", 0, 0},
		"another parameter": {
			nil, &model{},
			flow.Agreement{Parameters: map[string]any{"week": "49", "weak": 1}, FallbackAgeSeconds: 100},
			older,
			messages.ExecutionFailed, "parameter \"weak\" is none of week", 0, 0,
		},
		"a step fails": {
			nil, &model{answers: answers(), ends: map[string]messages.Status{"risks of 49": messages.StatusFailure}},
			flow.Agreement{Parameters: week},
			nil,
			messages.ExecutionFailed, "step risks ended as failure (backend_unavailable)", 2, 1,
		},
		"another result stands in": {
			nil,
			&model{answers: answers(), ends: map[string]messages.Status{"risks of 49": messages.StatusFailure}},
			flow.Agreement{Parameters: week, FallbackAgeSeconds: 1e9},
			same,
			messages.ExecutionFallback, "step risks ended as failure", 2, 1,
		},
		"one of other parameters does not": {
			nil,
			&model{answers: answers(), ends: map[string]messages.Status{"risks of 49": messages.StatusFailure}},
			flow.Agreement{Parameters: week, FallbackAgeSeconds: 1e9},
			older,
			messages.ExecutionFailed, "nothing was measured", 2, 1,
		},
		"an empty answer": {nil, &model{}, flow.Agreement{Parameters: week}, nil, messages.ExecutionFailed, "the answer is empty", 2, 1},
		"its result is none": {
			func(t *templates.Template) { t.Result.JSON = true }, &model{answers: answers()},
			flow.Agreement{Parameters: week},
			nil,
			messages.ExecutionFailed, "template board: the answer is no JSON object", 3, 2,
		},
		"too dear": {
			func(t *templates.Template) { t.Steps[1].DependsOn = []string{"facts"} }, &model{answers: answers()},
			flow.Agreement{Parameters: week, Limits: flow.Limits{RequestMicroUSD: 50}},
			nil, messages.ExecutionFailed, "limit of 50 micro-dollars", 2, 2,
		},
		"too slow": {nil, &model{answers: answers()}, flow.Agreement{Parameters: week, SLASeconds: 1.5}, nil, messages.ExecutionFailed, "it did not end within 1.5s", 3, 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if p, is := c.history.(past); is {
					p.x.MeasuredAt = time.Now()
					c.history = p
				}
				x := carried(t, board(t, c.change), c.model, c.agreement, c.history)
				if x.Mode != c.mode || !strings.Contains(x.Because, c.because) || len(c.model.asked) != c.asked || x.Seconds != c.mostlyTime {
					t.Errorf("%d were asked: %+v", len(c.model.asked), x)
				}
			})
		})
	}
}

func TestAnOrderAsksNothingWithoutAChain(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"summary": "no chain", "Sum mary": "no name"} {
		if _, err := (actions.Order{}).Ask(t.Context(), name, messages.Request{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
	o := actions.Order{Agreement: flow.Agreement{Parameters: map[string]any{"n": json.Number("3"), "t": "x", "v": json.Number("1.10"), "b": true}}}
	if n, err := o.Number("n", 0, 1, 5); n != 3 || err != nil {
		t.Error(n, err)
	}
	for name, want := range map[string]string{"t": "x", "v": "1.10", "none": "else"} {
		if got, err := o.Text(name, "else"); got != want || err != nil {
			t.Error(name, got, err)
		}
	}
	var wrong *actions.ParameterError
	if _, err := o.Text("b", ""); !errors.As(err, &wrong) {
		t.Error(err)
	}
	if _, err := o.Number("v", 0, 1, 5); !errors.As(err, &wrong) {
		t.Error(err)
	}
}

func TestACatalogHasEachNameOnce(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, actions.Order) (actions.Measured, error) { return actions.Measured{}, nil }
	made := []*templates.Template{board(t, nil)}
	all, err := actions.Catalog([]actions.Own{{Name: "mine", Function: nothing}}, made)
	if err != nil || len(all) != len(actions.BuiltIn())+2 || all[0].Name != "board" || actions.ParametersOf(all)["mine"] == nil {
		t.Errorf("%v: %+v", err, all)
	}
	for want, own := range map[string]actions.Own{
		"cost_analysis is there twice": {Name: actions.CostAnalysisAction, Function: nothing},
		"board is there twice":         {Name: "board", Function: nothing},
		"the name says":                {Name: actions.Ask, Function: nothing},
		"is no name":                   {Name: "Mine", Function: nothing},
		"has no function":              {Name: "mine"},
		"must be one of":               {Name: "mine", Function: nothing, Parameters: []templates.Parameter{{Name: "p", Type: "date"}}},
	} {
		if _, err := actions.Catalog([]actions.Own{own}, made); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

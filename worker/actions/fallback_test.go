package actions_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
	"flowgate/worker/actions"
)

// TestTheFallbackThatAnAgreementNamesStandsIn: with the parameters that it has; where it fails too, an older result does, if one may.
func TestTheFallbackThatAnAgreementNamesStandsIn(t *testing.T) {
	broken := func(why string) actions.Function {
		return func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, errors.New(why)
		}
	}
	told := func(_ context.Context, o actions.Order) (actions.Measured, error) {
		return actions.Measured{Document: o.Agreement.Parameters, Samples: 1, Confidence: 0.5}, nil
	}
	for name, c := range map[string]struct {
		fallback string
		age      float64
		mode     messages.ExecutionMode
		by       string
		because  []string
	}{
		"it stands in":              {"spare", 0, messages.ExecutionFallback, "spare", []string{"no ground"}},
		"it goes before old ones":   {"spare", 100, messages.ExecutionFallback, "spare", []string{"no ground"}},
		"it fails too":              {"flat", 0, messages.ExecutionFailed, "", []string{"no ground", "its fallback flat failed too: no air", "no older result"}},
		"an older one, then":        {"flat", 100, messages.ExecutionFallback, "", []string{"no ground", "its fallback flat failed too: no air"}},
		"it wants another":          {"picky", 0, messages.ExecutionFailed, "", []string{"its fallback picky failed too", "place"}},
		"it is the action itself":   {"x", 0, messages.ExecutionFailed, "", []string{"no ground; the agreement allows no older"}},
		"the deployment has no one": {"simulate_it", 0, messages.ExecutionFailed, "", []string{"no ground; the agreement allows no older"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parameter := func(name string) []templates.Parameter {
					return []templates.Parameter{{Name: name, Type: templates.Text, Required: true, MaxLength: 100}}
				}
				f := actions.New(actions.Options{
					Functions:  map[string]actions.Function{"x": broken("no ground"), "spare": told, "flat": broken("no air"), "picky": told},
					Parameters: map[string][]templates.Parameter{"spare": parameter("text"), "picky": parameter("place")},
					History: past{x: messages.Execution{
						Result: json.RawMessage(`{"old":true}`), Samples: 2, MeasuredAt: time.Now().Add(-time.Minute), ParametersDigest: "e3f579a73c1693f9", // of those below
					}},
				})
				defer f.Close()
				a := flow.Agreement{
					Trigger: "[X]", Action: "x", Version: "7", SLASeconds: 5, Fallback: c.fallback, FallbackAgeSeconds: c.age,
					Parameters: map[string]any{"text": "hello", "more": "of the action's own"},
				}
				x := executed(t, f, a)
				if x.Mode != c.mode || x.Fallback != c.by || x.Action != "x" {
					t.Errorf("got %+v", x)
				}
				for _, words := range c.because {
					if !strings.Contains(x.Because, words) {
						t.Errorf("because %q, without %q", x.Because, words)
					}
				}
				if c.by != "" && (string(x.Result) != `{"text":"hello"}` || x.Confidence != 0.5 || x.AgeSeconds != 0) {
					t.Errorf("got %+v with %s", x, x.Result)
				}
			})
		})
	}
}

// TestOnlyWhatTheProductMeasuresIsFigures: the documents of all others may have what models answered, and are not kept for ever.
func TestOnlyWhatTheProductMeasuresIsFigures(t *testing.T) {
	t.Parallel()
	well := func(context.Context, actions.Order) (actions.Measured, error) {
		return actions.Measured{Document: map[string]int{"n": 1}, Samples: 1, Confidence: 1}, nil
	}
	badly := func(context.Context, actions.Order) (actions.Measured, error) {
		return actions.Measured{}, errors.New("no ground")
	}
	for _, c := range []struct {
		action, fallback string
		figures          bool
	}{
		{actions.CostAnalysisAction, "", true},
		{"own", "", false},
		{"broken", actions.CostAnalysisAction, true},
		{actions.ErrorAnalysisAction, "own", false},
	} {
		f := actions.New(actions.Options{Functions: map[string]actions.Function{
			actions.CostAnalysisAction: well, "own": well, "broken": badly, actions.ErrorAnalysisAction: badly,
		}})
		x := executed(t, f, flow.Agreement{Trigger: "[X]", Action: c.action, SLASeconds: 60, Fallback: c.fallback})
		f.Close()
		if x.Figures != c.figures || string(x.Result) != `{"n":1}` {
			t.Errorf("%s, else %q: %+v", c.action, c.fallback, x)
		}
	}
}

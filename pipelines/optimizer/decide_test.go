package optimizer_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/optimizer"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// setup is an answered prompt without an agreement, answered after four seconds.
func setup(t testing.TB) (*messages.Envelope, optimizer.Facts, optimizer.Policy) {
	t.Helper()
	book, err := flow.NewBook([]flow.Agreement{
		{Trigger: "[SLA]", FlowEncoding: "@a#b!c@d", Action: "x", Version: "a1", SLASeconds: 4, ValidUntil: noon.Add(time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := &messages.Envelope{
		V: 1, Kind: messages.KindPrompt, SubmittedAt: noon, Corporate: &messages.CorporateSection{},
		AI:      &messages.AISection{Stay: messages.Stay{Verdict: messages.VerdictProcessed, FinishedAt: noon.Add(4 * time.Second)}, Answer: "ja"},
		History: []messages.Attempt{{CostMicroUSD: 3}, {CostMicroUSD: 4}},
	}
	return e, optimizer.Facts{Now: noon.Add(5 * time.Second)}, optimizer.Policy{Agreements: book}
}

func agreed(seconds float64) *messages.AgreementRef {
	return &messages.AgreementRef{Trigger: "[SLA]", Version: "a1", SLASeconds: seconds}
}

func TestAnswerWithoutAnAgreementSucceeds(t *testing.T) {
	e, f, p := setup(t)
	optimizer.Decide(e, f, p)
	if e.End.Status != messages.StatusSuccess || e.End.CostMicroUSD != 7 || !e.End.FinishedAt.Equal(f.Now) || e.End.Layer != messages.LayerOptimizer {
		t.Errorf("got %+v", e.End)
	}
	if e.Optimizer.Verdict != messages.VerdictNotApplicable || checks(e) != "agreement not_applicable, sla not_applicable" {
		t.Errorf("got %s, %s", e.Optimizer.Verdict, checks(e))
	}
}

func TestSLA(t *testing.T) {
	for name, c := range map[string]struct {
		seconds float64
		change  func(*messages.Envelope)
		status  messages.Status
		reason  messages.Reason
		verdict messages.Verdict
		checks  string
	}{
		"none agreed": {0, nil, messages.StatusSuccess, messages.ReasonOK, messages.VerdictValidated, "agreement pass, sla not_applicable"},
		"just met":    {4, nil, messages.StatusSuccess, messages.ReasonOK, messages.VerdictValidated, "agreement pass, sla pass"},
		"missed":      {3.999, nil, messages.StatusFailure, messages.ReasonSLAMissed, messages.VerdictFailed, "agreement pass, sla fail"},
		"of an answer carried over: from the replay to now, met":    {4, carriedOver(2 * time.Second), messages.StatusSuccess, messages.ReasonOK, messages.VerdictValidated, "agreement pass, sla pass"},
		"of an answer carried over: from the replay to now, missed": {4, carriedOver(-2 * time.Second), messages.StatusFailure, messages.ReasonSLAMissed, messages.VerdictFailed, "agreement pass, sla fail"},
	} {
		t.Run(name, func(t *testing.T) {
			e, f, p := setup(t)
			e.Corporate.Agreement = agreed(c.seconds)
			if c.change != nil {
				c.change(e)
			}
			optimizer.Decide(e, f, p)
			if e.End.Status != c.status || e.End.Reason != c.reason || e.Optimizer.Verdict != c.verdict || e.Optimizer.Reason != c.reason {
				t.Errorf("end %+v, verdict %s", e.End, e.Optimizer.Verdict)
			}
			if checks(e) != c.checks {
				t.Errorf("checks are %s", checks(e))
			}
			if c.status == messages.StatusFailure && (!e.End.Replayable || !strings.Contains(e.End.Detail, " s of ")) {
				t.Errorf("got %+v", e.End)
			}
			if strings.Contains(e.Optimizer.Checks[1].Detail, "-") {
				t.Errorf("a negative time: %s", e.Optimizer.Checks[1].Detail)
			}
		})
	}
}

// carriedOver makes the envelope one of a replay that was submitted after noon and goes on behind an older answer.
func carriedOver(afterNoon time.Duration) func(*messages.Envelope) {
	return func(e *messages.Envelope) {
		e.Epoch, e.SubmittedAt = 1, noon.Add(afterNoon)
		e.AI.Verdict, e.AI.FinishedAt = messages.VerdictCarriedOver, noon.Add(-time.Hour)
	}
}

func TestAgreementIsCheckedAgainAfterTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		trigger string
		after   time.Duration
		want    messages.Reason
	}{
		"expired while the model was asked": {"[SLA]", time.Hour, messages.ReasonAgreementExpired},
		"withdrawn meanwhile":               {"[Gone]", time.Second, messages.ReasonAgreementUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			e, f, p := setup(t)
			e.Corporate.Agreement = &messages.AgreementRef{Trigger: c.trigger}
			f.Now = noon.Add(c.after)
			optimizer.Decide(e, f, p)
			if e.End.Status != messages.StatusDenied || e.End.Reason != c.want || e.Optimizer.Verdict != messages.VerdictDenied || e.End.Replayable {
				t.Errorf("got %+v, %s", e.End, e.Optimizer.Verdict)
			}
			if r := messages.Project(messages.Key{}, e); r.Answer != "" {
				t.Errorf("the denied result shows the answer %q", r.Answer)
			}
			if e.End.CostMicroUSD != 7 {
				t.Errorf("what was spent is gone: %d", e.End.CostMicroUSD)
			}
		})
	}
}

func TestWhatIsNotThereYetIsNotPretended(t *testing.T) {
	for kind, want := range map[messages.Kind]messages.End{
		messages.KindWorkflow: {Reason: messages.ReasonNotAvailableYet, Detail: "workflows"},
		messages.KindAction:   {Reason: messages.ReasonActionUnknown, Detail: "carries out no actions"}, // here, where another worker may
	} {
		e, f, p := setup(t)
		e.Kind, e.AI = kind, &messages.AISection{Stay: messages.Stay{Verdict: messages.VerdictNotApplicable}}
		optimizer.Decide(e, f, p)
		if e.End.Reason != want.Reason || !strings.Contains(e.End.Detail, want.Detail) || e.End.Status != messages.StatusDenied {
			t.Errorf("%s: got %+v", kind, e.End)
		}
	}
}

func TestSameInputGivesTheSameEnd(t *testing.T) {
	once := func() string {
		e, f, p := setup(t)
		e.Corporate.Agreement = agreed(4)
		optimizer.Decide(e, f, p)
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if first, second := once(), once(); first != second {
		t.Errorf("%s\nthen %s", first, second)
	}
}

func checks(e *messages.Envelope) string {
	var all []string
	for _, c := range e.Optimizer.Checks {
		all = append(all, c.Name+" "+c.State)
	}
	return strings.Join(all, ", ")
}

package corporate_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

func TestConcludeNamesTheNextState(t *testing.T) {
	later := noon.Add(time.Hour)
	for name, c := range map[string]struct {
		change  func(*messages.Request, *corporate.Decision)
		grant   corporate.Grant
		state   messages.State
		verdict messages.Verdict
		status  messages.Status
		reason  messages.Reason
	}{
		"granted":           {nil, corporate.Grant{Approved: true}, messages.StateAI, messages.VerdictApproved, "", messages.ReasonOK},
		"waiting for money": {nil, corporate.Grant{Waiting: true, Reason: messages.ReasonWaitingMoney}, messages.StateHold, messages.VerdictWaiting, "", messages.ReasonWaitingMoney},
		"over a limit":      {nil, corporate.Grant{Reason: messages.ReasonLimitDay}, messages.StateDone, messages.VerdictDenied, messages.StatusDenied, messages.ReasonLimitDay},
		"refused by a rule": {func(r *messages.Request, _ *corporate.Decision) { r.AuditReason = "" }, corporate.Grant{}, messages.StateDone, messages.VerdictDenied, messages.StatusDenied, messages.ReasonAuditReasonMissing},
		"of another id":     {func(r *messages.Request, _ *corporate.Decision) { r.ID = "x" }, corporate.Grant{}, messages.StateDone, messages.VerdictFailed, messages.StatusFailure, messages.ReasonIDMismatch},
		"too late":          {func(r *messages.Request, _ *corporate.Decision) { r.NotAfter = new(noon.Add(-1)) }, corporate.Grant{}, messages.StateDone, messages.VerdictFailed, messages.StatusTimeout, messages.ReasonDeadlinePassed},
		"too early":         {func(r *messages.Request, _ *corporate.Decision) { r.NotBefore = &later }, corporate.Grant{Waiting: true, Reason: messages.ReasonNotBefore}, messages.StateHold, messages.VerdictWaiting, "", messages.ReasonNotBefore},
	} {
		t.Run(name, func(t *testing.T) {
			r, f, p := setup(t)
			if c.change != nil {
				c.change(r, nil)
			}
			d := corporate.Decide(r, f, p)
			c.grant.Now = noon.Add(time.Second)
			e := &messages.Envelope{Wait: messages.ReasonWaitingMoney, NotBefore: noon}
			if state := corporate.Conclude(e, d, c.grant); state != c.state {
				t.Fatalf("goes to %s, want %s", state, c.state)
			}
			s := e.Corporate
			if s.Verdict != c.verdict || s.Reason != c.reason || !s.StartedAt.Equal(noon) || !s.FinishedAt.Equal(c.grant.Now) {
				t.Errorf("section is %+v", s.Stay)
			}
			switch c.state {
			case messages.StateDone:
				if e.End == nil || e.End.Status != c.status || e.End.Reason != c.reason || s.ReservedMicroUSD != 0 || len(s.Scopes) != 0 {
					t.Errorf("end is %+v, reserved %d in %v", e.End, s.ReservedMicroUSD, s.Scopes)
				}
			case messages.StateHold:
				if e.Wait != c.reason || !e.NotBefore.Equal(d.NotBefore) || e.End != nil {
					t.Errorf("waits for %q until %s", e.Wait, e.NotBefore)
				}
			case messages.StateAI, messages.StateCalling, messages.StateOptimizer:
				if e.Wait != "" || !e.NotBefore.IsZero() || e.End != nil || !e.NotAfter.Equal(d.NotAfter) || e.Kind != d.Kind {
					t.Errorf("got %+v", e)
				}
			}
		})
	}
}

func TestReplayResumesWhereItMay(t *testing.T) {
	const ai, optimizer, hold = messages.StateAI, messages.StateOptimizer, messages.StateHold
	died := func(layer messages.LayerName, verdict messages.Verdict, model string) *messages.Envelope {
		return &messages.Envelope{
			End: &messages.End{Layer: layer}, Corporate: &messages.CorporateSection{Model: model},
			AI: &messages.AISection{Stay: messages.Stay{Verdict: verdict}},
		}
	}
	answered := died(messages.LayerOptimizer, messages.VerdictProcessed, model)
	otherwise := died(messages.LayerOptimizer, messages.VerdictProcessed, model)
	otherwise.AI.PrivacyVersion = "other rules"
	for name, c := range map[string]struct {
		old    *messages.Envelope
		asked  messages.State
		edited bool
		want   messages.State
	}{
		"at the optimizer, where it died":                {answered, "", false, optimizer},
		"at the optimizer, carried over before":          {died(messages.LayerOptimizer, messages.VerdictCarriedOver, model), "", false, optimizer},
		"at the model, where it died":                    {died(messages.LayerAI, messages.VerdictFailed, model), "", false, ai},
		"at the model, as asked":                         {answered, ai, false, ai},
		"from the start, as asked":                       {answered, hold, false, ai},
		"at the optimizer, as asked":                     {died(messages.LayerAI, messages.VerdictProcessed, model), optimizer, false, optimizer},
		"never behind the model without an answer":       {died(messages.LayerAI, messages.VerdictFailed, model), optimizer, false, ai},
		"never behind the model when edited":             {answered, optimizer, true, ai},
		"never behind the model when edited and unasked": {answered, "", true, ai},
		"never behind another model":                     {died(messages.LayerOptimizer, messages.VerdictProcessed, "other"), optimizer, false, ai},
		"never an answer under other rules":              {otherwise, optimizer, false, ai},
		"without an envelope of the old":                 {&messages.Envelope{}, optimizer, false, ai},
	} {
		t.Run(name, func(t *testing.T) {
			r, f, p := setup(t)
			d := corporate.Decide(r, f, p)
			corporate.Resume(&d, c.old, c.asked, c.edited)
			if d.ResumeAt != c.want {
				t.Errorf("resumes at %s, want %s", d.ResumeAt, c.want)
			}
			if reserves := d.Amount > 0 && len(d.Scopes) > 0 && d.Section.ReservedMicroUSD > 0; reserves != (c.want == ai) {
				t.Errorf("reserves %d in %v: a resume at the optimizer calls nobody, every other may", d.Amount, d.Scopes)
			}
		})
	}
}

func TestAHeldReplayReservesNothingForAnAnswerThatIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*messages.Envelope)
		want   messages.State
	}{
		"as it was":             {func(*messages.Envelope) {}, messages.StateOptimizer},
		"to the model":          {func(e *messages.Envelope) { e.Replay.ResumeAt = messages.StateAI }, messages.StateAI},
		"another model":         {func(e *messages.Envelope) { e.Corporate.Model = "other" }, messages.StateAI},
		"other rules":           {func(e *messages.Envelope) { e.AI.PrivacyVersion = "other" }, messages.StateAI},
		"without an answer":     {func(e *messages.Envelope) { e.AI = nil }, messages.StateAI},
		"not a replay at all":   {func(e *messages.Envelope) { e.Replay = nil }, messages.StateAI},
		"not decided on so far": {func(e *messages.Envelope) { e.Corporate = nil }, messages.StateAI},
	} {
		r, f, p := setup(t)
		d := corporate.Decide(r, f, p)
		e := &messages.Envelope{
			Corporate: &messages.CorporateSection{Model: model}, AI: &messages.AISection{}, Replay: &messages.ReplayOrigin{ResumeAt: messages.StateOptimizer},
		}
		c.change(e)
		corporate.ResumeHeld(&d, e)
		if reserves := d.Amount > 0; d.ResumeAt != c.want || reserves != (c.want == messages.StateAI) {
			t.Errorf("%s: resumes at %s with %d held", name, d.ResumeAt, d.Amount)
		}
	}
}

func TestSameInputGivesTheSameDecision(t *testing.T) {
	_, _, p := setup(t)
	p.AllowUnknownDepartment = true
	rapid.Check(t, func(t *rapid.T) {
		r := messages.Request{
			Prompt: rapid.String().Draw(t, "prompt"), Trigger: rapid.SampledFrom([]string{"", "[Always]", "[Past]", "[None]"}).Draw(t, "trigger"),
			Model: rapid.SampledFrom([]string{"", "sonnet", model, "gpt-9"}).Draw(t, "model"), AuditReason: rapid.StringN(0, 9, -1).Draw(t, "why"),
			UserID: rapid.SampledFrom([]string{"", "u1"}).Draw(t, "user"),
		}
		if rapid.Bool().Draw(t, "has tokens") {
			r.MaxTokens = new(rapid.IntRange(1, messages.MaxOutputTokens).Draw(t, "tokens"))
		}
		f := corporate.Facts{
			Address: messages.Address{Key: key, Class: rapid.SampledFrom(messages.Classes()).Draw(t, "class")},
			Now:     time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "now"), 0).UTC(),
		}
		f.SubmittedAt = f.Now.Add(-time.Duration(rapid.Int64Range(0, 100).Draw(t, "hours")) * time.Hour)
		approved := rapid.Bool().Draw(t, "approved")
		once := func() string {
			e := &messages.Envelope{}
			d := corporate.Decide(&r, f, p)
			state := corporate.Conclude(e, d, corporate.Grant{Approved: approved, Reason: messages.ReasonLimitDay, Now: f.Now})
			data, err := json.Marshal([]any{d, state, e})
			if err != nil {
				t.Fatal(err)
			}
			if d.Refusal == nil && p.Limits.Request > 0 && d.Amount > p.Limits.Request {
				t.Fatalf("reserves %d, one request may cost %d", d.Amount, p.Limits.Request)
			}
			if d.Amount < 0 || (d.Refusal != nil) != (d.Amount == 0 && len(d.Scopes) == 0) && d.Kind == messages.KindPrompt {
				t.Fatalf("amount %d with refusal %+v", d.Amount, d.Refusal)
			}
			return string(data)
		}
		if first, second := once(), once(); first != second {
			t.Fatalf("%s\nthen %s", first, second)
		}
	})
}

// TestTheLastOfALimitPaysForOneCall: what was reserved is what the section says, and no second call may be paid for.
func TestTheLastOfALimitPaysForOneCall(t *testing.T) {
	r, f, p := setup(t)
	d := corporate.Decide(r, f, p)
	for least, attempts := range map[bool]int{false: 2, true: 1} {
		e := &messages.Envelope{}
		state := corporate.Conclude(e, d, corporate.Grant{Approved: true, Least: least, Now: noon})
		c := e.Corporate
		if state != messages.StateAI || c.BillableAttempts != attempts || c.ReservedMicroUSD != int64(attempts)*c.BoundMicroUSD || c.BoundMicroUSD == 0 {
			t.Errorf("least %t: %s with %d calls and %d of %d reserved", least, state, c.BillableAttempts, c.ReservedMicroUSD, c.BoundMicroUSD)
		}
	}
}

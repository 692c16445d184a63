package corporate_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/policy"
	"flowgate/pipelines/privacy"
)

func rulesOf(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Bundle{Name: "test", Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTheRecordAloneGivesTheSameDecisionAgain: whatever was asked, the section as it is stored has what rules judged by.
func TestTheRecordAloneGivesTheSameDecisionAgain(t *testing.T) {
	_, facts, p := setup(t)
	p.Privacy, p.AllowUnknownUser, p.AllowUnknownDepartment = privacy.NewGuard(privacy.Rules{}), true, true
	p.Rules = rulesOf(t,
		policy.Rule{ID: "cards", Effect: policy.EffectDeny, When: `"payment" in data && purpose != "review"`, Because: "no: cards"},
		policy.Rule{ID: "long", Effect: policy.EffectDeny, When: `prompt_bytes > 60 || turns > 2 || reason_length > 20`},
		policy.Rule{ID: "fails", Effect: policy.EffectDeny, When: `department == "hr" && findings["EMAIL_ADDRESS"] > 0`},
		policy.Rule{ID: "late", Effect: policy.EffectFlag, When: `now - submitted > duration("5s") || trigger == "[Always]"`},
		policy.Rule{ID: "dear", Effect: policy.EffectFlag, When: `bound_microusd > 2000 && max_tokens > 500 && temperature < 1.0`},
	)
	pick := func(of ...string) *rapid.Generator[string] { return rapid.SampledFrom(of) }
	rapid.Check(t, func(t *rapid.T) {
		r := &messages.Request{
			AuditReason: pick("quarterly report", "for anna@example.com, quarterly").Draw(t, "reason"), UserID: pick("", "u1", "4111111111111111").Draw(t, "user"),
			Department: pick("", "hr", "it").Draw(t, "department"), Purpose: pick("", "review", "536-90-4399").Draw(t, "purpose"),
			Trigger: pick("", "[Always]").Draw(t, "trigger"),
		}
		if n := rapid.IntRange(0, 3).Draw(t, "turns"); n > 0 {
			for range n {
				r.Messages = append(r.Messages, messages.Message{Role: "user", Content: pick("hi", "anna@example.com", "card 4111111111111111").Draw(t, "turn")})
			}
		} else {
			r.Prompt = pick("hi", "bob@example.com", "card 4111 1111 1111 1111 and a long text of more than sixty bytes").Draw(t, "prompt")
		}
		if rapid.Bool().Draw(t, "bounded") {
			r.MaxTokens = new(rapid.IntRange(1, 1500).Draw(t, "tokens"))
		}
		f := facts
		f.Now = noon.Add(time.Duration(rapid.IntRange(0, 10).Draw(t, "later")) * time.Second)
		d := corporate.Decide(r, f, p)
		data, err := json.Marshal(d.Section)
		if err != nil {
			t.Fatal(err)
		}
		var stored messages.CorporateSection
		if err := json.Unmarshal(data, &stored); err != nil {
			t.Fatal(err)
		}
		again := corporate.Facts{Address: f.Address, Now: stored.StartedAt, SubmittedAt: f.SubmittedAt}
		word, was, now := corporate.JudgeRules(d.Kind, &stored, again, p.Rules)
		if word != corporate.AgainSame {
			t.Fatalf("%d: was %+v, now %+v, for %s", word, was, now, data)
		}
	})
}

func TestARecordIsJudgedByWhatItHas(t *testing.T) {
	r, f, p := setup(t)
	p.Rules = rulesOf(t, policy.Rule{ID: "x", Effect: policy.EffectDeny, When: `department == "finance"`}, policy.Rule{ID: "y", Effect: policy.EffectFlag, When: "true"})
	denied := corporate.Decide(r, f, p).Section
	p.Rules = nil
	free := corporate.Decide(r, f, p).Section
	old := free
	old.ReasonLength = 0
	r.AuditReason = ""
	early := corporate.Decide(r, f, p).Section
	all := rulesOf(t, policy.Rule{ID: "x", Effect: policy.EffectDeny, When: "true"})
	other := rulesOf(t, policy.Rule{ID: "z", Effect: policy.EffectDeny, When: "true"}, policy.Rule{ID: "y", Effect: policy.EffectFlag, When: "true"})
	for name, c := range map[string]struct {
		section messages.CorporateSection
		rules   *policy.Policy
		want    corporate.Again
	}{
		"free, and denied":           {free, all, corporate.AgainDenied},
		"denied, and free":           {denied, nil, corporate.AgainPassed},
		"denied by another rule":     {denied, other, corporate.AgainOtherwise},
		"flagged otherwise":          {denied, all, corporate.AgainOtherwise},
		"nothing, and nothing":       {free, nil, corporate.AgainSame},
		"refused before":             {early, all, corporate.AgainEarlier},
		"of a version without facts": {old, all, corporate.AgainUnknown},
	} {
		if word, was, now := corporate.JudgeRules(messages.KindPrompt, &c.section, f, c.rules); word != c.want {
			t.Errorf("%s: %d, was %+v, now %+v", name, word, was, now)
		}
	}
}

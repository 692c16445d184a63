package messages_test

import (
	"strings"
	"testing"

	"flowgate/messages"
)

func TestResultOfAnEnvelopeWithoutAnEndIsPending(t *testing.T) {
	e := fullEnvelope()
	e.End = nil
	r := messages.Project(messages.Key{Tenant: "acme", ID: "r1"}, e)
	if r.State != messages.ResultPending || r.Answer != "" || r.Metadata != nil || r.Status != "" {
		t.Errorf("got %+v", r)
	}
}

func TestResultOfASuccessHasAnswerAndTrueCost(t *testing.T) {
	r := messages.Project(messages.Key{Tenant: "acme", ID: "r1"}, fullEnvelope())
	if r.Answer != "ja" || r.Status != messages.StatusSuccess || r.State != messages.ResultDone {
		t.Errorf("got %+v", r)
	}
	if want := (messages.Tokens{Input: 127, Output: 50, Total: 177}); r.Metadata.Tokens != want {
		t.Errorf("tokens are %+v, want %+v", r.Metadata.Tokens, want)
	}
	if r.Metadata.CostMicroUSD != 32_234 || r.Metadata.CostUSD != 0.032234 {
		t.Errorf("cost is %d, %v: want the whole epoch's, attempts in doubt included", r.Metadata.CostMicroUSD, r.Metadata.CostUSD)
	}
}

func TestResultOfAFailureHasNoAnswerAndSaysWhy(t *testing.T) {
	e := fullEnvelope()
	e.End.Status, e.End.Reason = messages.StatusFailure, messages.ReasonSLAMissed
	r := messages.Project(messages.Key{Tenant: "acme", ID: "r1"}, e)
	if r.Answer != "" {
		t.Errorf("a failure shows the answer %q", r.Answer)
	}
	if info := messages.Explain(messages.ReasonSLAMissed); r.Retry != info.Retry || r.Message != strings.TrimSuffix(info.Text, ".")+": d." {
		t.Errorf("got %q, retry %v", r.Message, r.Retry)
	}
}

func TestResultShowsNoFactsOfPolicy(t *testing.T) {
	text := string(encode(t, messages.Project(messages.Key{Tenant: "acme", ID: "r1"}, fullEnvelope())))
	for _, fact := range []string{"policy", "scope", "reserved", "price", "bound", "department", "prompt"} {
		if strings.Contains(text, fact) {
			t.Errorf("the result shows %q: %s", fact, text)
		}
	}
}

func TestCostSumsEveryAttempt(t *testing.T) {
	if got := messages.Cost(fullEnvelope().History); got != 32_234 {
		t.Errorf("got %d, want the attempt in doubt at its bound and the other at its cost", got)
	}
	if messages.Cost(nil) != 0 {
		t.Error("no attempts cost something")
	}
}

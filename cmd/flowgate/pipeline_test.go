package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker/postgres"
)

// recordedFailure is what is recorded of a request whose texts are hostile, and which ended at the model.
func recordedFailure(t *testing.T) *pipelineView {
	t.Helper()
	at := func(ms int) time.Time {
		return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
	}
	stay := func(v messages.Verdict, from, to int) messages.Stay {
		return messages.Stay{Verdict: v, Reason: messages.ReasonOK, StartedAt: at(from), FinishedAt: at(to)}
	}
	corporate := &messages.CorporateSection{
		Stay: stay(messages.VerdictApproved, 2, 5), UserID: "ann\x1b[31m", Department: "sales", AuditReason: strings.Repeat("because ", 14), PolicyVersion: "s1",
		PriceVersion: "p1", ReservedMicroUSD: 1000,
		Agreement: &messages.AgreementRef{Trigger: "[Cost Analysis]", Version: "1", Owner: "finance", SLASeconds: 30},
		Facts:     &messages.CorporateFacts{Agreement: &messages.AgreementFact{State: "approved", By: "text", Confidence: 0.85}},
		Findings:  []messages.Finding{{Type: "EMAIL_ADDRESS", Count: 2, Action: "mask"}},
	}
	corporate.Checks = []messages.Check{{Name: "agreement", State: "pass"}, {Name: "cost", State: "pass"}, {Name: "model", State: "not_applicable"}}
	e := &messages.Envelope{
		Kind: messages.KindPrompt, SubmittedAt: at(0), Corporate: corporate,
		AI: &messages.AISection{Stay: messages.Stay{Verdict: messages.VerdictFailed, Reason: messages.ReasonBackendQuota, StartedAt: at(7), FinishedAt: at(907)}},
		End: &messages.End{
			Status: messages.StatusFailure, Reason: messages.ReasonBackendQuota, Layer: messages.LayerAI, CostMicroUSD: 300, FinishedAt: at(908), Replayable: true,
		},
	}
	story := &postgres.EpochTimeline{
		Admission: &postgres.Admission{State: "approved", AdmittedAt: at(2), Reserved: 1000, Scopes: []string{"tenant:default:day:2026-01-31"}, RequestSHA256: "ab"},
		Attempts: []postgres.Attempt{
			{K: 1, At: at(8), DurationMS: 900, Backend: "openai", Billing: "known", Charged: 300, Class: "quota", Code: "429", Detail: "no\u202emoney"},
		},
		DeadLetter: &postgres.DeadLetterInfo{Bytes: 9},
		Steps: []postgres.Step{
			{At: at(0), What: "submitted", Stream: "FLOWGATE_INGRESS", Seq: 4},
			{At: at(5), What: "corporate_llm approved", Layer: "corporate_llm", Reason: "ok", Text: "ok"},
			{At: at(909), What: "outcome failure", Layer: "ai_processing", Reason: "backend_quota", Text: "backend_quota, " + strings.Repeat("long ", 20), Stream: "FLOWGATE_WORK_0", Seq: 7},
		},
	}
	v := &pipelineView{CorrelationID: "order-1"}
	v.add("r1", story, e)
	v.add("r2", &postgres.EpochTimeline{
		Admission: &postgres.Admission{State: "waiting", Reason: "waiting_money", AdmittedAt: at(3)},
		Steps:     []postgres.Step{{At: at(3), What: "admission waiting", Layer: "corporate_llm", Reason: "waiting_money", Text: "waiting_money"}},
	}, nil)
	v.order()
	return v
}

const writtenFailure = `correlation id order-1: 2 requests, 4 records

#1 r1, epoch 0: failure (backend_quota), 0.908 s, $0.000300
   prompt by ann�[31m of sales: "because because because because because because because because
   because because because because because because "
   agreement   pass, at 2.0 ms
               [Cost Analysis] version 1, meant by its text, confidence 0.85, approved
               owner finance, an answer within 30 s
   governance  approved, at 2.0 ms, took 3.0 ms
               passed agreement, cost
               by settings s1, prices p1
               found EMAIL_ADDRESS 2 (mask)
               held $0.001000 in tenant:default:day:2026-01-31
   ai          failed (backend_quota), at 7.0 ms, took 900.0 ms
               attempt 1: openai, known $0.000300, 900 ms, quota 429: no�money
   optimizer   not_reached
   outcome     failure (backend_quota), at 908.0 ms
               ended by ai_processing, cost $0.000300
               %s
               next: %s
               it is a dead letter, and can be replayed

#2 r2, epoch 0: pending, its end is not recorded
   agreement   pending
   governance  waiting (waiting_money), at 3.0 ms
   ai          pending
   optimizer   pending
   outcome     pending

        MS  #  LAYER      EVENT              RECORD     WHAT
       0.0  1  -          submitted          INGRESS:4
       3.0  2  corporate  admission waiting  -          waiting_money
       5.0  1  corporate  approved           -
     909.0  1  ai         outcome failure    WORK_0:7   backend_quota, long long long long long lon…
`

func TestPipelinesAreWrittenInLinesThatFit(t *testing.T) {
	t.Parallel()
	v := recordedFailure(t)
	var wide, narrow bytes.Buffer
	if err := v.write(newPage(&wide)); err != nil {
		t.Fatal(err)
	}
	info := messages.Explain(messages.ReasonBackendQuota)
	if want := fmt.Sprintf(writtenFailure, info.Text, info.Next); wide.String() != want {
		t.Errorf("got\n%s\nwant\n%s", wide.String(), want)
	}
	if err := v.write(&page{w: &narrow, width: 40}); err != nil {
		t.Fatal(err)
	}
	fitsIn(t, wide.String(), pageWidth)
	fitsIn(t, narrow.String(), 40)
	if got, want := strings.Count(narrow.String(), "\n"), strings.Count(wide.String(), "\n"); got != want {
		t.Errorf("a narrow terminal has %d lines, a wide one %d: they are cut, not broken", got, want)
	}
}

// fitsIn wants no line to be wider, and none to hold what a terminal obeys.
func fitsIn(t *testing.T, text string, width int) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if cellsOf(line) > width {
			t.Errorf("a line has %d cells: %s", cellsOf(line), line)
		}
		if strings.ContainsFunc(line, commands) {
			t.Errorf("a line holds what a terminal obeys: %q", line)
		}
	}
}

package messages_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"flowgate/messages"
)

func moment(seconds int) time.Time {
	return time.Date(2026, 1, 31, 12, 0, seconds, 250_000_000, time.UTC)
}

// fullEnvelope has every field of an envelope that ended well in its second epoch.
func fullEnvelope() *messages.Envelope {
	agreed := &messages.AgreementRef{Trigger: "[Cost Analysis]", Version: "0a1b2c3d4e5f", SLASeconds: 30}
	usage := messages.Usage{
		InputUncached: 100, InputCacheRead: 20, InputCacheWrite5m: 3, InputCacheWrite1h: 4, Output: 50, OutputReasoning: 10,
		ServiceTier: "standard", Batch: true, InferenceGeo: "us",
	}
	stay := func(v messages.Verdict, from int) messages.Stay {
		return messages.Stay{
			Verdict: v, Reason: messages.ReasonOK, StartedAt: moment(from), FinishedAt: moment(from + 1),
			Checks: []messages.Check{{Name: "agreement", State: "pass", Detail: "0a1b2c3d4e5f"}},
		}
	}
	return &messages.Envelope{
		V: 1, Kind: messages.KindPrompt, Epoch: 1, N: 2, P: 3, Base: 17, IngressSeq: 42,
		SubmittedAt: moment(0), TraceID: "0af7651916cd43dd8448eb211c80319c", NotBefore: moment(5), NotAfter: moment(59),
		Request:       json.RawMessage(`{"prompt":"1 < 2 & \"so on\"","audit_reason":"test"}`),
		RequestClaim:  &messages.Claim{Key: "acme/r1/1/ff", SHA256: "ff", Size: 70000},
		RequestSHA256: "ee", Malformed: messages.NewMalformed("flowgate.request.rt.acme.r1", []byte("\xff{")),
		Replay: &messages.ReplayOrigin{Reason: "backend is well", By: "op", ResumeAt: messages.StateAI, CarriedFrom: 0, CarriedSHA256: "dd", Edited: true},
		Corporate: &messages.CorporateSection{
			Stay: stay(messages.VerdictApproved, 1), UserID: "u1", Department: "finance", Priority: messages.PriorityHigh, AuditReason: "test", CorrelationID: "order-4711",
			Model: "claude-3-sonnet-20240229", RequestedModel: "claude-3-sonnet", Temperature: 0, MaxTokens: 2000,
			Sampling:      &messages.Sampling{TopP: new(0.9), TopK: new(40), Stop: []string{"END"}},
			BoundMicroUSD: 31_000, ReservedMicroUSD: 62_000, BillableAttempts: 2, Scopes: []string{"tenant:acme:day:2026-01-31"},
			Backend: "anthropic", Rates: []messages.RateLimit{{Name: "rate:acme/user/u1:minute", Requests: 60, Tokens: 90_000, Wait: true}}, RateTokens: 2_100,
			RateBlocked: "rate:acme/user/u1:minute", RetryAt: moment(8),
			PriceVersion: "p1", PolicyVersion: "s1", Agreement: agreed,
			Facts: &messages.CorporateFacts{
				DecidedAt: moment(2), Temperature: new(0.0), MaxTokens: new(2000), Trigger: "[None]", Growth: 7,
				Found: []messages.Finding{{Type: "EMAIL_ADDRESS", Count: 2}}, Budgets: []messages.BudgetFact{{Kind: "user", Request: 1, Day: 2, Month: 3}}, Ended: true, BehindModel: true,
				Rates: []messages.RateFact{{Kind: "model", Name: "m", RequestsMinute: 1, RequestsHour: 2, TokensMinute: 3, TokensHour: 4, Excess: "wait"}},
			},
		},
		AI: &messages.AISection{
			Stay: stay(messages.VerdictProcessed, 3), Backend: "anthropic", Model: "claude-3-sonnet-20240229", Answer: "ja", AnswerLength: 2,
			AnswerClaim: &messages.Claim{Key: "acme/r1/1/aa", SHA256: "aa", Size: 65537}, AnswerSHA256: "aa",
			FinishReason: "end_turn", ProviderRequestID: "req_1", CacheHit: true, Usage: usage, CostMicroUSD: 1_234, PriceVersion: "p1",
			ProcessingSeconds: 1.5, Attempts: 2, Agreement: agreed,
		},
		Optimizer: &messages.OptimizerSection{Stay: stay(messages.VerdictValidated, 6), Agreement: agreed},
		Slept:     &messages.Slept{Seq: 7, State: messages.StateAI}, Wait: messages.ReasonWaitingMoney,
		History: []messages.Attempt{fullAttempt(), {K: 2, Layer: messages.LayerAI, StartedAt: moment(4), Billing: messages.BillingKnown, CostMicroUSD: 1_234, Usage: &usage}},
		End: &messages.End{
			Status: messages.StatusSuccess, Reason: messages.ReasonOK, Field: "f", Detail: "d", Layer: messages.LayerOptimizer,
			Replayable: true, CostMicroUSD: 32_234, FinishedAt: moment(7), RetryAt: moment(8),
		},
	}
}

func fullAttempt() messages.Attempt {
	return messages.Attempt{
		K: 1, Layer: messages.LayerAI, Backend: "anthropic", Model: "claude-3-sonnet-20240229", Class: "in_doubt", Code: "529", Detail: "cut off",
		StartedAt: moment(2), DurationMS: 900, Tries: 3, Repeats: 4, Billing: messages.BillingInDoubt, CostMicroUSD: 31_000, BoundMicroUSD: 31_000,
		PriceVersion: "p1", RetryAfterMS: 1500, Worker: "w1",
	}
}

func fullEvent() messages.Event {
	attempt := fullAttempt()
	return messages.Event{
		V: 1, Kind: messages.EventAttemptEnd, Key: messages.Key{Tenant: "acme", ID: "r1"}, Epoch: 1, At: moment(9), Detail: "d",
		IngressSeq: 42, Attempt: &attempt, Scopes: []string{"s"}, Worker: "w1",
		Pause: &messages.PauseNote{Kind: "layer", Name: "ai_processing", Reason: "maintenance", By: "ops", Since: moment(1), Version: 17},
		Alert: &messages.AlertNote{
			Kind: "user", Name: "anna", Window: "day", Scope: "user:acme/anna:day:2026-01-31", Mark: 80, Limit: 5_000_000, Spent: 4_000_001, Reserved: 2,
		},
		Limit:     &messages.LimitNote{Kind: "user", Name: "u1", RequestsMinute: 60, RequestsHour: 1_000, TokensMinute: 90_000, TokensHour: 900_000, Excess: "wait", Reason: "plan", By: "ops", Version: 18},
		Agreement: &messages.AgreementNote{Trigger: "[Cost Analysis]", Version: "0a1b2c3d4e5f", Act: "approve", State: "approved", Reason: "ticket 4711", By: "maria", Revision: 19},
	}
}

func fullCalling() messages.Calling {
	return messages.Calling{V: 1, Epoch: 1, InputSeq: 9, Worker: "w1", Attempt: fullAttempt(), History: []messages.Attempt{fullAttempt()}}
}

func TestWireIsStable(t *testing.T) {
	result := messages.Project(messages.Key{Tenant: "acme", ID: "r1"}, fullEnvelope())
	envelope, err := messages.EncodeEnvelope(fullEnvelope())
	if err != nil {
		t.Fatal(err)
	}
	for name, encoded := range map[string][]byte{
		"envelope": envelope, "result": encode(t, result), "event": encode(t, fullEvent()), "calling": encode(t, fullCalling()),
	} {
		t.Run(name, func(t *testing.T) {
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, encoded, "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".json"), append(pretty.Bytes(), '\n'))
			if err := valid(compiled(t, name), encoded); err != nil {
				t.Errorf("the schema refuses what the type writes: %v", err)
			}
		})
	}
}

func TestGoldenFilesReadBackWhole(t *testing.T) {
	e, err := messages.DecodeEnvelope(compact(t, "envelope"))
	same(t, err, e, fullEnvelope())
	event, err := messages.DecodeEvent(compact(t, "event"))
	same(t, err, event, fullEvent())
	calling, err := messages.DecodeCalling(compact(t, "calling"))
	same(t, err, calling, fullCalling())
}

func TestFullEnvelopeLeavesNoFieldOut(t *testing.T) {
	data, err := messages.EncodeEnvelope(fullEnvelope())
	if err != nil {
		t.Fatal(err)
	}
	var written map[string]json.RawMessage
	if err := json.Unmarshal(data, &written); err != nil {
		t.Fatal(err)
	}
	if got, want := len(written), reflect.TypeFor[messages.Envelope]().NumField(); got != want {
		t.Errorf("the golden envelope has %d fields of %d: add the new one to fullEnvelope", got, want)
	}
}

func TestEncodingKeepsTextAsItIs(t *testing.T) {
	data, err := messages.EncodeEnvelope(fullEnvelope())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(`1 < 2 & \"so on\"`)) || bytes.HasSuffix(data, []byte("\n")) {
		t.Errorf("text was escaped or a line was ended: %s", data)
	}
}

func TestUnknownFieldsOfANewerWriterAreLeftOut(t *testing.T) {
	e, err := messages.DecodeEnvelope([]byte(`{"v":1,"kind":"prompt","epoch":2,"colour":"blue","corporate_llm":{"shade":1,"user_id":"u"},"wait":null}`))
	if err != nil || e.Epoch != 2 || e.Corporate.UserID != "u" {
		t.Errorf("got %+v, %v", e, err)
	}
}

func same(t *testing.T, err error, got, want any) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func compact(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

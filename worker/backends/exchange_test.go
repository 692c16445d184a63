package backends

import (
	"testing"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/workertest"
)

func TestAnErrorInsideAGoodAnswerHasTheClassOfItsCode(t *testing.T) {
	for _, test := range []struct {
		body      string
		class     ai.Class
		code      string
		elsewhere bool
	}{
		{`{"error":{"code":"rate_limit_exceeded"}}`, ai.ClassRateLimited, "rate_limit_exceeded", false},
		{`{"error":{"code":"server_is_overloaded","message":"wisteria-7741"}}`, ai.ClassOverloaded, "server_is_overloaded", false},
		{`{"type":"error","error":{"type":"overloaded_error"}}`, ai.ClassOverloaded, "overloaded_error", false},
		{`{"error":{"code":"insufficient_quota"}}`, ai.ClassQuota, "insufficient_quota", false},
		{`{"error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}`, ai.ClassQuota, "enforced_spend_limit_reached", false},
		{`{"error":{"code":"invalid_api_key"}}`, ai.ClassAuth, "invalid_api_key", false},
		{`{"error":{"code":"invalid_prompt"}}`, ai.ClassInvalid, "invalid_prompt", false},
		{`{"error":{"code":"model_not_found"}}`, ai.ClassInvalid, "model_not_found", true},
		{`{"error":{"code":"server_error"}}`, ai.ClassInDoubt, "server_error", false},
		{`{"error":{"type":"api_error"}}`, ai.ClassInDoubt, "api_error", false},
		{`{"error":{"code":"wisteria-7741"}}`, ai.ClassInDoubt, "none", false},
		{`{}`, ai.ClassInDoubt, "none", false},
	} {
		fault := insideFault("none", decodeTold(nil, []byte(test.body)).printable())
		if fault.Class != test.class || fault.Code != test.code || fault.Elsewhere != test.elsewhere || fault.Detail == "" {
			t.Errorf("%s: %+v, want %s (%s), elsewhere %v", test.body, fault, test.class, test.code, test.elsewhere)
		}
	}
}

func TestAModelThatIsNotThereMayBeElsewhere(t *testing.T) {
	for _, test := range []struct {
		status    int
		body      string
		elsewhere bool
	}{
		{404, `{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}`, true},
		{404, `{"error":"model 'x' not found, try pulling it first"}`, true},
		{400, `{"error":"model not found"}`, true},
		{400, `{"error":{"message":"The model ` + "`gpt-9`" + ` does not exist or you do not have access to it.","type":"invalid_request_error"}}`, true},
		{400, `{"error":{"message":"invalid model ID","type":"invalid_request_error","param":"model"}}`, true},
		{403, `{"error":{"code":"model_not_found"}}`, true},
		{400, `{"error":{"code":"unsupported_parameter","param":"temperature"}}`, true},
		{400, `{"error":{"type":"invalid_request_error","message":"messages: wrong"}}`, false},
		{422, `{"detail":[]}`, false},
		{500, `{"error":"model not found"}`, false},
		{429, `{"error":"model not found"}`, false},
	} {
		fault := statusFault(test.status, decodeTold(nil, []byte(test.body)).printable())
		if fault.Elsewhere != test.elsewhere || (test.elsewhere && fault.Class != ai.ClassInvalid) {
			t.Errorf("%d %s: %+v, want elsewhere %v", test.status, test.body, fault, test.elsewhere)
		}
	}
}

func TestWhatAProviderTellsOfItsQuotaGoesWithAnswerAndFault(t *testing.T) {
	server := workertest.NewOpenAI(t)
	header := map[string]string{"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
	good, bad := workertest.ReplyAnswer("x"), workertest.ReplyRateLimited(0)
	good.Header, bad.Header = header, header
	server.ScriptReplies("acme/good", good)
	server.ScriptReplies("acme/bad", bad)
	want := ai.Allowance{Limit: 100, Reset: 6 * time.Minute, Known: true}
	b := openAI(t, server.URL)
	if got, err := b.Call(t.Context(), workertest.NewCall("good")); err != nil || got.Quota.Requests != want {
		t.Errorf("answer has %+v, %v; want %+v", got.Quota, err, want)
	}
	if fault := faultFrom(t, b, workertest.NewCall("bad")); fault.Quota.Requests != want {
		t.Errorf("fault has %+v, want %+v", fault.Quota, want)
	}
}

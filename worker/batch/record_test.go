package batch_test

import (
	"strings"
	"testing"

	"flowgate/worker/batch"
)

func TestResultsHaveTheFormOfTheirLines(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, openAI("ok", "x"), openAI("no", "please fail"), `{"prompt":"x","model":"m-2","audit_reason":"y","id":"n"}`)
	run(t, job)
	id := job.BatchID
	wantOK := compact(t, `{"id":"batch_req_`+id+`-1","custom_id":"ok","response":{"status_code":200,"request_id":"`+id+`-1","body":{
		"id":"chatcmpl-`+id+`-1","object":"chat.completion","created":1767323045,"model":"m-1",
		"choices":[{"index":0,"message":{"role":"assistant","content":"answer to `+id+`-1"},"finish_reason":"stop"}],
		"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8},
		"metadata":{"flowgate":{"status":"success","reason":"ok","backend":"offline","cache_hit":false,"attempts":1,"cost_usd":0.000017,
		"finish_reason":"end_turn"}}}},"error":null}`)
	wantNative := compact(t, `{"v":1,"tenant":"acme","id":"`+id+`-3","state":"done","epoch":0,"status":"success","reason":"ok","retry":false,
		"answer":"answer to `+id+`-3","metadata":{"backend":"offline","model":"m-2","cache_hit":false,"processing_time":0,"response_length":0,
		"tokens":{"input":3,"output":5,"total":8},"cost_usd":0.000017,"cost_microusd":17,"attempts":1,"finish_reason":"end_turn"},
		"finished_at":"2026-01-02T03:04:05Z","line":3,"custom_id":"n"}`)
	wantNo := compact(t, `{"id":"batch_req_`+id+`-2","custom_id":"no","response":null,"error":{"code":"in_doubt",
		"message":"No call brought an answer that can be used, as often as may be paid for; each may have been billed.","line":2},"status":"failure",
		"flowgate":{"status":"failure","reason":"in_doubt","backend":"offline","cache_hit":false,"attempts":1,"cost_usd":0.000017,
		"finish_reason":"end_turn","retry":true,"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}}`)
	output, failed := strings.Join(lines(t, job.Output), "\n"), strings.Join(lines(t, job.Errors), "\n")
	for _, want := range []string{wantOK, wantNative} {
		if !strings.Contains(output, want) {
			t.Errorf("the output file is\n%s\nand lacks\n%s", output, want)
		}
	}
	if failed != wantNo {
		t.Errorf("the error file is\n%s, want\n%s", failed, wantNo)
	}
}

func TestResultsOfToolsAndEmbeddingsHaveTheirFormToo(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	vectors := strings.Replace(embed(`"input":["x","y"]`), `"custom_id":"a"`, `"custom_id":"v"`, 1)
	job := s.job(t, openAI("t", "use tools"), vectors, openAI("r", "seen before"), `{"prompt":"seen before","audit_reason":"y"}`)
	sum := run(t, job)
	id := job.BatchID
	tail := `"finish_reason":"end_turn"`
	for _, want := range []string{
		`"custom_id":"t","response":{"status_code":200,"request_id":"` + id + `-1","body":{"id":"chatcmpl-` + id + `-1","object":"chat.completion",
		"created":1767323045,"model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":null,
		"tool_calls":[{"id":"c1","type":"function","function":{"name":"find","arguments":"{\"q\":\"<a>\"}"}}]},"finish_reason":"tool_calls"}]`,
		`"custom_id":"v","response":{"status_code":200,"request_id":"` + id + `-2","body":{"object":"list","data":[
		{"object":"embedding","index":0,"embedding":[0.1,1e-3]},{"object":"embedding","index":1,"embedding":[2,3]}],"model":"m",
		"usage":{"prompt_tokens":3,"total_tokens":3},"metadata":{"flowgate":{"status":"success","reason":"ok","backend":"offline","cache_hit":false,"attempts":1,
		"cost_usd":0.000017,` + tail + `}}}`,
		`"cache_hit":true,"attempts":0,"cost_usd":0,` + tail + `,"reused":{"from":"disk","key":"` + strings.Repeat("a", 64) + `","age_seconds":2,"saved_microusd":17,
		"saved_seconds":1.5,"share_microusd":0}`,
	} {
		want = strings.ReplaceAll(strings.ReplaceAll(want, "\n", ""), "\t", "")
		if output := read(t, job.Output); !strings.Contains(output, want) {
			t.Errorf("the output file is\n%s\nand lacks\n%s", output, want)
		}
	}
	check := func(when string, sum batch.Summary) {
		t.Helper()
		if sum.Calls != 2 || sum.Reused["disk"] != 2 || sum.ReusedAnswers() != 2 || sum.SavedMicroUSD != 34 || sum.SavedSeconds != 3 || sum.TokensIn != 12 {
			t.Errorf("%s the summary is %+v", when, sum)
		}
	}
	check("at first", sum)
	again := run(t, job)
	if check("read again", again); again.Resumed != 4 {
		t.Errorf("read again: %+v", again)
	}
}

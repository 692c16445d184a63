package provider

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the golden files")

// TestAnswersAreTheGoldenOnes holds the wire of every protocol, usage with something of everything.
func TestAnswersAreTheGoldenOnes(t *testing.T) {
	for _, prompt := range []string{"Say OK", "Say OK, use-tool"} {
		for _, q := range questions {
			s := start(t, func(a Ask) Reply { r := rich(a); r.Tier = "priority"; return r })
			got := post(t.Context(), s, q.path, strings.Replace(q.body, "PROMPT", prompt, 1))
			var doc bytes.Buffer
			if got.err != nil || json.Indent(&doc, got.body, "", "  ") != nil {
				t.Fatalf("%s: %v %s", q.protocol, got.err, got.body)
			}
			doc.WriteByte('\n')
			name := string(q.protocol)
			if strings.Contains(prompt, useTool) {
				name += "_tool"
			}
			golden(t, name+".json", doc.Bytes())
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil { //nolint:gosec // it is public
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it):\n%s", path, got)
	}
}

// chatText is the text that Chat Completions answers.
func chatText(t *testing.T, s *Server, body string) (text, finish string, usage map[string]any) {
	t.Helper()
	got := post(t.Context(), s, "/v1/chat/completions", body)
	var doc struct {
		Choices []struct {
			FinishReason string `json:"finish_reason"`
			Message      struct{ Content string }
		}
		Usage map[string]any
	}
	if err := json.Unmarshal(got.body, &doc); err != nil || got.status != 200 || len(doc.Choices) != 1 {
		t.Fatalf("%d %v %s", got.status, err, got.body)
	}
	return doc.Choices[0].Message.Content, doc.Choices[0].FinishReason, doc.Usage
}

// TestWhateverIsAskedOtherwiseIsAnsweredOtherwise, and the same the same.
func TestWhateverIsAskedOtherwiseIsAnsweredOtherwise(t *testing.T) {
	s := start(t, nil)
	seen := map[string]string{}
	for _, body := range []string{
		`{"model":"m","messages":[{"role":"user","content":"a"}]}`,
		`{"model":"n","messages":[{"role":"user","content":"a"}]}`,
		`{"model":"m","messages":[{"role":"user","content":"b"}]}`,
		`{"model":"m","messages":[{"role":"assistant","content":"a"}]}`,
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":"a"}]}`,
		`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}]}`,
		`{"model":"m","temperature":0,"messages":[{"role":"user","content":"a"}]}`,
		`{"model":"m","temperature":1,"messages":[{"role":"user","content":"a"}]}`,
		`{"model":"m","max_tokens":90,"messages":[{"role":"user","content":"a"}]}`,
		`{"model":"m","top_p":0.5,"messages":[{"role":"user","content":"a"}]}`,
		`{"model":"m","seed":5,"messages":[{"role":"user","content":"a"}]}`,
		`{"model":"m","stop":"zzz","messages":[{"role":"user","content":"a"}]}`,
	} {
		first, _, _ := chatText(t, s, body)
		again, _, _ := chatText(t, s, body)
		if first != again {
			t.Errorf("%s is answered once with %q, once with %q", body, first, again)
		}
		if other, twice := seen[first]; twice {
			t.Errorf("%s and %s are answered alike: %q", body, other, first)
		}
		seen[first] = body
	}
}

// TestTheSameQuestionHasOneAnswerInEveryProtocol, since the answer is made before its words.
func TestTheSameQuestionHasOneAnswerInEveryProtocol(t *testing.T) {
	s := start(t, nil)
	texts := map[string]bool{}
	for path, body := range map[string]string{
		"/v1/messages":                        `{"model":"m","max_tokens":50,"temperature":0.5,"messages":[{"role":"user","content":"a"}]}`,
		"/v1/chat/completions":                `{"model":"m","max_tokens":50,"temperature":0.5,"messages":[{"role":"user","content":"a"}]}`,
		"/model/m/converse":                   `{"inferenceConfig":{"maxTokens":50,"temperature":0.5},"messages":[{"role":"user","content":[{"text":"a"}]}]}`,
		"/model/m/invoke":                     `{"anthropic_version":"bedrock-2023-05-31","max_tokens":50,"temperature":0.5,"messages":[{"role":"user","content":"a"}]}`,
		"/gateway/mlflow/v1/chat/completions": `{"model":"m","max_tokens":50,"temperature":0.5,"messages":[{"role":"user","content":"a"}]}`,
		"/endpoints/m/invocations":            `{"max_tokens":50,"temperature":0.5,"messages":[{"role":"user","content":"a"}]}`,
		"/gateway/m/invocations":              `{"max_tokens":50,"temperature":0.5,"messages":[{"role":"user","content":"a"}]}`,
		"/v1/responses":                       `{"model":"m","max_output_tokens":50,"temperature":0.5,"input":"a"}`,
	} {
		got := post(t.Context(), s, path, body)
		_, rest, _ := strings.Cut(string(got.body), "no model but")
		text, _, _ := strings.Cut(rest, `"`)
		if texts[text] = true; len(texts) > 1 || text == "" {
			t.Errorf("%s: %s", path, got.body)
		}
	}
}

func TestBoundsAndStopSequencesAreObeyed(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct {
		more, finish string
		tokens       float64
		ends         string
	}{
		{`"max_tokens":3`, "length", 3, "model but"},
		{`"max_completion_tokens":1`, "length", 1, "no"},
		{`"stop":["says","within"]`, "stop", 7, "temperature absent "},
		{`"max_tokens":200`, "stop", 12, ""},
	} {
		text, finish, usage := chatText(t, s, `{"model":"m",`+c.more+`,"messages":[{"role":"user","content":"abcdefghi"}]}`)
		if finish != c.finish || usage["completion_tokens"] != c.tokens || !strings.HasSuffix(text, c.ends) || usage["prompt_tokens"] != 3.0 {
			t.Errorf("%s: %q %s %v", c.more, text, finish, usage)
		}
	}
}

// TestToolsAreCalledAndTheirResultsRead goes the whole way in each protocol that has tools.
func TestToolsAreCalledAndTheirResultsRead(t *testing.T) {
	s := start(t, nil)
	const schema = `{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":3}},"required":["city","days"]}`
	said := ResultHash("sunny")
	for _, c := range []struct{ path, ask, called, result string }{
		{
			"/v1/messages",
			`{"model":"m","max_tokens":50,"tools":[{"name":"a","input_schema":{}},{"name":"weather","input_schema":` + schema + `}],"tool_choice":{"type":"tool","name":"weather"},"messages":[{"role":"user","content":"x"}]}`,
			`"stop_reason":"tool_use"`,
			`{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"weather","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"ID","content":[{"type":"text","text":"sunny"}]}]}]}`,
		},
		{
			"/v1/chat/completions",
			`{"model":"m","tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}],"tool_choice":"required","messages":[{"role":"user","content":"x"}]}`,
			`"finish_reason":"tool_calls"`,
			`{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","arguments":"{}"}}]},{"role":"tool","tool_call_id":"ID","content":"sunny"}]}`,
		},
		{
			"/v1/responses",
			`{"model":"m","tools":[{"type":"function","name":"weather","parameters":` + schema + `}],"tool_choice":{"type":"function","name":"weather"},"input":"x"}`,
			`"type":"function_call"`,
			`{"model":"m","input":[{"role":"user","content":"x"},{"type":"function_call","call_id":"c1","name":"weather","arguments":"{}"},{"type":"function_call_output","call_id":"ID","output":"sunny"}]}`,
		},
		{
			"/model/m/converse",
			`{"toolConfig":{"tools":[{"toolSpec":{"name":"weather","inputSchema":{"json":` + schema + `}}}],"toolChoice":{"any":{}}},"messages":[{"role":"user","content":[{"text":"x"}]}]}`,
			`"stopReason":"tool_use"`,
			`{"messages":[{"role":"user","content":[{"text":"x"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"c1","name":"weather","input":{}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"ID","content":[{"text":"sunny"}]}}]}]}`,
		},
	} {
		called := post(t.Context(), s, c.path, c.ask)
		plain := strings.ReplaceAll(string(called.body), `\"`, `"`)
		if !strings.Contains(plain, c.called) || !strings.Contains(plain, `"city":"text-`) || !strings.Contains(plain, `"days":`) {
			t.Errorf("%s: %s", c.path, called.body)
		}
		if got := post(t.Context(), s, c.path, strings.Replace(c.result, "ID", "c1", 1)); !bytes.Contains(got.body, []byte("tool result "+said)) {
			t.Errorf("%s: %s", c.path, got.body)
		}
		if got := post(t.Context(), s, c.path, strings.Replace(c.result, "ID", "c2", 1)); got.status != 400 {
			t.Errorf("%s: a result of no call is answered with %d", c.path, got.status)
		}
	}
}

func TestStructuredAnswersSatisfyTheirSchema(t *testing.T) {
	s := start(t, nil)
	for _, schema := range []string{
		`{"type":"object","properties":{"name":{"type":"string","minLength":20},"n":{"type":"integer","minimum":500},"x":{"type":"number","maximum":-1},"ok":{"type":"boolean"}},"required":["name","n","x","ok"],"additionalProperties":false}`,
		`{"type":"object","properties":{"mood":{"enum":["calm","wild"]},"list":{"type":"array","minItems":2,"items":{"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}}},"required":["mood","list"]}`,
		`{"type":"array","items":{"type":["string","null"],"maxLength":3}}`,
		`{"type":"object","properties":{"child":{"$ref":"#/$defs/node"}},"required":["child"],"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"},"v":{"const":7}},"required":["v"]}}}`,
		`{"anyOf":[{"type":"string"},{"type":"null"}]}`,
	} {
		text, finish, _ := chatText(t, s, `{"model":"m","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":`+schema+`}},"messages":[{"role":"user","content":"x"}]}`)
		if err := satisfies(schema, text); err != nil || finish != "stop" {
			t.Errorf("%s: %s %s: %v", schema, finish, text, err)
		}
	}
	text, finish, usage := chatText(t, s, `{"model":"m","max_tokens":3,"response_format":{"type":"json_object"},"messages":[{"role":"user","content":"x"}]}`)
	if finish != "length" || usage["completion_tokens"] != 3.0 || json.Valid([]byte(text)) {
		t.Errorf("%s %v %s", finish, usage, text)
	}
	for _, schema := range []string{`{"type":"wish"}`, `{"$ref":"#/$defs/none"}`, `{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"$ref":"#/$defs/a"}}}`, `7`} {
		got := post(t.Context(), s, "/v1/messages", `{"model":"m","max_tokens":50,"output_config":{"format":{"type":"json_schema","schema":`+schema+`}},"messages":[{"role":"user","content":"x"}]}`)
		if got.status != 400 || !bytes.Contains(got.body, []byte("schema")) {
			t.Errorf("%s: %d %s", schema, got.status, got.body)
		}
	}
}

func satisfies(schema, text string) error {
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("s.json", parsed); err != nil {
		return err
	}
	compiled, err := c.Compile("s.json")
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return compiled.Validate(doc)
}

func TestImagesAreLookedAt(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct {
		kind, data string
		status     int
	}{
		{"image/png", pixel, 200},
		{"image/jpeg", pixel, 400},
		{"image/png", "AAAA", 400},
		{"image/png", "not base64", 400},
		{"image/bmp", pixel, 400},
		{"image/png", "", 400},
	} {
		for path, body := range map[string]string{
			"/v1/messages":         `{"model":"m","max_tokens":50,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"KIND","data":"DATA"}}]}]}`,
			"/v1/chat/completions": `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:KIND;base64,DATA"}}]}]}`,
			"/v1/responses":        `{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"data:KIND;base64,DATA"}]}]}`,
			"/model/m/converse":    `{"messages":[{"role":"user","content":[{"image":{"format":"` + strings.TrimPrefix(c.kind, "image/") + `","source":{"bytes":"DATA"}}}]}]}`,
		} {
			got := post(t.Context(), s, path, strings.NewReplacer("KIND", c.kind, "DATA", c.data).Replace(body))
			if got.status != c.status || c.status == 200 && !bytes.Contains(got.body, []byte("about 1 image(s)")) || c.status == 400 && !bytes.Contains(got.body, []byte("image")) {
				t.Errorf("%s %s %.10q: %d %s", path, c.kind, c.data, got.status, got.body)
			}
		}
	}
	if in := post(t.Context(), s, "/v1/chat/completions", fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]}]}`, pixel)); !bytes.Contains(in.body, []byte(`"prompt_tokens":86`)) {
		t.Errorf("%s", in.body)
	}
}

func TestVectorsAreOfLengthOneAndAlwaysTheSame(t *testing.T) {
	s := start(t, nil)
	vectors := func(body string) (all [][]float64) {
		var doc struct {
			Data []struct{ Embedding []float64 }
		}
		got := post(t.Context(), s, "/v1/embeddings", body)
		if err := json.Unmarshal(got.body, &doc); err != nil || got.status != 200 {
			t.Fatalf("%v %s", err, got.body)
		}
		for _, d := range doc.Data {
			all = append(all, d.Embedding)
		}
		return all
	}
	both, one := vectors(`{"model":"m","input":["a","b"],"dimensions":16}`), vectors(`{"model":"m","input":"a","dimensions":16}`)
	if len(both) != 2 || fmt.Sprint(both[0]) != fmt.Sprint(one[0]) || fmt.Sprint(both[0]) == fmt.Sprint(both[1]) {
		t.Errorf("%v %v", both, one)
	}
	sum := 0.0
	for _, x := range one[0] {
		sum += x * x
	}
	if sum < 0.9999 || sum > 1.0001 {
		t.Errorf("its length is %g", sum)
	}
	if got := vectors(`{"model":"m","input":"a"}`); len(got[0]) != defaultDimensions {
		t.Errorf("%d dimensions", len(got[0]))
	}
	if got := post(t.Context(), s, "/v1/embeddings", `{"model":"m","input":"a","dimensions":4,"encoding_format":"base64"}`); !bytes.Contains(got.body, []byte(`"embedding":"`)) {
		t.Errorf("%s", got.body)
	}
}

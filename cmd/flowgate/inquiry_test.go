package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"flowgate/messages"
)

// documentOf is what the flags of submit make, in a folder with files.
func documentOf(t *testing.T, args ...string) (messages.Request, error) {
	t.Helper()
	var s submission
	cmd := &cobra.Command{Use: "submit", Args: cobra.MaximumNArgs(1)}
	cmd.Flags().StringVarP(&s.file, "file", "f", "", "")
	s.flags(cmd.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	_, r, err := s.read(cmd, cmd.Flags().Args())
	return r, err
}

func TestFlagsMakeTheDocument(t *testing.T) {
	t.Chdir(t.TempDir())
	png := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte{0}, 8)...)
	for name, content := range map[string]string{
		"a.png": string(png), "a.txt": "text", "empty": " ", "lines": "one\n\ntwo\r\n", "broken": "{",
		"tools":  `[{"name":"find","parameters":{"type":"object"}},{"type":"function","function":{"name":"lose","description":"d"}}]`,
		"schema": `{"type":"object"}`, "large": strings.Repeat("x", messages.MaxRequestBytes+1),
		"prompt.json": `{"prompt":"p","audit_reason":"r","cache":{"no_store":true}}`,
		"turns.json":  `{"messages":[{"role":"user","content":"p","images":[{"url":"https://example.com/1"}]},{"role":"assistant","content":"q"}],"audit_reason":"r"}`,
	} {
		if err := os.WriteFile(filepath.Join(".", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := base64.StdEncoding.EncodeToString(png)
	for _, c := range []struct{ args, want string }{
		{"p --reason r", `{"prompt":"p","audit_reason":"r"}`},
		{
			"p --system s --top-p 0.5 --top-k 3 --stop a,b --stop c --seed 0 --temperature 0",
			`{"prompt":"p","system":"s","temperature":0,"top_p":0.5,"top_k":3,"stop":["a,b","c"],"seed":0,"audit_reason":""}`,
		},
		{
			"p --tools tools --tool-choice lose",
			`{"prompt":"p","tools":[{"name":"find","parameters":{"type":"object"}},{"name":"lose","description":"d"}],"tool_choice":"lose","audit_reason":""}`,
		},
		{"p --json-answer", `{"prompt":"p","response_format":{"type":"json_object"},"audit_reason":""}`},
		{"p --response-schema schema", `{"prompt":"p","response_format":{"type":"json_schema","name":"answer","schema":{"type":"object"}},"audit_reason":""}`},
		{
			"p --image a.png --image https://example.com/2",
			`{"messages":[{"role":"user","content":"p","images":[{"media_type":"image/png","data":"` + data + `"},{"url":"https://example.com/2"}]}],"audit_reason":""}`,
		},
		{
			"-f turns.json --image https://example.com/2",
			`{"messages":[{"role":"user","content":"p","images":[{"url":"https://example.com/1"},{"url":"https://example.com/2"}]},{"role":"assistant","content":"q"}],"audit_reason":"r"}`,
		},
		{"--input a --input b,c --input-lines lines --dimensions 3", `{"input":["a","b,c","one","two"],"dimensions":3,"audit_reason":""}`},
		{"p --no-cache --max-age 90s", `{"prompt":"p","cache":{"no_cache":true,"max_age":90},"audit_reason":""}`},
		{"-f prompt.json --refresh", `{"prompt":"p","cache":{"no_store":true,"refresh":true},"audit_reason":"r"}`},
		{"-f prompt.json --no-store=false", `{"prompt":"p","cache":{},"audit_reason":"r"}`},
	} {
		r, err := documentOf(t, strings.Fields(c.args)...)
		got, wrong := json.Marshal(r)
		if err != nil || wrong != nil || string(got) != c.want {
			t.Errorf("%s makes (%v)\n%s, want\n%s", c.args, err, got, c.want)
		}
	}
	for _, c := range []struct{ args, says string }{
		{"", "give a prompt"},
		{"p -f prompt.json", "give either a prompt or a document"},
		{"p --json-answer --response-schema schema", "either --json-answer or --response-schema"},
		{"p --response-schema broken", "must be valid JSON"},
		{"p --tools schema", "must be a JSON array of tools"},
		{"p --tools missing", "flag --tools: open missing"},
		{"p --tool-choice find", "tool_choice"},
		{"p --image a.txt", "is no PNG, JPEG, GIF or WebP"},
		{"p --image large", "is over the"},
		{"p --image http://example.com/1.png", "flag --image: an address must be https"},
		{"p --temperature NaN", "field temperature: must be a finite number (got NaN)"},
		{"p --top-p -Inf", "field top_p: must be a finite number (got -Inf)"},
		{"--input a --image a.png", "needs a prompt"},
		{"--input-lines empty", "is empty"},
		{"--input a --system s", "system"},
		{"p --dimensions 3", "input: is required beside dimensions"},
		{"p --max-age -1s", "cache.max_age"},
		{"p --top-p 0", "top_p"},
	} {
		if _, err := documentOf(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s", c.args, err, c.says)
		}
	}
}

func TestResultsShowToolCallsVectorsAndWhatWasReused(t *testing.T) {
	r := messages.Result{
		Key: messages.Key{ID: "a"}, State: messages.ResultDone, Status: messages.StatusSuccess, Reason: messages.ReasonOK,
		ToolCalls:  []messages.ToolCall{{ID: "c1", Name: "find", Arguments: "{\"q\":\"\x1b\"}"}},
		Embeddings: json.RawMessage(`[[1,2.5,3],[4,5,6]]`),
		Metadata:   &messages.ResultMetadata{Reused: &messages.Reused{From: "shared", AgeSeconds: 7265, SavedMicroUSD: 12, SavedSeconds: 1.25}},
	}
	for _, want := range []string{
		"  calls     find({\"q\":\"\ufffd\"}), id c1\n", "  vectors   2 of 3 dimensions", "  reused    from the cache (shared), 2h1m5s old; saved $0.000012 and 1.250 s\n",
	} {
		var out strings.Builder
		if err := writeResult(&out, &globals{}, r); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said (%v):\n%s", want, err, out.String())
		}
	}
	r.Metadata.Reused = &messages.Reused{From: messages.ReusedRequest, Leader: "b", SavedMicroUSD: 12}
	var out strings.Builder
	want := "of the identical request b, which was on its way and pays; saved"
	if err := writeResult(&out, &globals{}, r); err != nil || !strings.Contains(out.String(), want) {
		t.Errorf("%q is not said (%v):\n%s", want, err, out.String())
	}
}

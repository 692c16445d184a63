package provider

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzDocuments gives every decoder what anybody may send: each document is refused, or answered with JSON.
func FuzzDocuments(f *testing.F) {
	for _, q := range questions {
		f.Add(q.path, []byte(q.body))
		f.Add(q.path, []byte(strings.Replace(q.body, "PROMPT", "use-tool", 1)))
	}
	f.Add("/v1/messages", []byte(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"`+pixel+`"}}]}]}`))
	f.Add("/v1/chat/completions", []byte(`{"model":"m","stop":["a",""],"response_format":{"type":"json_schema","json_schema":{"schema":{"$ref":"#"}}},"messages":[null]}`))
	f.Add("/v1/responses", []byte(`{"model":"m","input":[{"type":"function_call_output"}],"tool_choice":{}}`))
	f.Add("/model/amazon.titan-embed-text-v2:0/invoke", []byte(`{"inputText":"a","dimensions":256}`))
	f.Add("/model/cohere.embed-english-v3/invoke", []byte(`{"texts":["a"],"input_type":"x"}`))
	f.Add("/v1/embeddings", []byte(`{"model":"m","input":[1,2]}`))
	s, err := New(Options{Listen: "127.0.0.1:0", MaxCalls: 16})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.first.Close() })
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		known := strings.HasPrefix(path, "/model/")
		for _, q := range questions {
			known = known || path == q.path
		}
		if !known || strings.ContainsAny(path, " \x00?#%\x7f") || strings.ContainsFunc(path, func(r rune) bool { return r < '!' || r > '~' }) {
			return
		}
		r := httptest.NewRequest("POST", path, strings.NewReader(string(body)))
		r.Header.Set("Anthropic-Version", "2023-06-01")
		r.Header.Set("Authorization", "Bearer any")
		r.Header.Set("X-Client-Request-Id", string(body[:min(len(body), 20)]))
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code == 404 || w.Code == 405 || w.Code/100 == 3 {
			return // there is no such path
		}
		if w.Code != 200 && w.Code != 400 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: %d %s", path, body, w.Code, w.Body)
		}
	})
}

// BenchmarkChat is what a call costs the provider itself, without the network.
func BenchmarkChat(b *testing.B) {
	s, err := New(Options{Listen: "127.0.0.1:0", MaxCalls: 1 << 10})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.first.Close() })
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(questions[1].body))
		w := httptest.NewRecorder()
		if s.handler.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}

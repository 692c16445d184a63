package batch_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker/batch"
)

// accepted opens what must be without fault.
func accepted(t *testing.T, content string) *batch.File {
	t.Helper()
	f, err := batch.Read("input", strings.NewReader(content), batch.Options{Tenant: tenant})
	if err != nil {
		t.Fatalf("reading the batch: %v", err)
	}
	t.Cleanup(func() { closed(t, f) })
	return f
}

// refused is the error about a file that must not be accepted.
func refused(t *testing.T, content string) error {
	t.Helper()
	f, err := batch.Read("input", strings.NewReader(content), batch.Options{Tenant: tenant})
	if err == nil {
		closed(t, f)
		t.Fatal("the file was accepted")
	}
	return err
}

func TestAFaultNamesLineFieldAndRule(t *testing.T) {
	ok := `{"prompt":"x","audit_reason":"y"}` + "\n"
	body := func(more string) string { return strings.Replace(openAI("a", "x"), `"max_tokens":9`, more, 1) }
	content := func(c string) string { return strings.Replace(openAI("a", "x"), `"content":"x"`, c, 1) }
	for _, c := range []struct{ name, content, want string }{
		{"native", strings.Repeat(ok, 16) + `{"prompt":"x","temperature":3}`, "line 17: field temperature: must be from 0 to 2 (got 3)"},
		{"an unknown field", ok + `{"promt":"x"}`, "line 2: field promt:"},
		{"a field twice", `{"prompt":"x","prompt":"y"}`, "line 1: field prompt: must be given once (got it twice)"},
		{"another tenant", `{"prompt":"x","tenant":"b"}`, "line 1: field tenant:"},
		{"an unknown class", `{"prompt":"x","class":"b"}`, "line 1: field class: must be rt, std or batch (got b)"},
		{"an id of the wrong type", `{"prompt":"x","id":3}`, "line 1: field id:"},
		{"no JSON", ok + "x", "line 2: field (document): must be valid JSON (got a fault at column 1)"},
		{"two documents", `{"prompt":"x"} {}`, "line 1: field (document): must be one JSON document (got further bytes after it)"},
		{"no UTF-8", "{\"prompt\":\"\xff\"}", "line 1: field (document): must be UTF-8"},
		{"a blank line in the middle", ok + " \r\n" + ok, "line 2: field (document): must be a JSON object (got a blank line)"},
		{"a long line", ok + `{"prompt":"` + strings.Repeat("x", batch.MaxLineBytes) + `"}`, "line 2: field (document): must be at most 1040384 bytes (got a longer line)"},
		{"a custom id twice", openAI("a", "x") + "\n" + ok + openAI("a", "y"), "line 3: field custom_id: must be unique in the file, line 1 has the same"},
		{"an id twice", `{"prompt":"x","id":"a"}` + "\n" + `{"prompt":"x","id":"a"}`, "line 2: field id: must be unique in the file, line 1 has the same"},
		{"no custom id", strings.Replace(openAI("a", "x"), `"custom_id":"a",`, "", 1), "line 1: field custom_id: must be a string (got nothing)"},
		{"another method", strings.Replace(openAI("a", "x"), "POST", "GET", 1), "line 1: field method: must be POST (got GET)"},
		{"another url", strings.Replace(openAI("a", "x"), "chat/completions", "moderations", 1), "line 1: field url: must be /v1/chat/completions or /v1/embeddings (got /v1/moderations)"},
		{"more beside the body", strings.Replace(openAI("a", "x"), `"method"`, `"extra":1,"method"`, 1), "line 1: field extra: is not supported in a batch"},
		{"a body of the wrong type", `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":[]}`, "line 1: field body: must be an object (got array)"},
		{"logprobs", body(`"logprobs":true`), "line 1: field logprobs: is not supported in a batch"},
		{"top_p", body(`"top_p":2`), "line 1: field top_p: must be above 0 and at most 1 (got 2)"},
		{"stream", body(`"stream":true`), "line 1: field stream: is not supported in a batch (got bool)"},
		{"several choices", body(`"n":2`), "line 1: field n: must be 1 (got number)"},
		{"temperature", body(`"temperature":3`), "line 1: field temperature: must be from 0 to 2 (got 3)"},
		{"max_tokens", body(`"max_tokens":0`), "line 1: field max_tokens:"},
		{"max_completion_tokens", body(`"max_completion_tokens":0`), "line 1: field max_completion_tokens:"},
		{"both limits", body(`"max_tokens":1,"max_completion_tokens":2`), "line 1: field max_tokens: must agree with max_completion_tokens, or be left out"},
		{"metadata", strings.Replace(openAI("a", "x"), `"a test"`, "7", 1), "line 1: field metadata.audit_reason: must be a string (got number)"},
		{"priority", strings.Replace(openAI("a", "x"), `"purpose":"none"`, `"priority":"urgent"`, 1), "line 1: field metadata.priority:"},
		{"a role", strings.Replace(openAI("a", "x"), `"user"`, `"critic"`, 1), "line 1: field messages[0].role:"},
		{"content that is null", content(`"content":null`), "line 1: field messages[0].content: must be a string or an array of parts (got null)"},
		{"an image", content(`"content":[{"type":"image_url","image_url":{}}]`), "line 1: field messages[0].content[0].image_url.url: must be a string (got nothing)"},
		{"a sound", content(`"content":[{"type":"input_audio"}]`), "line 1: field messages[0].content[0].type: must be text or image_url (got input_audio)"},
		{"a part with more", content(`"content":[{"type":"text","text":"x","cache":1}]`), "line 1: field messages[0].content[0].cache: is not supported in a batch"},
		{"tool calls", content(`"content":"x","function_call":{}`), "line 1: field messages[0].function_call: is not supported in a batch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := refused(t, c.content)
			var fault *batch.LineError
			same := err.Error() == c.want || strings.HasSuffix(c.want, ":") && strings.HasPrefix(err.Error(), c.want+" ")
			if !same || !errors.As(err, &fault) {
				t.Errorf("the error is\n%s, want\n%s", err, c.want)
			}
		})
	}
}

func TestFaultsAreListedTogether(t *testing.T) {
	err := refused(t, strings.Repeat("x\n", 3))
	if got := strings.Split(err.Error(), "\n"); len(got) != 3 || !strings.HasPrefix(got[2], "line 3: ") {
		t.Errorf("the error is %q", got)
	}
	err = refused(t, strings.Repeat("x\n", 100))
	if got := strings.Split(err.Error(), "\n"); len(got) != batch.MaxFaults+1 || got[batch.MaxFaults] != "… and more" {
		t.Errorf("the error is %q", got)
	}
}

func TestAFileWithoutRequestsIsRefused(t *testing.T) {
	for _, content := range []string{"", "\n", " \r\n\n"} {
		if err := refused(t, content); !errors.Is(err, batch.ErrNoRequests) || err.Error() != "has no requests" {
			t.Errorf("the error about %q is %v", content, err)
		}
	}
}

func TestAFileThatIsTooLargeIsRefused(t *testing.T) {
	err := refused(t, strings.Repeat(`{"prompt":"x"}`+"\n", batch.MaxLines+1))
	if !errors.Is(err, batch.ErrTooLarge) || err.Error() != "is too large for one batch: 50000 lines at most; split it" {
		t.Errorf("the error is %v", err)
	}
	path := filepath.Join(t.TempDir(), "large")
	write(t, path, "")
	if err := os.Truncate(path, batch.MaxFileBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Open(path, batch.Options{Tenant: tenant}); !errors.Is(err, batch.ErrTooLarge) {
		t.Errorf("the error is %v", err)
	}
	large, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Read("pipe", io.MultiReader(large), batch.Options{Tenant: tenant}); !errors.Is(err, batch.ErrTooLarge) {
		t.Errorf("the error is %v", err)
	}
	if err := large.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFileIsReadWhole(t *testing.T) {
	content := "\xef\xbb\xbf" + `{"prompt":"<a> & b","audit_reason":"y","id":"n 1"}` + "\r\n" + openAI("c", "x") + "\n" +
		`{"prompt":"` + strings.Repeat("x", batch.MaxLineBytes-len(`{"prompt":""}`)) + `"}` + "\r\n\r\n\n"
	f := accepted(t, content)
	sum := sha256.Sum256([]byte(content))
	if f.Len() != 3 || f.Digest() != hex.EncodeToString(sum[:]) {
		t.Fatalf("the file has %d lines and the digest %s", f.Len(), f.Digest())
	}
	if l := f.Line(0); l.CustomID != "n 1" || l.OpenAI || l.Number != 1 || l.Class != messages.ClassBatch {
		t.Errorf("line 1 is %+v", l)
	}
	if l := f.Line(1); l.CustomID != "c" || !l.OpenAI || l.Number != 2 {
		t.Errorf("line 2 is %+v", l)
	}
	for i, want := range []string{
		`{"prompt":"<a> & b","audit_reason":"y"}`,
		`{"audit_reason":"a test","max_tokens":9,"messages":[{"role":"user","content":"x"}],"model":"m-1","purpose":"none"}`,
	} {
		if doc, err := f.Document(i); err != nil || string(doc) != want {
			t.Errorf("document %d is\n%s (%v), want\n%s", i, doc, err, want)
		}
	}
}

func TestTextPartsAreJoinedAndRequestFieldsMoved(t *testing.T) {
	f := accepted(t, `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"n":1,"stream":false,"temperature":0,`+
		`"max_completion_tokens":5,"messages":[{"role":"system","content":"s","name":"n"},{"role":"user","content":[{"type":"text","text":"a"},`+
		`{"type":"text","text":"b"}]}],"metadata":{"user_id":"u","department":"d","priority":"high","trigger":"[T]","audit_reason":"r"}}}`)
	want := `{"audit_reason":"r","department":"d","max_tokens":5,"messages":[{"role":"system","content":"s","name":"n"},` +
		`{"role":"user","content":"ab"}],"priority":"high","temperature":0,"trigger":"[T]","user_id":"u"}`
	if doc, err := f.Document(0); err != nil || string(doc) != want {
		t.Errorf("the document is\n%s (%v), want\n%s", doc, err, want)
	}
	if l := f.Line(0); l.Class != messages.ClassRT {
		t.Errorf("the class is %s", l.Class)
	}
}

func TestAFileThatChangesIsNoticed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "input.jsonl")
	write(t, path, `{"prompt":"x"}`)
	f, err := batch.Open(path, batch.Options{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, f)
	write(t, path, `{"prompt":"y"}`)
	if _, err := f.Document(0); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("the error is %v", err)
	}
}

func TestTheFilesOfUsersLoad(t *testing.T) {
	data := os.Getenv("FLOWGATE_DATA")
	if data == "" {
		data = "../../../shared/data"
	}
	for name, want := range map[string]int{"enron-100.jsonl": 100, "user/requests.jsonl": 9} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(data, name)
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
				t.Skipf("%s is absent: set FLOWGATE_DATA to the folder of the shared data", path)
			}
			f, err := batch.Open(path, batch.Options{Tenant: tenant})
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, f)
			if f.Len() != want {
				t.Errorf("%s has %d requests, want %d", name, f.Len(), want)
			}
			for i := range f.Len() {
				if _, err := f.Document(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func FuzzALine(f *testing.F) {
	f.Add([]byte(openAI("a", "x")))
	f.Add([]byte(`{"prompt":"x","id":"y","priority":"high","metadata":{"a":[1]}}`))
	f.Add([]byte(`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":[{"type":"text","text":"\ud800"}]}]}}`))
	for _, c := range conversions {
		f.Add([]byte(chat(c.body)))
		f.Add([]byte(embed(c.body)))
	}
	for _, c := range unconvertible {
		f.Add([]byte(chat(c.body)))
	}
	f.Add([]byte(embed(`"input":["a","b"],"dimensions":3,"encoding_format":"float"`)))
	f.Add([]byte(`{"ID":"y","Prompt":"x","v":1,"class":"rt"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := batch.Parse(raw, tenant)
		if err != nil {
			var fault *messages.FieldError
			if !errors.As(err, &fault) || fault.Field == "" || fault.Rule == "" {
				t.Fatalf("the fault names no field or rule: %v", err)
			}
			return
		}
		r, err := messages.DecodeRequest(p.Document)
		if err != nil || r.ID != "" {
			t.Fatalf("the document would be refused: %q: %v", p.Document, err)
		}
		if err := r.CheckAgainst(messages.Address{Key: messages.Key{Tenant: tenant, ID: "x"}, Class: p.Class}); err != nil {
			t.Fatalf("the document would be refused: %q: %v", p.Document, err)
		}
		again, err := batch.Parse(raw, tenant)
		if err != nil || !bytes.Equal(again.Document, p.Document) || again.CustomID != p.CustomID || again.Class != p.Class {
			t.Fatal(fmt.Errorf("the same line gives two documents: %w", err))
		}
	})
}

// TestABatchMayBeginLater: lines that say nothing of it begin when the batch does, the others when they say.
func TestABatchMayBeginLater(t *testing.T) {
	at, own := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), `"not_before":"2098-01-01T00:00:00Z"`
	lines := []string{
		`{"prompt":"a","audit_reason":"a test of delay"}`, `{"prompt":"b","audit_reason":"a test of delay",` + own + `}`,
		`{"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"c"}],"metadata":{"audit_reason":"a test of delay"}}}`,
	}
	f, err := batch.Read("input", strings.NewReader(strings.Join(lines, "\n")), batch.Options{Tenant: tenant, NotBefore: at})
	if err != nil {
		t.Fatal(err)
	}
	for i := range lines {
		document, err := f.Document(i)
		if err != nil {
			t.Fatal(err)
		}
		r, err := messages.DecodeRequest(document)
		if err != nil || r.NotBefore == nil || r.NotBefore.Equal(at) == (i == 1) {
			t.Errorf("%s became %s, %v", lines[i], document, err)
		}
	}
	early := `{"prompt":"a","audit_reason":"a test of delay","not_after":"2097-01-01T00:00:00Z"}`
	if _, err := batch.Read("input", strings.NewReader(early), batch.Options{Tenant: tenant, NotBefore: at}); err == nil {
		t.Error("a line that ends before the batch begins is taken")
	}
}

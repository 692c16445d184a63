package messages_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
)

// compactSeeds are JSON and almost JSON.
func compactSeeds() []string {
	return []string{
		`{}`, `[]`, `""`, `0`, `-0`, `-`, `01`, `1.`, `1.5e`, `1.5e+7`, `-1E-2`, `2e5.1`, `true`, `tru`, `null`, `nulll`, `"a`, `"\`, `"\u12`, `"\u12aF"`, `"\x"`, "\"\n\"", "\"\x7f\xff\"",
		`{"a":1,"b":[true,false,null,"x\n"]}`, `{"a" :1}`, `{"a":1,}`, `{"a"}`, `{1:2}`, `[1,]`, `[,1]`, `[1 ]`, `[[],{}]`, ` 1`, `1 `, ``, `}`, `{"a":{"b":[{"c":"<>&"}]}}`,
	}
}

// sameAsStandard fails unless Compact says of bytes what encoding/json makes of them.
func sameAsStandard(t *testing.T, data []byte) {
	t.Helper()
	var written bytes.Buffer
	same := json.Compact(&written, data) == nil && bytes.Equal(written.Bytes(), data)
	deep := bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) >= 64
	if got := messages.Compact(data); got != same && (got || !deep) {
		t.Errorf("%q: %v, encoding/json says %v", data, got, same)
	}
}

func TestCompactIsWhatEncodingJSONWouldWrite(t *testing.T) {
	for _, text := range compactSeeds() {
		sameAsStandard(t, []byte(text))
	}
	if deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000); messages.Compact([]byte(deep)) {
		t.Error("nested without end")
	}
}

func FuzzCompact(f *testing.F) {
	for _, text := range compactSeeds() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameAsStandard(t, data) })
}

// TestEnvelopesAreWhatEncodingJSONWrites to the byte, whatever stands in them.
func TestEnvelopesAreWhatEncodingJSONWrites(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, request := range []string{
		"", "0", `"request":0`, `{"prompt":"<b> & \"request\":0"}`, "{ \"prompt\" :\n\"x\"}", `{"request":0}`, `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	} {
		e := messages.Envelope{
			V: messages.Version, Kind: `"request":0`, TraceID: `\"request":0,`, SubmittedAt: now, Request: json.RawMessage(request), RequestSHA256: `"request":0`,
			AI: &messages.AISection{Answer: `"request":0 <>`},
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		wrong := enc.Encode(&e)
		got, err := messages.EncodeEnvelope(&e)
		if (err != nil) != (wrong != nil) || string(got) != strings.TrimSuffix(want.String(), "\n") {
			t.Errorf("%s: %s %v, want %s %v", request, got, err, want.String(), wrong)
		}
	}
}

func BenchmarkEncodeEnvelope(b *testing.B) {
	request, err := json.Marshal(messages.Request{Prompt: strings.Repeat("the report says so and so ", 80)})
	if err != nil {
		b.Fatal(err)
	}
	e := messages.Envelope{Kind: messages.KindPrompt, Request: request, AI: &messages.AISection{Answer: strings.Repeat("so it says ", 110)}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := messages.EncodeEnvelope(&e); err != nil {
			b.Fatal(err)
		}
	}
}

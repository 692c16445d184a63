package messages_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgate/messages"
)

// sharedData opens a file of real data that nobody on this project wrote.
func sharedData(t *testing.T, name string) []byte {
	t.Helper()
	folder := os.Getenv("FLOWGATE_DATA")
	if folder == "" {
		folder = "../../shared/data"
	}
	data, err := os.ReadFile(filepath.Join(folder, name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no shared data: %v (set FLOWGATE_DATA to the folder that has it)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestUsersOwnRequestsAreAccepted(t *testing.T) {
	schema := compiled(t, "request")
	lines := bufio.NewScanner(bytes.NewReader(sharedData(t, "user/requests.jsonl")))
	kinds := map[messages.Kind]int{}
	for n := 1; lines.Scan(); n++ {
		r, err := messages.DecodeRequest(lines.Bytes())
		if err != nil {
			t.Errorf("line %d: %v", n, err)
			continue
		}
		if err := valid(schema, lines.Bytes()); err != nil {
			t.Errorf("line %d: the schema refuses it: %v", n, err)
		}
		kinds[r.Kind()]++
	}
	want := map[messages.Kind]int{messages.KindPrompt: 5, messages.KindWorkflow: 3, messages.KindAction: 1}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("kinds are %v, want %v", kinds, want)
	}
}

// verdict is what one of the two readers of a request says.
type verdict bool

const (
	accepted verdict = true
	refused  verdict = false
)

func TestDecoderAndSchemaAgree(t *testing.T) { agree(t, requestDocuments()) }

func agree(t *testing.T, cases map[string]requestCase) {
	t.Helper()
	schema := compiled(t, "request")
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := messages.DecodeRequest([]byte(c.document))
			if got := verdict(err == nil); got != c.decoder {
				t.Errorf("the decoder says accepted=%v (%v), want %v", got, err, c.decoder)
			}
			said := valid(schema, []byte(c.document))
			if got := verdict(said == nil); got != c.schema {
				t.Errorf("the schema says accepted=%v (%v), want %v", got, said, c.schema)
			}
			if c.decoder != c.schema && c.why == "" {
				t.Error("they differ and the case does not say why")
			}
			var field *messages.FieldError
			if err != nil && !errors.As(err, &field) {
				t.Errorf("%T is no FieldError", err)
			}
			if field != nil && c.field != "" && field.Field != c.field {
				t.Errorf("the fault names %q, want %q: %v", field.Field, c.field, err)
			}
		})
	}
}

type requestCase struct {
	document        string
	decoder, schema verdict
	// field is what the decoder's fault must name, where it is set.
	field string
	// why explains what a schema cannot say.
	why string
}

// with puts fields into a prompt that is good without them.
func with(fields string) string { return `{"prompt":"hi","audit_reason":"test",` + fields + `}` }

func requestDocuments() map[string]requestCase {
	good := func(document string) requestCase {
		return requestCase{document: document, decoder: accepted, schema: accepted}
	}
	bad := func(document, field string) requestCase { return requestCase{document: document, field: field} }
	differ := func(document string, decoder, schema verdict, field, why string) requestCase {
		return requestCase{document, decoder, schema, field, why}
	}
	const onlyJSON = "a schema judges JSON that another reader has read already"
	long := strings.Repeat("x", messages.MaxTextBytes+1)
	return map[string]requestCase{
		"a prompt":                good(`{"prompt":"hi","audit_reason":"test"}`),
		"everything of a prompt":  good(with(`"v":1,"tenant":"a","id":"b","class":"rt","model":"m","temperature":0,"max_tokens":1,"user_id":"u","department":"d","priority":"low","metadata":{"a":{"b":[1,null,{"c":true}]}},"not_before":"2026-01-01T00:00:00Z","not_after":"2026-01-02T00:00:00+02:00"`)),
		"a conversation":          good(`{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi","name":"jo"}],"audit_reason":"t"}`),
		"a developer's word":      good(`{"messages":[{"role":"developer","content":"x"},{"role":"assistant","content":"y"},{"role":"user","content":"z"}],"audit_reason":"t"}`),
		"an action":               good(`{"trigger":"[Cost Analysis]","parameters":{"months":[1,2]},"audit_reason":"t"}`),
		"a prompt under a flow":   good(with(`"trigger":"[Cost Analysis]"`)),
		"a workflow":              good(`{"operation":"fix_errors","workflow":{"name":"n","steps":[{"id":"a","type":"group","steps":[{"id":"b","type":"x","config":{"k":null}}]}]},"options":{"max_parallel":2},"audit_reason":"t"}`),
		"a short chain":           good(`{"operation":"optimize_performance","workflow":{"data_source":"s3://b/","processing_steps":["a"],"compliance_requirements":["sox"],"sla_target":1.5},"audit_reason":"t"}`),
		"an analysis of text":     good(`{"operation":"optimize_performance","workflow":{"analysis_input":"text","optimization_target":"cost"},"audit_reason":"t"}`),
		"temperature 2":           good(with(`"temperature":2`)),
		"the most tokens":         good(with(`"max_tokens":1000000`)),
		"text of other scripts":   good(with(`"user_id":"Jürgen 北京"`)),
		"a tab in a prompt":       good(`{"prompt":"a\tb\u0000","audit_reason":"test"}`),
		"escapes in a field name": good(`{"\u0070rompt":"hi","audit_reason":"test"}`),

		"nothing asked":              bad(`{"audit_reason":"t"}`, "prompt"),
		"an empty prompt":            bad(`{"prompt":"","audit_reason":"t"}`, "prompt"),
		"no messages":                bad(`{"messages":[],"audit_reason":"t"}`, "prompt"),
		"prompt and messages":        bad(with(`"messages":[{"role":"user","content":"x"}]`), "prompt"),
		"prompt and workflow":        bad(with(`"operation":"fix_errors","workflow":{}`), "prompt"),
		"an operation on a prompt":   bad(with(`"operation":"fix_errors"`), "workflow"),
		"options of a prompt":        bad(with(`"options":{}`), "workflow"),
		"parameters, no trigger":     bad(with(`"parameters":{}`), "trigger"),
		"a workflow, no operation":   bad(`{"workflow":{"name":"n"},"audit_reason":"t"}`, "operation"),
		"an unknown operation":       bad(`{"operation":"destroy","workflow":{},"audit_reason":"t"}`, "operation"),
		"no message of a user":       bad(`{"messages":[{"role":"system","content":"x"}],"audit_reason":"t"}`, "messages"),
		"an unknown role":            bad(`{"messages":[{"role":"user","content":"x"},{"role":"critic","content":"x"}],"audit_reason":"t"}`, "messages[1].role"),
		"a message without content":  bad(`{"messages":[{"role":"user"}],"audit_reason":"t"}`, "messages[0].content"),
		"a step without id":          bad(`{"operation":"fix_errors","workflow":{"steps":[{"id":"a","type":"x","steps":[{"type":"y"}]}]},"audit_reason":"t"}`, "workflow.steps[0].steps[0].id"),
		"a step without type":        bad(`{"operation":"fix_errors","workflow":{"steps":[{"id":"a"}]},"audit_reason":"t"}`, "workflow.steps[0].type"),
		"an unknown field":           bad(with(`"promt":1`), "promt"),
		"an unknown field at depth":  bad(`{"operation":"fix_errors","workflow":{"name":"n","steps":[{"id":"a","type":"x"},{"id":"b","type":"x","confg":{}}]},"audit_reason":"t"}`, "workflow.steps[1].confg"),
		"a field in another case":    bad(with(`"Model":"m"`), "Model"),
		"a case at depth":            bad(`{"messages":[{"role":"user","Content":"x"}],"audit_reason":"t"}`, "messages[0].Content"),
		"null for a field":           bad(with(`"model":null`), "model"),
		"null for a free field":      bad(with(`"metadata":null`), "metadata"),
		"null in an array":           bad(`{"messages":[null],"audit_reason":"t"}`, "messages[0]"),
		"null for the document":      bad(`null`, "(document)"),
		"an array":                   bad(`[]`, "(document)"),
		"a text":                     bad(`"hi"`, "(document)"),
		"a number for a text":        bad(with(`"model":7`), "model"),
		"a text for a number":        bad(with(`"temperature":"warm"`), "temperature"),
		"a text for messages":        bad(`{"messages":"hi","audit_reason":"t"}`, "messages"),
		"a text for metadata":        bad(with(`"metadata":"x"`), "metadata"),
		"a fraction of a token":      bad(with(`"max_tokens":1.5`), "max_tokens"),
		"a text in a message":        bad(`{"messages":["hi"],"audit_reason":"t"}`, "messages[0]"),
		"a huge whole number":        bad(with(`"max_tokens":99999999999999999999`), "max_tokens"),
		"a huge number":              bad(with(`"temperature":1e999`), "temperature"),
		"temperature below 0":        bad(with(`"temperature":-0.1`), "temperature"),
		"temperature above 2":        bad(with(`"temperature":2.1`), "temperature"),
		"no tokens":                  bad(with(`"max_tokens":0`), "max_tokens"),
		"too many tokens":            bad(with(`"max_tokens":1000001`), "max_tokens"),
		"an unknown priority":        bad(with(`"priority":"urgent"`), "priority"),
		"a control character":        bad(`{"prompt":"x","audit_reason":"a\u0000b"}`, "audit_reason"),
		"an escape sequence":         bad(with(`"user_id":"\u001b[31m"`), "user_id"),
		"two lines":                  bad(with(`"department":"a\nb"`), "department"),
		"too long a text":            bad(with(`"model":"`+long+`"`), "model"),
		"not_before that is no time": bad(with(`"not_before":"tomorrow"`), "not_before"),
		"not_after of another form":  bad(with(`"not_after":"2026-01-01 10:00:00"`), "not_after"),
		"not_after as a number":      bad(with(`"not_after":1767225600`), "not_after"),
		"version 2":                  bad(with(`"v":2`), "v"),
		"version 0":                  bad(with(`"v":0`), "v"),
		"version as a text":          bad(with(`"v":"1"`), "v"),
		"a newer document":           bad(with(`"v":2,"prompts":["a"]`), "v"),
		"too many messages": bad(`{"messages":[`+strings.Repeat(`{"role":"user","content":"x"},`, messages.MaxMessages)+
			`{"role":"user","content":"x"}],"audit_reason":"t"}`, "messages"),

		"no bytes":          bad(``, "(document)"),
		"cut off":           bad(`{"prompt":"hi"`, "(document)"),
		"no JSON":           bad(`prompt: hi`, "(document)"),
		"two documents":     bad(`{"prompt":"hi","audit_reason":"t"} {}`, "(document)"),
		"a byte order mark": bad("\uFEFF"+`{"prompt":"hi","audit_reason":"t"}`, "(document)"),
		"a bare NUL":        bad("{\"prompt\":\"a\x00b\",\"audit_reason\":\"t\"}", "(document)"),

		"not UTF-8":         differ("{\"prompt\":\"a\xffb\",\"audit_reason\":\"t\"}", refused, accepted, "(document)", onlyJSON),
		"a field twice":     differ(with(`"model":"a","model":"b"`), refused, accepted, "model", onlyJSON),
		"twice by escapes":  differ(with(`"model":"a","m\u006fdel":"b"`), refused, accepted, "model", onlyJSON),
		"a free key twice":  differ(with(`"metadata":{"x":{"a":1,"b":2,"a":3}}`), refused, accepted, "metadata", onlyJSON),
		"twice at depth":    differ(`{"messages":[{"role":"user","content":"a","content":"b"}],"audit_reason":"t"}`, refused, accepted, "messages[0].content", onlyJSON),
		"a whole fraction":  differ(with(`"max_tokens":100.0`), refused, accepted, "max_tokens", "to JSON Schema 100.0 is a whole number"),
		"too long in bytes": differ(with(`"user_id":"`+strings.Repeat("ü", 600)+`"`), refused, accepted, "user_id", "a schema counts characters"),
		"too much metadata": differ(with(`"metadata":{"a":"`+strings.Repeat("x", messages.MaxMetadataBytes)+`"}`), refused, accepted, "metadata", "a schema knows no sizes of objects"),
		"times in disorder": differ(with(`"not_before":"2026-01-02T00:00:00Z","not_after":"2026-01-01T00:00:00Z"`), refused, accepted, "not_before", "a schema compares no fields"),

		"no audit_reason":     differ(`{"prompt":"hi"}`, accepted, refused, "", "layer 1 denies it, so that the refusal is on record as a denial"),
		"empty texts":         differ(`{"prompt":"","trigger":"[X]","audit_reason":"t"}`, accepted, refused, "", "the decoder takes an empty text for one that is left out"),
		"a class of its own":  differ(with(`"class":"express"`), accepted, refused, "", "layer 1 compares it with the subject: id_mismatch"),
		"an id with dots":     differ(with(`"id":"a.b"`), accepted, refused, "", "layer 1 compares it with the subject: id_mismatch"),
		"a trigger of spaces": good(`{"trigger":" ","audit_reason":"t"}`),
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	for name, document := range map[string]string{
		"small": with(`"model":"claude-3-sonnet","temperature":0.1,"metadata":{"source":"guide"},"user_id":"finance_team"`),
		"64KiB": `{"prompt":"` + strings.Repeat("The quarterly report says so. ", 2184) + `","audit_reason":"test"}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(document)))
			for b.Loop() {
				if _, err := messages.DecodeRequest([]byte(document)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package messages_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"flowgate/messages"
)

// fault is the FieldError of a request that must not be accepted.
func fault(t *testing.T, document string) *messages.FieldError {
	t.Helper()
	_, err := messages.DecodeRequest([]byte(document))
	var field *messages.FieldError
	if !errors.As(err, &field) {
		t.Fatalf("got %v (%T), want a FieldError about %.80s", err, err, document)
	}
	return field
}

func TestFaultsNameFieldAndRule(t *testing.T) {
	for document, want := range map[string]string{
		``:                              `field (document): must be a JSON object (got nothing)`,
		`null`:                          `field (document): must be a JSON object (got null)`,
		`[1]`:                           `field (document): must be an object (got array)`,
		`{"prompt":`:                    `field (document): must be valid JSON (got an end too early)`,
		"{\"prompt\":\n  oops}":         `field (document): must be valid JSON (got a fault at line 2, column 3)`,
		`x`:                             `field (document): must be valid JSON (got a fault at line 1, column 1)`,
		with(`"max_tokens":1.5`):        `field max_tokens: must be a whole number (got another number)`,
		with(`"temperature":1e999`):     `field temperature: must be a number of ordinary size (got another number)`,
		with(`"temperature":3`):         `field temperature: must be from 0 to 2 (got 3)`,
		with(`"max_tokens":0`):          `field max_tokens: must be from 1 to 1000000 (got 0)`,
		with(`"priority":"urgent"`):     `field priority: must be low, normal or high (got "urgent")`,
		with(`"not_after":"soon"`):      `field not_after: must be a time of RFC 3339 in quotes, such as "2026-01-31T12:00:00Z"`,
		with(`"model":null`):            `field model: must not be null; leave it out`,
		with(`"modell":"x"`):            `field modell: is not a field of this document`,
		with(`"model":"a","model":"b"`): `field model: must stand once`,
		with(`"v":7`):                   `field v: must be a version from 1 to 1 (got 7)`,
		with(`"metadata":{"a":{"jane@example.com":1,"jane@example.com":2}}`): `field metadata: must have every key once`,
		"\uFEFF{}":                            `field (document): must not begin with a byte order mark`,
		`{"prompt":"hi","audit_reason":"t"}]`: `field (document): must be one JSON document (got further bytes after it)`,
		strings.Repeat(`{"a":`, 20_000):       `field (document): must nest at most 10000 levels deep`,
	} {
		if got := fault(t, document).Error(); got != want {
			t.Errorf("%.60s\n got %s\nwant %s", document, got, want)
		}
	}
}

func TestFaultsNeverShowWhatWentToTheWrongField(t *testing.T) {
	for _, secret := range []string{
		"sk-ant-api03-AbCdEfGhIjKl0123456789", "jane.doe@example.com", "AKIAIOSFODNN7EXAMPLE", "the whole prompt of a patient named Smith",
		"\x1b]0;owned\a", strings.Repeat("é", 500),
	} {
		quoted, err := json.Marshal(secret)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{
			with(`"priority":%s`), with(`"max_tokens":%s`), with(`"not_before":%s`), with(`"messages":%s`), with(`"metadata":%s`), with(`"v":%s`),
			with(`"workflow":%s`), `{"operation":%s,"workflow":{},"audit_reason":"t"}`,
			`{"messages":[{"role":%s,"content":"x"}],"audit_reason":"t"}`, with(`"metadata":{%[1]s:1,%[1]s:2}`),
		} {
			if text := fault(t, fmt.Sprintf(form, quoted)).Error(); shows(text, secret) {
				t.Errorf("%s\nshows what was sent: %s", form, text)
			}
		}
		r := messages.Request{ID: secret, AuditReason: "t", Prompt: "x"}
		if err := r.CheckAgainst(messages.Address{Key: acme}); err == nil || shows(err.Error(), secret) {
			t.Errorf("a foreign id: %v", err)
		}
		if err := messages.CheckID(secret + "."); err == nil || shows(err.Error(), secret) {
			t.Errorf("a bad id: %v", err)
		}
		_, err = messages.DecodeReplay(fmt.Appendf(nil, `{"reason":"x","resume_at":%s}`, quoted))
		if err == nil || shows(err.Error(), secret) {
			t.Errorf("a bad state of a replay: %v", err)
		}
	}
}

// shows tells whether a text has more than a character or two of a secret, or what no terminal should get.
func shows(text, secret string) bool {
	return strings.Contains(text, secret[:8]) || len(text) > 400 || strings.ContainsAny(text, "\x00\x1b\n\r\a")
}

func TestNamesOfUnknownFieldsAreMadeHarmless(t *testing.T) {
	for _, key := range []string{strings.Repeat("a", 5000), strings.Repeat("é", 500), "a\x00b", "\x1b[31m", "a\nb"} {
		quoted, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		field := fault(t, with(string(quoted)+":1")).Field
		if len(field) > 80 || !utf8.ValidString(field) || strings.ContainsAny(field, "\x00\x1b\n") || field == "" {
			t.Errorf("%.20q is named %q", key, field)
		}
	}
}

func TestFaultAtGreatDepthHasAPathOfBoundedLength(t *testing.T) {
	const deep = 3000
	document := `{"operation":"fix_errors","audit_reason":"t","workflow":` + strings.Repeat(`{"steps":[`, 1) +
		strings.Repeat(`{"id":"a","type":"x","steps":[`, deep) + `{"idd":"a"}` + strings.Repeat(`]}`, deep+1) + `}`
	got := fault(t, document)
	if len(got.Field) > 300 || !strings.HasSuffix(got.Field, ".idd") {
		t.Errorf("got %d bytes: %s", len(got.Field), got.Field)
	}
}

func TestFaultsOfVersionAndIdentityHaveReasonsOfTheirOwn(t *testing.T) {
	if got := fault(t, with(`"v":2,"colour":"blue"`)).Code(); got != messages.ReasonUnsupportedVersion {
		t.Errorf("a newer version is %s", got)
	}
	if got := fault(t, `{`).Code(); got != messages.ReasonMalformed {
		t.Errorf("no JSON is %s", got)
	}
	r := messages.Request{Tenant: "other"}
	var field *messages.FieldError
	if err := r.CheckAgainst(messages.Address{Key: acme}); !errors.As(err, &field) || field.Code() != messages.ReasonIDMismatch || field.Field != "tenant" {
		t.Errorf("got %v", err)
	}
}

func TestOversizedDocumentIsRefusedBeforeItIsRead(t *testing.T) {
	got := fault(t, strings.Repeat(" ", messages.MaxRequestBytes+1))
	if got.Field != "(document)" || !strings.Contains(got.Rule, "bytes") {
		t.Errorf("got %v", got)
	}
	if _, err := messages.DecodeReplay(make([]byte, messages.MaxRequestBytes+1)); err == nil {
		t.Error("an oversized replay was read")
	}
}

func TestMalformedKeepsHeadAndDigest(t *testing.T) {
	m := messages.NewMalformed("flowgate.request.rt.a\x00\xff."+strings.Repeat("x", 300), make([]byte, 10_000))
	if m.Length != 10_000 || len(m.Head) != messages.MalformedHead || m.SHA256 != "95b532cc4381affdff0d956e12520a04129ed49d37e154228368fe5621f0b9a2" {
		t.Errorf("got length %d, head %d, digest %s", m.Length, len(m.Head), m.SHA256)
	}
	if !utf8.ValidString(m.Subject) || strings.Contains(m.Subject, "\x00") || len(m.Subject) > 100 {
		t.Errorf("subject %q is not fit for a record", m.Subject)
	}
}

package messages_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"

	"flowgate/messages"
)

// refusal holds an error of a decoder to its promise: a FieldError that names field and rule and is fit for a record.
func refusal(t *testing.T, err error) {
	t.Helper()
	var field *messages.FieldError
	if !errors.As(err, &field) || field.Field == "" || field.Rule == "" {
		t.Fatalf("%#v is no FieldError with field and rule", err)
	}
	if len(err.Error()) > 1000 || !utf8.ValidString(err.Error()) {
		t.Fatalf("unfit for a record: %q", err)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, c := range requestDocuments() {
		if len(c.document) < 10_000 {
			f.Add([]byte(c.document))
		}
	}
	schema := compiled(f, "request")
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := messages.DecodeRequest(data)
		if err != nil {
			refusal(t, err)
			return
		}
		again, err := messages.DecodeRequest(encode(t, r))
		if err != nil {
			t.Fatalf("what was accepted is refused when it is written again: %v", err)
		}
		if string(encode(t, again)) != string(encode(t, r)) || r.Kind() == messages.KindUnknown {
			t.Fatalf("%+v became %+v", r, again)
		}
		if r.AuditReason != "" && messages.CheckKey(messages.Key{Tenant: or(r.Tenant), ID: or(r.ID)}) == nil && knownClass(r.Class) {
			if err := valid(schema, encode(t, r)); err != nil {
				t.Fatalf("the schema refuses what the decoder accepts: %v", err)
			}
		}
	})
}

func or(name string) string {
	if name == "" {
		return "left-out"
	}
	return name
}

func knownClass(c messages.Class) bool {
	_, err := messages.ParseClass(string(c))
	return c == "" || err == nil
}

func FuzzDecodeReplay(f *testing.F) {
	f.Add([]byte(`{"v":1,"reason":"x","by":"op","resume_at":"ai","request":{"prompt":"hi"}}`))
	f.Add([]byte(`{"reason":"x","resume_at":"done"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := messages.DecodeReplay(data)
		if err != nil {
			refusal(t, err)
			return
		}
		again, err := messages.DecodeReplay(encode(t, r))
		if err != nil || string(encode(t, again)) != string(encode(t, r)) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzDecodeEnvelope(f *testing.F) {
	f.Add(encode(f, fullEnvelope()))
	f.Add([]byte(`{"v":1,"request":{"a":"\u003c"},"history":[null],"malformed":{"head":"!"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := messages.DecodeEnvelope(data)
		if err != nil {
			refusal(t, err)
			return
		}
		twice(t, e, messages.EncodeEnvelope, messages.DecodeEnvelope)
		messages.Project(acme, e)
	})
}

func FuzzDecodeCalling(f *testing.F) {
	f.Add(encode(f, fullCalling()))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := messages.DecodeCalling(data)
		if err != nil {
			refusal(t, err)
			return
		}
		twice(t, c, marshal, messages.DecodeCalling)
	})
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add(encode(f, fullEvent()))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := messages.DecodeEvent(data)
		if err != nil {
			refusal(t, err)
			return
		}
		twice(t, e, marshal, messages.DecodeEvent)
	})
}

func marshal[T any](v T) ([]byte, error) { return json.Marshal(v) }

// twice writes and reads a value two times: what is written the second time is what was written the first time.
func twice[T any](t *testing.T, v T, write func(T) ([]byte, error), read func([]byte) (T, error)) {
	t.Helper()
	first, err := write(v)
	if err != nil {
		t.Skipf("a time outside of what can be written: %v", err)
	}
	back, err := read(first)
	if err != nil {
		t.Fatalf("what was written is refused: %v", err)
	}
	second, err := write(back)
	if err != nil || !reflect.DeepEqual(first, second) {
		t.Fatalf("%s became %s, %v", first, second, err)
	}
}

func FuzzParseSubject(f *testing.F) {
	f.Add(messages.RequestSubject(messages.ClassRT, acme))
	f.Add(messages.ReplaySubject(messages.ClassStd, acme, 3))
	f.Add(messages.WorkSubject(2, messages.StateHold, messages.ClassBatch, acme))
	f.Add("flowgate.replay.rt.acme.r1.01")
	f.Fuzz(func(t *testing.T, subject string) {
		a, err := messages.ParseSubject(subject)
		if messages.CheckKey(messages.SafeKey(a.Key)) != nil {
			t.Fatalf("%q has no safe key", subject)
		}
		if err != nil {
			if !errors.Is(err, messages.ErrSubject) || len(err.Error()) > 1000 {
				t.Fatalf("%q: %v", subject, err)
			}
			return
		}
		written := messages.RequestSubject(a.Class, a.Key)
		switch {
		case a.Replay:
			written = messages.ReplaySubject(a.Class, a.Key, a.Epoch)
		case a.State != "":
			written = messages.WorkSubject(a.P, a.State, a.Class, a.Key)
		}
		if written != subject {
			t.Fatalf("%q was read as %q", subject, written)
		}
	})
}

package messages_test

import (
	"errors"
	"strings"
	"testing"

	"flowgate/messages"
)

func TestReplayDecoderAndSchemaAgree(t *testing.T) {
	schema := compiled(t, "replay")
	for document, field := range map[string]string{ // the field that is at fault; empty where it is good
		`{"reason":"backend is well"}`:                                    "",
		`{"v":1,"reason":"x","by":"op","resume_at":"hold"}`:               "",
		`{"reason":"x","resume_at":"ai"}`:                                 "",
		`{"reason":"x","resume_at":"optimizer","request":{"prompt":"a"}}`: "",
		`{"reason":"x","request":{"anything":null}}`:                      "", // judged as a request, at layer 1

		`{}`:              "reason",
		`{"reason":""}`:   "reason",
		`{"reason":"  "}`: "reason",
		`{"reason":7}`:    "reason",
		`{"reason":null}`: "reason",
		`{"reason":"` + strings.Repeat("x", messages.MaxReplayReason+1) + `"}`: "reason",
		`{"reason":"x","resume_at":"done"}`:                                    "resume_at",
		`{"reason":"x","resume_at":"calling"}`:                                 "resume_at",
		`{"reason":"x","resume_at":"start"}`:                                   "resume_at",
		`{"reason":"x","by":"a\u0000"}`:                                        "by",
		`{"reason":"x","request":null}`:                                        "request",
		`{"reason":"x","request":"a"}`:                                         "request",
		`{"reason":"x","sections":{}}`:                                         "sections", // never from the message
		`{"v":2,"reason":"x"}`:                                                 "v",
		`{"v":0,"reason":"x"}`:                                                 "v",
		`null`:                                                                 "(document)",
		`[]`:                                                                   "(document)",
	} {
		_, err := messages.DecodeReplay([]byte(document))
		var fault *messages.FieldError
		switch {
		case field == "" && err != nil:
			t.Errorf("%.60s: %v", document, err)
		case field != "" && (!errors.As(err, &fault) || fault.Field != field):
			t.Errorf("%.60s: got %v, want a fault of %s", document, err, field)
		}
		if said := valid(schema, []byte(document)); (said == nil) != (field == "") {
			t.Errorf("%.60s: the schema says %v", document, said)
		}
	}
}

package backends

import (
	"io"
	"log"
	"strings"
	"testing"

	"flowgate/pipelines/ai"
)

// quiet takes what test servers log of the clients that hang up on them.
var quiet = log.New(io.Discard, "", 0)

func FuzzErrorBody(f *testing.F) {
	f.Add(429, `{"error":{"message":"x","type":"requests","param":null,"code":"rate_limit_exceeded"}}`)
	f.Add(400, `{"object":"error","message":"x","type":"BadRequestError","param":"a[0].b","code":400}`)
	f.Add(404, `{"error":"wisteria-7741"}`)
	f.Add(500, `{"error":{"code":"WISTERIA-7741","type":"sk-test","param":"messages[3].wisteria"}}`)
	f.Add(503, `<html>`)
	f.Add(200, `{"type":"error","error":{"type":"rate_limit_error","message":"wisteria-7741","details":{"error_code":"enforced_spend_limit_reached"}}}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		told := decodeTold(nil, []byte(body)).printable()
		fault := statusFault(status, told)
		if status == 200 {
			fault = insideFault(badJSON, told)
		}
		if !knownClass(fault.Class) || fault.Class == ai.ClassRefused || fault.Code == "" || fault.Detail == "" {
			t.Errorf("fault %+v is not whole", fault)
		}
		said := strings.ToLower(fault.Error())
		if len(said) > 200 || strings.Contains(said, "wisteria") || strings.Contains(said, "sk-") {
			t.Errorf("fault says %q", said)
		}
	})
}

package worker

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"
)

const (
	someTrace = "0af7651916cd43dd8448eb211c80319c"
	someSpan  = "b7ad6b7169203331"
)

func TestATraceGoesOnOrBegins(t *testing.T) {
	valid := "00-" + someTrace + "-" + someSpan + "-01"
	for name, c := range map[string]struct {
		header  nats.Header
		follows bool
		sampled bool
	}{
		"none":             {nil, false, true},
		"valid":            {nats.Header{"traceparent": {valid}}, true, true},
		"as HTTP writes":   {nats.Header{"Traceparent": {valid}}, true, true},
		"not sampled":      {nats.Header{"traceparent": {valid[:54] + "0"}}, true, false},
		"other flags":      {nats.Header{"traceparent": {valid[:53] + "ff"}}, true, true},
		"later version":    {nats.Header{"traceparent": {"cc" + valid[2:] + "-what-comes"}}, true, true},
		"two":              {nats.Header{"traceparent": {valid, valid}}, false, true},
		"version ff":       {nats.Header{"traceparent": {"ff" + valid[2:]}}, false, true},
		"longer version 0": {nats.Header{"traceparent": {valid + "-more"}}, false, true},
		"later, no dash":   {nats.Header{"traceparent": {"cc" + valid[2:] + "x"}}, false, true},
		"capitals":         {nats.Header{"traceparent": {strings.ToUpper(valid)}}, false, true},
		"no trace":         {nats.Header{"traceparent": {"00-" + strings.Repeat("0", 32) + "-" + someSpan + "-01"}}, false, true},
		"no span":          {nats.Header{"traceparent": {"00-" + someTrace + "-" + strings.Repeat("0", 16) + "-01"}}, false, true},
		"short":            {nats.Header{"traceparent": {valid[:54]}}, false, true},
		"huge":             {nats.Header{"traceparent": {"cc" + valid[2:] + "-" + strings.Repeat("a", 1000)}}, false, true},
		"secret":           {nats.Header{"traceparent": {"00-sk-canary-sk-canary-sk-canary-sk-c-b7ad6b7169203331-01"}}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := follow(c.header)
			if (got.String() == someTrace) != c.follows || got.Sampled != c.sampled {
				t.Errorf("trace %s, sampled %t", got, got.Sampled)
			}
			next, valid := parseTraceparent(got.header())
			if !valid || next.ID != got.ID || next.Span != got.Span || next.Sampled != got.Sampled {
				t.Errorf("what is published goes on with %+v", next)
			}
			if c.follows == (got.Parent == [8]byte{}) {
				t.Errorf("the parent is %x", got.Parent)
			}
		})
	}
}

func TestNoHeaderBreaksTheTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?`)).Draw(t, "traceparent")
		got := follow(nats.Header{"traceparent": {value}})
		if _, valid := parseTraceparent(got.header()); !valid {
			t.Fatalf("%q became %q", value, got.header())
		}
	})
}

func BenchmarkTrace(b *testing.B) {
	header := nats.Header{"traceparent": {"00-" + someTrace + "-" + someSpan + "-01"}}
	b.ReportAllocs()
	for b.Loop() {
		if follow(header).header() == "" {
			b.Fatal("no header")
		}
	}
}

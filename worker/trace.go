package worker

import (
	"encoding/hex"
	"math/rand/v2"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
)

// Trace is where one delivery stands in a trace (W3C Trace Context): it travels in the header traceparent through all hops
// and replays nothing but its ids. There is always one, also where nobody collects spans.
type Trace struct {
	// ID is the trace's, Span that of this delivery's stay at its layer.
	ID   [16]byte
	Span [8]byte
	// Parent is the span of whoever sent the message; zero where it began here.
	Parent [8]byte
	// Sampled is false where a producer said that its trace is not collected.
	Sampled bool
}

// String is the trace's id in hexadecimal.
func (t Trace) String() string { return hex.EncodeToString(t.ID[:]) }

// header is the value of traceparent for what this stay publishes.
func (t Trace) header() string {
	var b [traceparentLength]byte
	copy(b[:], "00-")
	hex.Encode(b[3:35], t.ID[:])
	b[35] = '-'
	hex.Encode(b[36:52], t.Span[:])
	copy(b[52:], "-00")
	if t.Sampled {
		b[54] = '1'
	}
	return string(b[:])
}

// Version 00 of traceparent: 00-<32 hex>-<16 hex>-<2 hex>.
const traceparentLength = 55

// NewTraceparent is the header of a trace that begins with its sender, and the trace's id.
func NewTraceparent() (header, id string) {
	t := Trace{ID: newTraceID(), Span: newSpanID(), Sampled: true}
	return t.header(), t.String()
}

// follow goes on with the trace of a message, or begins one where the header has none that is valid.
func follow(header nats.Header) Trace {
	for _, name := range [...]string{messages.HeaderTrace, "Traceparent"} { // some clients write headers as HTTP does
		if values := header[name]; len(values) == 1 {
			if t, valid := parseTraceparent(values[0]); valid {
				t.Parent, t.Span = t.Span, newSpanID()
				return t
			}
		}
	}
	return Trace{ID: newTraceID(), Span: newSpanID(), Sampled: true}
}

// parseTraceparent reads the header; Span is then the sender's. Versions above 00 may have more behind a further dash.
func parseTraceparent(s string) (t Trace, valid bool) {
	if len(s) < traceparentLength || len(s) > longestTraceparent || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return t, false
	}
	var version, flags [1]byte
	if !unhex(version[:], s) || !unhex(t.ID[:], s[3:]) || !unhex(t.Span[:], s[36:]) || !unhex(flags[:], s[53:]) {
		return t, false
	}
	if version[0] == 0xff || len(s) > traceparentLength && (version[0] == 0 || s[traceparentLength] != '-') {
		return t, false
	}
	t.Sampled = flags[0]&1 == 1
	return t, t.ID != [16]byte{} && t.Span != [8]byte{}
}

// longestTraceparent bounds what later versions may add.
const longestTraceparent = 256

// unhex fills b from the first hexadecimal digits of s, which are small letters.
func unhex(b []byte, s string) bool {
	for i := range b {
		high, low := digit(s[2*i]), digit(s[2*i+1])
		if high > 0xf || low > 0xf {
			return false
		}
		b[i] = high<<4 | low
	}
	return true
}

// digit is the value of a hexadecimal digit; above 15 for what is none.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

func newTraceID() (id [16]byte) {
	fill(id[:8])
	fill(id[8:])
	return id
}

func newSpanID() (id [8]byte) {
	fill(id[:])
	return id
}

// fill writes eight random bytes that are not all zero. Ids have to differ, not to be secret.
func fill(b []byte) {
	n := rand.Uint64() | 1 //nolint:gosec // see above
	for i := range b {
		b[i] = byte(n >> (8 * i)) //nolint:gosec // one byte of it
	}
}

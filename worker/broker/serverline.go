package broker

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// mostLine bounds a line of the server's.
const mostLine = 1024

// ofClient is how the server's lines about connections of others begin: address and number are the server's own words; what
// follows may be the client's (its name, its subjects, its user, the bytes that could not be parsed).
var ofClient = regexp.MustCompile(`^(\[?[0-9a-fA-F.:]+\]?:[0-9]+) - ((?:cid|wid|mid|mid_ws):[0-9]+)`)

// clientFaults are what the server says of clients, as far as it is its own words.
var clientFaults = []string{
	"Publish Violation", "Subscription Violation", "authentication error", "authorization violation", "parser ERROR", "read error",
	"maximum payload exceeded", "maximum subscriptions exceeded", "maximum connections exceeded", "maximum account active connections exceeded",
	"Slow Consumer", "Producer was stalled", "Readloop processing time", "handshake error", "authentication timeout", "Stale Connection",
	"Problem registering with account", "protocol violation", "no responders requires headers", "message headers not supported",
}

// line is what the server says, without what clients wrote: a subject may hold anything.
func line(format string, v []any) string {
	text := fmt.Sprintf(format, v...)
	if m := ofClient.FindStringSubmatch(text); m != nil {
		return "client " + m[1] + " (" + m[2] + "): " + fault(text)
	}
	for _, f := range clientFaults { // rate-limited lines may come without the connection
		if strings.Contains(text, f) {
			return "a client: " + f
		}
	}
	return plain(unquoted(format, v))
}

func fault(text string) string {
	for _, f := range clientFaults {
		if strings.Contains(strings.ToLower(text), strings.ToLower(f)) {
			return f
		}
	}
	return "a fault of the connection"
}

// unquoted formats without what would be quoted: that is how the server writes names and subjects of others.
func unquoted(format string, v []any) string {
	var b strings.Builder
	args := append([]any(nil), v...)
	for i, arg := 0, 0; i < len(format); i++ {
		b.WriteByte(format[i])
		if format[i] != '%' {
			continue
		}
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.", format[i]) >= 0; i++ {
			b.WriteByte(format[i])
		}
		switch {
		case i >= len(format) || format[i] == '%':
		case format[i] == '*' || format[i] == '[': // it takes its arguments otherwise
			return "(a line that is not repeated)"
		case format[i] == 'q' && arg < len(args):
			args[arg] = "…"
			arg++
			b.WriteByte('v')
			continue
		default:
			arg++
		}
		if i < len(format) {
			b.WriteByte(format[i])
		}
	}
	return fmt.Sprintf(b.String(), args...)
}

// plain keeps control characters away and bounds the length.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > mostLine {
		text = strings.ToValidUTF8(text[:mostLine], "") + "…"
	}
	return text
}

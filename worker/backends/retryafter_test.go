package backends

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterIsReadAsProvidersWriteIt(t *testing.T) {
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name            string
		ms, after, date string
		want            time.Duration
	}{
		{"nothing", "", "", "", 0},
		{"milliseconds", "1500", "", "", 1500 * time.Millisecond},
		{"milliseconds before seconds", "20", "7", "", 20 * time.Millisecond},
		{"bad milliseconds, then seconds", "soon", "7", "", 7 * time.Second},
		{"negative milliseconds, then seconds", "-1", "7", "", 7 * time.Second},
		{"seconds", "", "7", "", 7 * time.Second},
		{"fractions", "", " 0.5 ", "", 500 * time.Millisecond},
		{"zero", "", "0", "", 0},
		{"too long", "", "1e300", "", maxRetryAfter},
		{"more than a number", "", "1e999", "", 0},
		{"infinite", "", "Inf", "", 0},
		{"no number", "", "NaN", "", 0},
		{"date", "", "Thu, 01 Oct 2026 12:00:30 GMT", "", 30 * time.Second},
		{"date by the server's clock", "", "Thu, 01 Oct 2026 12:00:30 GMT", "Thu, 01 Oct 2026 12:00:20 GMT", 10 * time.Second},
		{"date of an old format", "", "Thursday, 01-Oct-26 12:00:30 GMT", "", 30 * time.Second},
		{"past date", "", "Thu, 01 Oct 2026 11:00:00 GMT", "", 0},
		{"far date", "", "Thu, 01 Oct 2099 11:00:00 GMT", "", maxRetryAfter},
		{"words", "", "tomorrow", "", 0},
	} {
		header := http.Header{}
		for name, value := range map[string]string{"Retry-After-Ms": test.ms, "Retry-After": test.after, "Date": test.date} {
			if value != "" {
				header.Set(name, value)
			}
		}
		if got := retryAfter(header, now); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "7", "0.5", "-1", "1e300", "0x1p62", "Inf", "Thu, 01 Oct 2026 12:00:30 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"} {
		f.Add(seed, seed, seed)
	}
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, ms, after, date string) {
		header := http.Header{"Retry-After-Ms": {ms}, "Retry-After": {after}, "Date": {date}}
		if got := retryAfter(header, now); got < 0 || got > maxRetryAfter {
			t.Errorf("%q, %q, %q: %s is out of bounds", ms, after, date, got)
		}
	})
}

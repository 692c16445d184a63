package backends

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a provider can make a request wait: no request lives longer by default.
const maxRetryAfter = 24 * time.Hour

// retryAfter is how long the provider asks to wait: header retry-after-ms in milliseconds, else Retry-After in seconds or
// as an HTTP date (RFC 9110, section 10.2.3). A date counts from the response's own Date, so that a wrong clock on either
// side does not matter, else from now. It is 0 where the provider says nothing sensible, at most maxRetryAfter.
func retryAfter(header http.Header, now time.Time) time.Duration {
	if d, ok := waitOf(header.Get("Retry-After-Ms"), time.Millisecond); ok {
		return d
	}
	value := header.Get("Retry-After")
	if d, ok := waitOf(value, time.Second); ok {
		return d
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if said, err := http.ParseTime(header.Get("Date")); err == nil {
		now = said
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// waitOf reads a number of units. Fractions count, as clients of these providers read them.
func waitOf(value string, unit time.Duration) (time.Duration, bool) {
	number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || math.IsNaN(number) || math.IsInf(number, 0) || number < 0 {
		return 0, false
	}
	if number > float64(maxRetryAfter/unit) {
		return maxRetryAfter, true
	}
	return time.Duration(number * float64(unit)), true
}

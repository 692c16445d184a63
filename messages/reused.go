package messages

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Words say where the answer came from, and who paid for the call.
func (u *Reused) Words() string {
	if u.From == ReusedRequest {
		return fmt.Sprintf("of the identical request %s, which was on its way and pays", visible(u.Leader))
	}
	return fmt.Sprintf("from the cache (%s), %s old", visible(u.From), u.Age())
}

// Age is how old the answer was, as people say it.
func (u *Reused) Age() string {
	const most = 1e9 // over thirty years
	if u.AgeSeconds < 60 {
		return fmt.Sprintf("%.1f s", u.AgeSeconds)
	}
	return time.Duration(min(u.AgeSeconds, most) * float64(time.Second)).Round(time.Second).String()
}

// visible is a text of somebody else's without control characters.
func visible(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}

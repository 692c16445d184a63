package security

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"strings"
	"time"
)

// Soon is how long before its end a credential that nobody renews is told of.
const Soon = 14 * 24 * time.Hour

// Credential is something that opens a door, and when it ends.
type Credential struct {
	// What names it, never what it is; Mend is what renews it.
	What, Mend string
	// Ends is when; zero: never, or nobody says.
	Ends time.Time
	// Renewed: it is renewed before it ends, so that only one that has ended is a finding.
	Renewed bool
}

// Expiry judges credentials by when they end.
func Expiry(all []Credential, now time.Time) *Look {
	l := &Look{}
	for _, c := range all {
		l.Saw(1)
		left := c.Ends.Sub(now)
		switch {
		case c.Ends.IsZero():
		case left <= 0:
			l.Find(High, c.What, "ended at "+c.Ends.UTC().Format(time.RFC3339)+": it opens nothing any more", c.Mend)
		case left < Soon && !c.Renewed:
			l.Find(Medium, c.What, fmt.Sprintf("ends at %s, in %s", c.Ends.UTC().Format(time.RFC3339), about(left)), c.Mend)
		}
	}
	if len(all) == 0 {
		l.Nothing("no credential is configured")
	}
	return l
}

// about is a time for a person.
func about(left time.Duration) string {
	if left < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(left.Hours()))
	}
	return fmt.Sprintf("%d days", int(left.Hours()/24))
}

// EndOfToken is when a bearer token ends, where it is a JWT that says so; it is not verified.
func EndOfToken(token string) (time.Time, bool) {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 || len(token) > 64<<10 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp *float64 `json:"exp"`
	}
	const year9999 = 253402300799
	if json.Unmarshal(payload, &claims) != nil || claims.Exp == nil || math.IsNaN(*claims.Exp) || *claims.Exp <= 0 || *claims.Exp > year9999 {
		return time.Time{}, false
	}
	return time.Unix(int64(*claims.Exp), 0).UTC(), true
}

// Loopback tells whether a host is this machine, without asking anybody.
func Loopback(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

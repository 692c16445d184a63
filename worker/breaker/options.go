package breaker

import (
	"errors"
	"fmt"
	"time"

	"flowgate/pipelines/ai"
)

// Options say when breakers open, and for how long.
type Options struct {
	// Failures in a row that open a breaker.
	Failures uint32
	// Share of the calls of a Window that open it when they fail, 0 to 1, where there were at least Calls of them.
	Share  float64
	Calls  uint32
	Window time.Duration
	// Open is how long it stays open before a call tries; twice that after each trial that fails, at most MaxOpen.
	Open, MaxOpen time.Duration
	// QuotaHold is how long a backend is left alone whose quota or credit is used up.
	QuotaHold time.Duration
	// AuthHold is how long one is left alone that refused the credentials, before one call tries; 0: until Renewed.
	AuthHold time.Duration
	// OnChange is told each opening and closing; may be nil. It is called in the caller's goroutine without a lock, and MUST NOT block.
	OnChange func(Change)
}

// DefaultOptions are five failures in a row, or half of at least twenty calls in 30 s; open for 5 s, doubled up to a minute; five minutes
// for a quota, one for credentials.
func DefaultOptions() Options {
	return Options{
		Failures: 5, Share: 0.5, Calls: 20, Window: 30 * time.Second, Open: 5 * time.Second, MaxOpen: time.Minute, QuotaHold: 5 * time.Minute,
		AuthHold: time.Minute,
	}
}

// Validate tells every fault at once.
func (o Options) Validate() error {
	var all []error
	wrong := func(bad bool, field, rule string) {
		if bad {
			all = append(all, fmt.Errorf("%s: must be %s", field, rule))
		}
	}
	wrong(o.Failures < 1, "failures", "at least 1")
	wrong(!(o.Share > 0 && o.Share <= 1), "share", "above 0 and at most 1")
	wrong(o.Calls < 1, "calls", "at least 1")
	wrong(o.Window < time.Second || o.Window > time.Hour, "window", "from 1s to 1h")
	wrong(o.Open < 100*time.Millisecond || o.Open > time.Hour, "open", "from 100ms to 1h")
	wrong(o.MaxOpen < o.Open || o.MaxOpen > 24*time.Hour, "max_open", "from open to 24h")
	wrong(o.QuotaHold < time.Second || o.QuotaHold > 24*time.Hour, "quota_hold", "from 1s to 24h")
	wrong(o.AuthHold < 0 || o.AuthHold > 24*time.Hour, "auth_hold", "from 0s to 24h")
	return errors.Join(all...)
}

// Change is that a breaker changed, for log, metrics and events.
type Change struct {
	// Model is empty for the whole backend.
	Backend, Model string
	From, To       Position
	// Class and Code are those of the fault that did it; empty where an answer or a reset did.
	Class ai.Class
	Code  string
	At    time.Time
	// Next is when a call may try; zero where none may before a reset, and where all may.
	Next time.Time
}

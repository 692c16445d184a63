package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// lookEvery is how often Watch looks, looksToBelieve how often in a row it must see the same: a stream that is being made or
	// removed looks lost for a moment, on a slow disk for a second.
	lookEvery      = time.Second
	looksToBelieve = 5
)

// Watch waits until the server cannot do its work any more, and tells why; nil: ctx ended. A server that failed to write, on a
// full disk for example, refuses that stream until it is started anew, however much room there is by then.
func (s *Server) Watch(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var b belief
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if why := s.ails(); b.grows(why) {
			return why
		}
	}
}

// belief counts how often in a row the same was seen.
type belief struct {
	what string
	seen int
}

// grows tells whether that was often enough.
func (b *belief) grows(why error) bool {
	switch {
	case why == nil:
		*b = belief{}
		return false
	case why.Error() != b.what: // while streams are made it is now this one and now that one
		*b = belief{what: why.Error()}
	}
	b.seen++
	return b.seen >= looksToBelieve
}

// ails is what the server says of its health; nil: nothing.
func (s *Server) ails() error {
	health := s.ns.Healthz(&server.HealthzOptions{Details: true})
	if health.Status == "ok" && len(health.Errors) == 0 {
		return nil
	}
	var faults []error
	for _, e := range health.Errors {
		faults = append(faults, errors.New(plain(e.Error)))
	}
	if health.Error != "" {
		faults = append(faults, errors.New(plain(health.Error)))
	}
	return fmt.Errorf("the broker cannot go on: %w", errors.Join(faults...))
}

package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// TestWhereNobodyLeadsItIsAskedAgain: for a while, and not where the answer is another one.
func TestWhereNobodyLeadsItIsAskedAgain(t *testing.T) {
	leaderless := fmt.Errorf("making stream X: %w", &jetstream.APIError{Code: 503, ErrorCode: noLeader, Description: "JetStream system temporarily unavailable"})
	refused := &jetstream.APIError{Code: 400, ErrorCode: 10058}
	for name, c := range map[string]struct {
		answers []error
		want    error
		least   time.Duration
	}{
		"a leader is chosen":  {[]error{leaderless, context.DeadlineExceeded, leaderless, nil}, nil, time.Second},
		"nobody ever leads":   {[]error{leaderless}, leaderless, leaderPatience},
		"it is refused":       {[]error{refused, nil}, refused, 0},
		"it is refused later": {[]error{leaderless, refused, nil}, refused, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, n := time.Now(), 0
				err := patiently(t.Context(), func() error {
					n++
					return c.answers[min(n, len(c.answers))-1]
				})
				if took := time.Since(began); !errors.Is(err, c.want) || took < c.least || took > c.least+time.Second {
					t.Errorf("%v after %s and %d questions, want %v after %s", err, took, n, c.want, c.least)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		began := time.Now()
		if err := patiently(ctx, func() error { return leaderless }); !errors.Is(err, leaderless) || time.Since(began) != 100*time.Millisecond {
			t.Errorf("given up after %s with %v", time.Since(began), err)
		}
	})
}

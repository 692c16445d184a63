package batch

import (
	"context"
	"sync"
	"time"

	"flowgate/messages"
)

// intake knows whether the deployment takes submissions, for all publishers of a run: one of them asks, and seldom.
type intake struct {
	ask  func(ctx context.Context, class messages.Class) (messages.Intake, error)
	pace pace

	mu    sync.Mutex
	known map[messages.Class]standing
	// refused is when the newest no was heard.
	refused time.Time
}

// standing is what was answered, and until when that counts.
type standing struct {
	messages.Intake

	until time.Time
}

// open tells whether submissions of a class are taken, else why not and when to ask again. Nobody's answer is a yes: the broker
// has the last word.
func (in *intake) open(ctx context.Context, class messages.Class) (why string, again time.Duration, open bool) {
	if in.ask == nil {
		return "", 0, true
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.known[class]
	if time.Now().After(now.until) {
		answer, err := in.ask(ctx, class)
		lasts := in.pace.intake
		if err != nil {
			answer, lasts = messages.Intake{Open: true}, 10*in.pace.intake
		}
		if now = (standing{answer, time.Now().Add(lasts)}); in.known == nil {
			in.known = make(map[messages.Class]standing)
		}
		in.known[class] = now
	}
	if now.Open {
		return "", 0, true
	}
	in.refused = time.Now()
	return "submissions are refused: " + now.Detail, min(time.Duration(max(now.RetryAfter, 1))*time.Second, in.pace.refused), false
}

// refusedWithin tells whether submissions were refused not longer ago than that.
func (in *intake) refusedWithin(d time.Duration) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.refused.IsZero() && time.Since(in.refused) < d
}

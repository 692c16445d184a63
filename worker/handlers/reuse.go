package handlers

import (
	"context"
	"slices"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/privacy"
	"flowgate/worker"
	"flowgate/worker/cache"
)

// longestFollow is how long a request follows an identical one before it looks again.
const longestFollow = time.Minute

// reuse answers a request from the cache, or lets it follow an identical one that is on its way. Else the request calls; where it leads
// others, land MUST be called when its call is over.
func (a *AI) reuse(ctx context.Context, x *turn) (worker.Verdict, bool) {
	if a.Cache == nil {
		return worker.Verdict{}, false
	}
	x.use = ai.Caching(&x.plan.Call, x.plan.Backend.Billable, x.policy.Cache, x.request.Cache)
	if !x.use.Read {
		return worker.Verdict{}, false
	}
	if v, hit := a.fromCache(ctx, x, false); hit {
		return v, true
	}
	if !x.use.Write || a.Flights == nil {
		return worker.Verdict{}, false
	}
	me := x.Key
	lead, landed := a.Flights.Join(ctx, x.use.Key, me.String())
	if !lead {
		return a.follow(ctx, x, landed), true
	}
	x.leads = true
	if v, hit := a.fromCache(ctx, x, true); hit { // whoever led before landed in between
		return v, true
	}
	return worker.Verdict{}, false
}

// unasked answers a request from the cache whose backend cannot be asked now: that answer was paid for.
func (a *AI) unasked(ctx context.Context, x *turn) (worker.Verdict, bool) {
	down := x.plan.Paused || !x.plan.Until.IsZero() || x.plan.Refusal != nil
	if a.Cache == nil || !down || x.plan.Call.Model == "" {
		return worker.Verdict{}, false
	}
	if x.use = ai.Caching(&x.plan.Call, x.plan.Backend.Billable, x.policy.Cache, x.request.Cache); !x.use.Read {
		return worker.Verdict{}, false
	}
	return a.fromCache(ctx, x, false)
}

// elsewherePaid answers from the cache what another backend is to be asked, under another name of the model.
func (a *AI) elsewherePaid(ctx context.Context, x *turn) (worker.Verdict, bool) {
	if a.Cache == nil || !x.moved {
		return worker.Verdict{}, false
	}
	x.moved = false
	led := x.use
	defer func() { x.use = led }() // that of its followers
	if x.use = ai.Caching(&x.plan.Call, x.plan.Backend.Billable, x.policy.Cache, x.request.Cache); !x.use.Read || x.use.Key == led.Key {
		return worker.Verdict{}, false
	}
	return a.fromCache(ctx, x, true)
}

// land lets those go on that follow this request: one by one, unless its answer is not for them.
func (a *AI) land(ctx context.Context, x *turn) {
	if x.leads {
		me := x.Key
		a.Flights.Land(ctx, x.use.Key, me.String(), x.over && !x.kept)
	}
}

// follow lets a request wait for an identical one. It holds no slot; what has waited for long is published again, so that the floor
// moves.
func (a *AI) follow(ctx context.Context, x *turn, landed <-chan struct{}) worker.Verdict {
	until := a.Now().Add(longestFollow)
	if end := x.Envelope.NotAfter.Add(time.Millisecond); !x.Envelope.NotAfter.IsZero() && until.After(end) {
		until = end // it ends then, as timeout
	}
	if x.Doubt != nil || x.Started.Sub(x.Stored) > a.longestPark()/2 {
		return a.again(ctx, x, a.Now().Add(time.Second))
	}
	return worker.Verdict{Action: worker.ActionFollow, Told: landed, Until: until}
}

// fromCache answers from the cache; again is set where it was asked before.
func (a *AI) fromCache(ctx context.Context, x *turn, again bool) (worker.Verdict, bool) {
	began := a.Now()
	c := x.Envelope.Corporate
	entry, level, hit := a.Cache.Get(ctx, cache.Ask{
		Family: x.use.Family, Key: x.use.Key, MaxAge: x.use.MaxAge, Again: again,
		Fits:   func(e *cache.Entry) bool { return ai.Reusable(c, e.Backend, e.Region) },
		Recall: func(e *cache.Entry) (any, error) { return ai.Recall(e.Response, e.Usage) },
	})
	if !hit {
		return worker.Verdict{}, false
	}
	answer, recalled := entry.Recalled.(ai.Answer)
	if !recalled {
		return worker.Verdict{}, false
	}
	s := a.section(x.Task, messages.VerdictProcessed, messages.ReasonOK)
	s.Backend, s.Model, s.Region, s.CacheHit = entry.Backend, entry.Model, entry.Region, true
	s.Reused = &messages.Reused{
		From: string(level), Key: entry.Key, CreatedAt: entry.Created, AgeSeconds: max(began.Sub(entry.Created).Seconds(), 0),
		SavedMicroUSD: entry.CostMicroUSD, SavedSeconds: entry.Seconds,
	}
	if entry.Created.After(x.Envelope.SubmittedAt) && entry.Maker != x.ID {
		s.Reused.From, s.Reused.Leader = messages.ReusedRequest, entry.Maker
	}
	s.ProcessingSeconds = a.Now().Sub(began).Seconds()
	if refused := a.conclude(x, s, answer); refused != nil {
		return a.end(ctx, x.Task, refused), true
	}
	return a.next(ctx, x.Task, messages.StateOptimizer), true
}

// keep puts an answer into the cache that others may have. One in which something was masked stays out: there it lies as it came.
func (a *AI) keep(ctx context.Context, x *turn, s *messages.AISection, answer ai.Answer, attempt messages.Attempt) {
	use := x.use
	if a.Cache != nil && x.other {
		use = ai.Caching(&x.plan.Call, x.plan.Backend.Billable, x.policy.Cache, x.request.Cache) // of the call that answered
	}
	masked := slices.ContainsFunc(s.AnswerFindings, func(f messages.Finding) bool { return f.Action == string(privacy.ActionMask) })
	if !use.Write || masked || !ai.Keepable(&answer) || !ai.Fits(&x.plan.Call, &answer) {
		return
	}
	response, err := ai.Keep(&answer)
	if err != nil {
		return
	}
	asked, err := ai.Asked(&x.plan.Call)
	if err != nil {
		return
	}
	now := a.Now()
	x.kept = use.Key == x.use.Key || !x.leads
	a.Cache.Put(ctx, cache.Entry{
		Key: use.Key, Family: use.Family, Created: now, Expires: now.Add(use.TTL), Model: s.Model, Backend: s.Backend, Region: s.Region,
		Maker: x.ID, Request: asked, Response: response, Usage: answer.Usage,
		Seconds: float64(attempt.CallMS) / 1000, CostMicroUSD: attempt.CostMicroUSD,
	})
}

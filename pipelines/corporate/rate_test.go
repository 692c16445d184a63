package corporate_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

func limited(l corporate.RateLimits, kind corporate.RateKind, name string) corporate.Rate {
	return corporate.Rate{Kind: kind, Name: name, RateLimits: l}
}

func TestRatesAreThoseThatARequestFallsUnder(t *testing.T) {
	hour := func(n int64) corporate.RateLimits { return corporate.RateLimits{RequestsHour: n} }
	served := []corporate.Serving{
		{Name: "mlflow", Region: "us"}, {Name: "offline", Region: "local"},
	}
	for name, c := range map[string]struct {
		policy  corporate.RateLimits
		rates   []corporate.Rate
		class   messages.Class
		request func(*messages.Request)
		// want are name and limits, with w where the excess waits.
		want    []string
		refused messages.Reason
	}{
		"none":                           {},
		"the settings' are the tenant's": {policy: corporate.RateLimits{RequestsMinute: 60, RequestsHour: 1000}, want: []string{"rate:acme/tenant:minute", "rate:acme/tenant:hour"}},
		"of user, model and the backend that is asked first": {
			rates: []corporate.Rate{limited(hour(1), corporate.RateUser, "u1"), limited(hour(2), corporate.RateModel, "claude-3-sonnet-20240229"), limited(hour(3), corporate.RateBackend, "mlflow"), limited(hour(3), corporate.RateBackend, "offline")},
			want:  []string{"rate:acme/user/u1:hour", "rate:acme/model/claude-3-sonnet-20240229:hour", "rate:_system/backend/mlflow:hour"},
		},
		"batch waits": {rates: []corporate.Rate{limited(hour(1), corporate.RateUser, "u1")}, class: messages.ClassBatch, want: []string{"rate:acme/user/u1:hour w"}},
		"unless it is to be refused": {
			rates: []corporate.Rate{limited(corporate.RateLimits{RequestsHour: 1, Excess: corporate.ExcessRefuse}, corporate.RateUser, "u1")}, class: messages.ClassBatch,
			want: []string{"rate:acme/user/u1:hour"},
		},
		"more tokens than ever have room": {rates: []corporate.Rate{limited(corporate.RateLimits{TokensMinute: 5}, corporate.RateUser, "u1")}, refused: messages.ReasonLimitRateRequest},
		"no model, no tokens": {
			rates:   []corporate.Rate{limited(corporate.RateLimits{TokensMinute: 5}, corporate.RateUser, "u1")},
			request: func(r *messages.Request) { r.Prompt, r.Model, r.Trigger = "", "", "[Always]" },
			want:    []string{"rate:acme/user/u1:minute"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, f, p := setup(t)
			p.Rates = c.policy
			f.Rates, f.Serving = c.rates, served
			if c.class != "" {
				f.Class = c.class
			}
			if c.request != nil {
				c.request(r)
			}
			d := corporate.Decide(r, f, p)
			f.Rates, f.Serving = corporate.RatesOf(&d.Section), corporate.ServingOf(&d.Section)
			again := corporate.Decide(r, f, p)
			again.Section.Facts = d.Section.Facts // they have the limits that were not asked, too
			if !reflect.DeepEqual(again.Section, d.Section) || !reflect.DeepEqual(again.Refusal, d.Refusal) || !reflect.DeepEqual(again.Rates, d.Rates) {
				t.Errorf("out of the record it is\n%+v %+v, was\n%+v %+v", again.Section, again.Rates, d.Section, d.Rates)
			}
			if c.refused != "" {
				if d.Refusal == nil || d.Refusal.Reason != c.refused || d.Refusal.Status != messages.StatusDenied || d.Rates != nil || d.Scopes != nil {
					t.Errorf("refused for %+v with %v", d.Refusal, d.Rates)
				}
				return
			}
			var got []string
			for _, s := range d.Rates {
				line := s.Name
				if s.Wait {
					line += " w"
				}
				got = append(got, line)
			}
			if d.Refusal != nil || !slices.Equal(got, c.want) || len(d.Section.Rates) != len(c.want) {
				t.Errorf("counted in %v, refused for %+v; want %v", got, d.Refusal, c.want)
			}
			if d.Section.RateTokens != d.Tokens || len(c.want) == 0 && d.Tokens != 0 {
				t.Errorf("%d tokens, the record says %d", d.Tokens, d.Section.RateTokens)
			}
		})
	}
}

func TestWhatFindsNoRoomIsToldWhenToComeBack(t *testing.T) {
	d := corporate.Decide(setup(t))
	at := noon.Add(90*time.Second + time.Millisecond)
	e := &messages.Envelope{}
	state := corporate.Conclude(e, d, corporate.Grant{Reason: messages.ReasonLimitRateUser, Blocked: "rate:acme/user/u1:minute", RetryAt: at, Now: noon})
	if end := e.End; state != messages.StateDone || end.Status != messages.StatusRateLimited || end.Reason != messages.ReasonLimitRateUser || !end.RetryAt.Equal(noon.Add(91*time.Second)) || end.Replayable {
		t.Errorf("%s: %+v", state, end)
	}
	if c := e.Corporate; c.Verdict != messages.VerdictDenied || c.RateBlocked != "rate:acme/user/u1:minute" || !c.RetryAt.Equal(at) {
		t.Errorf("the record says %+v", c)
	}
	e = &messages.Envelope{}
	state = corporate.Conclude(e, d, corporate.Grant{Waiting: true, Reason: messages.ReasonWaitingRate, Blocked: "rate:acme/user/u1:minute", RetryAt: at, Now: noon})
	if state != messages.StateHold || e.Wait != messages.ReasonWaitingRate || !e.Corporate.RetryAt.Equal(at) {
		t.Errorf("%s: %+v", state, e)
	}
}

// The time to come back is honest: there is room at it and none a moment before; and no window of the clock has more than the limit.
func TestTheCounterIsHonest(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		span := rapid.SampledFrom([]time.Duration{time.Minute, time.Hour}).Draw(r, "span")
		limit := rapid.Int64Range(1, 1_000_000_000_000).Draw(r, "limit")
		at := noon
		var c corporate.Counter
		inWindow := map[int64]int64{}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			at = at.Add(time.Duration(rapid.Int64Range(0, int64(span/3)).Draw(r, "step"))).Truncate(time.Millisecond)
			n := rapid.Int64Range(1, limit).Draw(r, "n")
			if c.Used(at, span)+n <= limit {
				c, _ = c.At(at, span)
				c.Now += n
				if inWindow[c.Index] += n; inWindow[c.Index] > limit {
					r.Fatalf("window %d has %d of %d", c.Index, inWindow[c.Index], limit)
				}
				continue
			}
			then := at.Add(c.Wait(at, span, n, limit))
			if !then.After(at) || c.Used(then, span)+n > limit {
				r.Fatalf("%d of %d have no room at %s: %+v", n, limit, then, c)
			}
			if before := then.Add(-time.Millisecond); c.Used(before, span)+n <= limit {
				r.Fatalf("%d of %d have room before %s: %+v", n, limit, then, c)
			}
		}
	})
}

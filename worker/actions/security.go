package actions

import (
	"context"
	"encoding/json"
	"time"

	"flowgate/pipelines/flow"
	"flowgate/worker/security"
)

// SecurityTestAction is the name of SecurityTest.
const SecurityTestAction = "security_test"

// SecurityReport is what SecurityTest finds.
type SecurityReport struct {
	// OK: every check passed, or has warnings alone. What could not be looked at is not OK.
	OK     bool             `json:"ok"`
	Checks []security.Check `json:"checks"`
	// Counts are of all findings, by severity.
	Counts map[security.Severity]int `json:"counts"`
}

// Looking is one check of SecurityTest.
type Looking struct {
	Name string
	// Within bounds it; 0: lookPatience.
	Within time.Duration
	// Look MUST end soon after ctx, and say what it could not look at.
	Look func(ctx context.Context, now time.Time) *security.Look
}

// lookPatience bounds a check.
const lookPatience = 30 * time.Second

// SecurityTest audits this deployment. It is told of its weaknesses whom may lets: an error of it says why a tenant is not.
func SecurityTest(looks []Looking, may func(o Order) error) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		if err := may(o); err != nil {
			return Measured{}, err
		}
		r := &SecurityReport{OK: true, Checks: []security.Check{}, Counts: map[security.Severity]int{}}
		for _, s := range security.Severities() {
			r.Counts[s] = 0
		}
		var looked, found int64
		for _, look := range looks {
			l := look.at(ctx, o.Now)
			c := l.Conclude(look.Name)
			r.OK = r.OK && c.State != security.Fail && c.State != security.NotLookedAt
			looked, found = looked+c.LookedAt, found+l.Count(r.Counts)
			r.Checks = append(r.Checks, c)
		}
		r.fit()
		return Measured{Document: r, Samples: looked, Confidence: flow.ConfidenceOfShare(min(found, looked), looked)}, nil
	}
}

// at looks within its time.
func (k Looking) at(ctx context.Context, now time.Time) *security.Look {
	l := &security.Look{}
	if ctx.Err() != nil {
		l.Unseen("there was no time left")
		return l
	}
	within := k.Within
	if within <= 0 {
		within = lookPatience
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return k.Look(ctx, now)
}

// fit leaves findings out, the least of each check first, until the report is one that a result can hold.
func (r *SecurityReport) fit() {
	for most := security.MostFindings; most > 0; most /= 2 {
		data, err := json.Marshal(r)
		if err != nil || len(data) <= MaxResultBytes {
			return
		}
		for i := range r.Checks {
			r.Checks[i].Cut(most / 2)
		}
	}
}

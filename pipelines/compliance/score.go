package compliance

import (
	"math"
	"strings"

	"flowgate/messages"
)

// Cap is the most that a score can be where a gate failed.
const Cap = 0.49

// Score is a pure function of the results: the share of weight passed among the applicable controls, by framework and in all.
// What is unknown counts as not passed. A failed gate caps it at Cap. Coverage is the share of weight of which it is known
// whether it passed. nil: there are no controls.
func Score(results []messages.Control) *messages.Compliance {
	if len(results) == 0 {
		return nil
	}
	in := make(map[string][]messages.Control)
	var order []string
	for _, c := range results {
		set, _, _ := strings.Cut(c.ID, ".")
		if _, known := in[set]; !known {
			order = append(order, set)
		}
		in[set] = append(in[set], c)
	}
	out := &messages.Compliance{}
	out.Share = share(results)
	for _, set := range order {
		out.Frameworks = append(out.Frameworks, messages.FrameworkScore{ID: set, Share: share(in[set])})
	}
	return out
}

func share(results []messages.Control) messages.Share {
	var s messages.Share
	passed, known, all, blocked := 0, 0, 0, false
	for _, c := range results {
		weight := Severity(c.Severity).Weight()
		switch c.State {
		case StatePass:
			passed, known, all = passed+weight, known+weight, all+weight
			s.Passed++
		case StateFail:
			known, all = known+weight, all+weight
			s.Failed++
			blocked = blocked || c.Gate
		case StateUnknown:
			all += weight
			s.Unknown++
		default:
			s.NotApplicable++
		}
	}
	if all == 0 {
		return s
	}
	score, coverage := round(float64(passed)/float64(all)), round(float64(known)/float64(all))
	if blocked {
		score = min(score, Cap)
	}
	s.Score, s.Coverage = &score, &coverage
	return s
}

// round keeps four decimals.
func round(x float64) float64 { return math.Round(x*10_000) / 10_000 }

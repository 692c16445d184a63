package corporate

import (
	"slices"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines/policy"
)

// Again is what a policy says of a decision on record.
type Again int

// The words.
const (
	// AgainSame: what was decided stands.
	AgainSame Again = iota
	// AgainDenied: what was let through would be denied; AgainPassed: what was denied would be let through.
	AgainDenied
	AgainPassed
	// AgainOtherwise: it would be denied by another rule, or be flagged otherwise.
	AgainOtherwise
	// AgainEarlier: another check had refused it before any rule was asked.
	AgainEarlier
	// AgainUnknown: the record lacks facts that rules may speak of, since an older version wrote it.
	AgainUnknown
)

// JudgeRules makes the decision of a policy on a request again, out of the record alone. was and now are what rules decided then and
// would decide now.
func JudgeRules(kind messages.Kind, s *messages.CorporateSection, f Facts, p *policy.Policy) (word Again, was, now policy.Outcome) {
	was.Flagged = s.Flags
	for _, c := range s.Checks {
		switch {
		case c.State != fail:
		case c.Name != "policy":
			return AgainEarlier, was, now
		default:
			was.Denied = deniedBy(c.Detail)
		}
	}
	if s.ReasonLength == 0 {
		return AgainUnknown, was, now
	}
	facts := FactsOf(kind, s, f)
	now = p.Decide(&facts)
	switch {
	case was.Denied == "" && now.Denied != "":
		return AgainDenied, was, now
	case was.Denied != "" && now.Denied == "":
		return AgainPassed, was, now
	case was.Denied != now.Denied || !sameFlags(was.Flagged, now.Flagged):
		return AgainOtherwise, was, now
	}
	return AgainSame, was, now
}

// deniedBy is the rule of a check's detail: "rule <id>", with words behind it.
func deniedBy(detail string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(detail, "rule "), ":")
	return id
}

func sameFlags(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

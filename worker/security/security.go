// Package security judges how well a deployment is closed: each of its checks is given facts, and says what it looked at and what it
// found. What could not be looked at is said, never passed over. It prints no secret.
//
// Read next: database.go and files.go.
package security

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Severity says how much harm a finding can do.
type Severity string

// The severities.
const (
	// Critical: who should not can read or change what belongs to others, now.
	Critical Severity = "critical"
	// High: one more step is needed for that, such as a login on this machine.
	High Severity = "high"
	// Medium: a lock less than there should be.
	Medium Severity = "medium"
	// Low: to be known.
	Low Severity = "low"
)

// Severities lists them, the worst first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low} }

// State is how a check ended.
type State string

// The states of a check.
const (
	Pass State = "pass"
	// Fail has a finding that is critical or high, Warn only others.
	Fail State = "fail"
	Warn State = "warn"
	// NotApplicable: there is nothing of the kind.
	NotApplicable State = "not_applicable"
	// NotLookedAt: something could not be looked at, and nothing was found in the rest.
	NotLookedAt State = "not_looked_at"
)

// Finding is something to mend.
type Finding struct {
	Severity Severity `json:"severity"`
	// Subject is what it is about: a role, a file, a credential, a setting.
	Subject string `json:"subject"`
	What    string `json:"what"`
	// NextStep is what mends it.
	NextStep string `json:"next_step"`
}

// Check is what one check came to.
type Check struct {
	Check string `json:"check"`
	State State  `json:"state"`
	// Why says what could not be looked at, or why there is nothing.
	Why string `json:"why,omitempty"`
	// LookedAt counts what was looked at: roles, files, credentials, settings.
	LookedAt int64 `json:"looked_at"`
	// Findings are the worst, More how many were left out.
	Findings []Finding `json:"findings"`
	More     int       `json:"more,omitempty"`
}

// Look is what a check collects. Its zero value has looked at nothing.
type Look struct {
	at       int64
	findings []Finding
	unseen   []string
	nothing  string
}

// Saw counts things that were looked at.
func (l *Look) Saw(n int) { l.at += int64(n) }

// Find adds a finding.
func (l *Look) Find(s Severity, subject, what, next string) {
	l.findings = append(l.findings, Finding{Severity: s, Subject: subject, What: what, NextStep: next})
}

// Unseen says what could not be looked at, and why. It MUST hold no secret.
func (l *Look) Unseen(format string, args ...any) {
	l.unseen = append(l.unseen, fmt.Sprintf(format, args...))
}

// Nothing says why there is nothing to look at.
func (l *Look) Nothing(why string) { l.nothing = why }

// Count adds the findings to those of each severity, and tells how many there are.
func (l *Look) Count(by map[Severity]int) int64 {
	for _, f := range l.findings {
		by[f.Severity]++
	}
	return int64(len(l.findings))
}

// MostFindings bounds those that a check tells.
const MostFindings = 10

// Bounds of a check's texts.
const (
	mostBytes  = 300
	mostUnseen = 3
)

// Cut leaves out all but the worst findings.
func (c *Check) Cut(most int) {
	if over := len(c.Findings) - most; over > 0 {
		c.Findings, c.More = c.Findings[:most], c.More+over
	}
}

// Add takes over what another look has collected.
func (l *Look) Add(more *Look) {
	l.at += more.at
	l.findings, l.unseen = append(l.findings, more.findings...), append(l.unseen, more.unseen...)
	if more.nothing != "" {
		l.nothing = more.nothing
	}
}

// Conclude is the check of what a look collected.
func (l *Look) Conclude(name string) Check {
	c := Check{Check: name, State: Pass, LookedAt: l.at, Findings: []Finding{}}
	all := slices.Clone(l.findings)
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(a.Subject, b.Subject))
	})
	for _, f := range all {
		c.Findings = append(c.Findings, Finding{f.Severity, short(f.Subject), short(f.What), short(f.NextStep)})
	}
	c.Cut(MostFindings)
	why := slices.Clone(l.unseen)
	if len(why) > mostUnseen {
		why = append(why[:mostUnseen], fmt.Sprintf("and %d more", len(l.unseen)-mostUnseen))
	}
	c.Why = short(strings.Join(why, "; "))
	switch {
	case len(all) > 0 && rank(all[0].Severity) <= rank(High):
		c.State = Fail
	case len(all) > 0:
		c.State = Warn
	case len(l.unseen) > 0:
		c.State = NotLookedAt
	case l.at == 0 && l.nothing == "": // nobody may take silence for health
		c.State, c.Why = NotLookedAt, "nothing was looked at"
	case l.at == 0:
		c.State, c.Why = NotApplicable, short(l.nothing)
	}
	return c
}

func rank(s Severity) int { return slices.Index(Severities(), s) }

// short cuts a text to what a finding may hold, at the end of a letter.
func short(text string) string {
	if len(text) <= mostBytes {
		return text
	}
	cut := mostBytes
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// some names a few of many.
func some(all []string) string {
	const few = 4
	if len(all) <= few {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:few], ", "), len(all)-few)
}

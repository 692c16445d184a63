// Package policy judges requests by rules that a company writes: CEL expressions over typed facts, in bundles that are named by
// their content and bring their own test cases.
//
// Read bundle.go, facts.go (what rules may speak of), then compile.go.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"flowgate/pipelines/rule"
)

// Bounds of a bundle.
const (
	MaxRules      = 200
	MaxCases      = 1000
	MaxExpression = rule.MaxBytes
	MaxText       = 500
	// MaxBytes is the most bytes of a bundle as JSON.
	MaxBytes = 256 << 10
)

// Effect is what a rule does where its expression is true.
type Effect string

// The effects. A rule that denies wins over all others.
const (
	EffectDeny Effect = "deny"
	EffectFlag Effect = "flag"
)

// Bundle is a policy: rules, and cases that say what they must decide.
type Bundle struct {
	Name  string `json:"name"`
	Rules []Rule `json:"rules"`
	Cases []Case `json:"cases,omitempty"`
}

// Rule is one CEL expression and what follows from it.
type Rule struct {
	ID     string `json:"id"`
	Effect Effect `json:"effect"`
	// When is the expression, of type bool.
	When string `json:"when"`
	// Because is told to whose request is denied.
	Because string `json:"because,omitempty"`
}

// Case is a request, and what the bundle must decide on it.
type Case struct {
	Name  string `json:"name"`
	Facts Facts  `json:"facts"`
	// Denied is the rule that must deny it; empty: none may. Flagged are the rules that must flag it.
	Denied  string   `json:"denied,omitempty"`
	Flagged []string `json:"flagged,omitempty"`
}

// Version names a bundle by its content: 12 hexadecimal digits, the same on every machine. No bundle has none.
func (b Bundle) Version() string {
	if len(b.Rules) == 0 && b.Name == "" {
		return ""
	}
	data, err := json.Marshal(b)
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// Fault is something that a bundle must not have.
type Fault struct {
	// Where is its place, such as rules[2].when; Text what it must be.
	Where, Text string
}

func (f *Fault) Error() string { return f.Where + ": " + f.Text }

func fault(where, format string, args ...any) error {
	return &Fault{Where: where, Text: fmt.Sprintf(format, args...)}
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

const nameRule = "must be a-z, 0-9, _ and -, at most 63 of them, such as no-hr-data"

// check lists what is wrong with a bundle's form.
func (b Bundle) check() []error {
	var faults []error
	add := func(where, format string, args ...any) { faults = append(faults, fault(where, format, args...)) }
	if !nameForm.MatchString(b.Name) {
		add("name", nameRule)
	}
	if len(b.Rules) > MaxRules {
		add("rules", "has %d, may have %d", len(b.Rules), MaxRules)
	}
	if len(b.Cases) > MaxCases {
		add("cases", "has %d, may have %d", len(b.Cases), MaxCases)
	}
	if data, err := json.Marshal(b); err == nil && len(data) > MaxBytes {
		add("(bundle)", "has %d bytes, may have %d", len(data), MaxBytes)
	}
	known := map[string]Effect{}
	for i, r := range b.Rules {
		where := fmt.Sprintf("rules[%d]", i)
		switch _, twice := known[r.ID]; {
		case !nameForm.MatchString(r.ID):
			add(where+".id", nameRule)
		case twice:
			add(where+".id", "%s is there twice", r.ID)
		}
		known[r.ID] = r.Effect
		if r.Effect != EffectDeny && r.Effect != EffectFlag {
			add(where+".effect", "must be %s or %s", EffectDeny, EffectFlag)
		}
		if len(r.When) > MaxExpression {
			add(where+".when", "has %d bytes, may have %d", len(r.When), MaxExpression)
		}
		if len(r.Because) > MaxText || !utf8.ValidString(r.Because) || strings.ContainsAny(r.Because, "\r\n\x00") {
			add(where+".because", "must be one line of at most %d bytes", MaxText)
		}
	}
	return append(faults, b.checkCases(known)...)
}

func (b Bundle) checkCases(rules map[string]Effect) []error {
	var faults []error
	names := map[string]bool{}
	for i, c := range b.Cases {
		where := fmt.Sprintf("cases[%d]", i)
		if strings.TrimSpace(c.Name) == "" || names[c.Name] {
			faults = append(faults, fault(where+".name", "must be there, and be no other case's"))
		}
		names[c.Name] = true
		if c.Denied != "" && rules[c.Denied] != EffectDeny {
			faults = append(faults, fault(where+".denied", "must be the id of a rule that denies"))
		}
		for _, id := range c.Flagged {
			if rules[id] != EffectFlag {
				faults = append(faults, fault(where+".flagged", "must be ids of rules that flag"))
			}
		}
	}
	return faults
}

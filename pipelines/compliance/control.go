// Package compliance judges requests by controls: what a framework of law or a company demands, as CEL expressions over the facts
// of a request, each where on its way it can be judged. Its score is conformance to the configured controls and no legal advice.
//
// Read control.go, facts.go (what controls may speak of), book.go, then score.go.
package compliance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"flowgate/pipelines/privacy"
)

// Stage is where on a request's way a control is judged.
type Stage string

// The stages, in order.
const (
	// StageBefore is layer 1, before anything is reserved.
	StageBefore Stage = "before"
	// StageCall is layer 2, when a backend is chosen and nothing has been sent.
	StageCall Stage = "call"
	// StageAfter is layer 2, when the answer is there and nobody has it; and layer 3, for an answer that is carried over.
	StageAfter Stage = "after"
	// StageEnd is layer 3.
	StageEnd Stage = "end"
)

// Stages lists the stages in their order.
func Stages() []Stage { return []Stage{StageBefore, StageCall, StageAfter, StageEnd} }

// Severity is how much a control weighs.
type Severity string

// The severities.
const (
	SeverityCritical Severity = "critical"
	SeverityHigh     Severity = "high"
	SeverityMedium   Severity = "medium"
	SeverityLow      Severity = "low"
)

// Severities lists the severities, the heaviest first.
func Severities() []Severity {
	return []Severity{SeverityCritical, SeverityHigh, SeverityMedium, SeverityLow}
}

// Weight is what a control of a severity counts; 0: there is no such severity.
func (s Severity) Weight() int {
	switch s {
	case SeverityCritical:
		return 10
	case SeverityHigh:
		return 5
	case SeverityMedium:
		return 2
	case SeverityLow:
		return 1
	}
	return 0
}

// The states of a control.
const (
	StatePass          = "pass"
	StateFail          = "fail"
	StateUnknown       = "unknown"
	StateNotApplicable = "not_applicable"
)

// Document is what a deployment demands: sets of controls, levels that name sets, and the register that controls speak of.
type Document struct {
	// Levels names sets of sets, such as standard or sox.
	Levels map[string][]string `json:"levels"`
	// Purposes is the register of purposes.
	Purposes map[string]Purpose `json:"purposes,omitempty"`
	// Transfers has, by a backend's region, the mechanism by which personal data may go there. A * at the end stands for
	// anything.
	Transfers map[string]string `json:"transfers,omitempty"`
	// Associates are the backends whose operators have signed an agreement as business associates.
	Associates []string `json:"associates,omitempty"`
	// Retention is for how long the deployment undertakes to keep its record.
	Retention Retention `json:"retention"`
	Sets      []Set     `json:"sets"`
}

// Purpose is an entry of the register of purposes.
type Purpose struct {
	LegalBasis string `json:"legal_basis,omitempty"`
	// Data are the classes of data that may be used for it.
	Data []string `json:"data,omitempty"`
	// SpecialCategories says on what ground data of special categories may be used, or none; empty: nobody has said.
	SpecialCategories string `json:"special_categories,omitempty"`
}

// Retention is a class and its days; 0: nobody has said.
type Retention struct {
	Class string `json:"class,omitempty"`
	Days  int64  `json:"days,omitempty"`
}

// Set is the controls of one framework.
type Set struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Controls []Control `json:"controls"`
}

// Control is one demand. Its id begins with that of its set and a dot.
type Control struct {
	ID string `json:"id"`
	// Clause is where the framework demands it.
	Clause string `json:"clause,omitempty"`
	// Says is the demand in words.
	Says     string   `json:"says"`
	Stages   []Stage  `json:"stages"`
	Severity Severity `json:"severity"`
	// Gate: a request that fails it ends. What is no gate is advice.
	Gate bool `json:"gate,omitempty"`
	// Applies is an expression: where it is false the control is not applicable. Empty: it always is.
	Applies string `json:"applies,omitempty"`
	// Pass is the expression that holds where the control is met.
	Pass string `json:"pass"`
	// Evidence are the facts that are shown. Where one of them is missing the control's state is unknown, or fail where
	// Missing says so.
	Evidence []string `json:"evidence,omitempty"`
	Missing  string   `json:"missing,omitempty"`
}

// Version names a document by its content: 12 hexadecimal digits, the same on every machine.
func (d Document) Version() string {
	data, err := json.Marshal(d)
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// Bounds of a document.
const (
	MaxControls = 200
	MaxLevels   = 30
	MaxPurposes = 1000
	maxText     = 300
	maxEvidence = 8
)

// Fault is something that a document must not have.
type Fault struct {
	// Where is its place, such as sets[0].controls[2].pass; Text what it must be.
	Where, Text string
}

func (f *Fault) Error() string { return f.Where + ": " + f.Text }

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

const nameRule = "must be a-z, 0-9, _ and -, at most 63 of them"

// checker collects faults.
type checker struct{ faults []error }

func (c *checker) add(where, format string, args ...any) {
	c.faults = append(c.faults, &Fault{where, fmt.Sprintf(format, args...)})
}

func (c *checker) line(where, text string, needed bool) {
	if needed && strings.TrimSpace(text) == "" {
		c.add(where, "is required")
	}
	if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00") {
		c.add(where, "must be one line of at most %d bytes", maxText)
	}
}

func (c *checker) name(where, name string) {
	if !nameForm.MatchString(name) {
		c.add(where, nameRule)
	}
}

// check lists what is wrong with a document's form.
func (d Document) check() []error {
	c := &checker{}
	n, sets, ids := 0, map[string]bool{}, map[string]bool{}
	for i, s := range d.Sets {
		where := fmt.Sprintf("sets[%d]", i)
		c.name(where+".id", s.ID)
		if sets[s.ID] {
			c.add(where+".id", "%s is there twice", s.ID)
		}
		sets[s.ID] = true
		c.line(where+".title", s.Title, true)
		for j, control := range s.Controls {
			place := fmt.Sprintf("%s.controls[%d]", where, j)
			if ids[control.ID] {
				c.add(place+".id", "%s is there twice", control.ID)
			}
			ids[control.ID] = true
			control.check(c, place, s.ID)
			n++
		}
	}
	if n > MaxControls {
		c.add("sets", "have %d controls, may have %d", n, MaxControls)
	}
	d.checkRegister(c, sets)
	return c.faults
}

func (d Document) checkRegister(c *checker, sets map[string]bool) {
	if len(d.Levels) == 0 || len(d.Levels) > MaxLevels {
		c.add("levels", "has %d, must have from 1 to %d: copy the file that ships and change that", len(d.Levels), MaxLevels)
	}
	for name, of := range d.Levels {
		where := "levels." + name
		c.name(where, name)
		for i, set := range of {
			if !sets[set] {
				c.add(fmt.Sprintf("%s[%d]", where, i), "%.40q is no set", set)
			}
		}
	}
	if len(d.Purposes) > MaxPurposes {
		c.add("purposes", "has %d, may have %d", len(d.Purposes), MaxPurposes)
	}
	for name, p := range d.Purposes {
		where := "purposes." + name
		c.line(where, name, true)
		c.line(where+".legal_basis", p.LegalBasis, false)
		c.line(where+".special_categories", p.SpecialCategories, false)
		for i, class := range p.Data {
			if !slices.Contains(privacy.Classes(), privacy.Class(class)) {
				c.add(fmt.Sprintf("%s.data[%d]", where, i), "must be contact, identity, network, payment or secret")
			}
		}
	}
	for region, mechanism := range d.Transfers {
		c.line("transfers."+region, mechanism, true)
	}
	for i, name := range d.Associates {
		c.line(fmt.Sprintf("associates[%d]", i), name, true)
	}
	c.line("retention.class", d.Retention.Class, false)
	if d.Retention.Days < 0 || d.Retention.Days > 36_525 {
		c.add("retention.days", "must be from 0 to 36525")
	}
}

func (k Control) check(c *checker, where, set string) {
	name, of := strings.CutPrefix(k.ID, set+".")
	if !of {
		c.add(where+".id", "must begin with %s.", set)
	} else {
		c.name(where+".id", name)
	}
	c.line(where+".says", k.Says, true)
	c.line(where+".clause", k.Clause, false)
	if k.Severity.Weight() == 0 {
		c.add(where+".severity", "must be critical, high, medium or low")
	}
	if len(k.Stages) == 0 {
		c.add(where+".stages", "is required: before, call, after or end")
	}
	for i, s := range k.Stages {
		if !slices.Contains(Stages(), s) || slices.Index(k.Stages, s) != i {
			c.add(fmt.Sprintf("%s.stages[%d]", where, i), "must be before, call, after or end, each once")
		}
	}
	if k.Missing != "" && k.Missing != StateUnknown && k.Missing != StateFail {
		c.add(where+".missing", "must be unknown or fail")
	}
	if len(k.Evidence) > maxEvidence {
		c.add(where+".evidence", "has %d, may have %d", len(k.Evidence), maxEvidence)
	}
}

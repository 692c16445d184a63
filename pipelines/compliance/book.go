package compliance

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines/rule"
)

// Book is a compiled document. It is immutable and safe for concurrent use. A nil one demands nothing.
type Book struct {
	document Document
	version  string
	// controls are all of them, in the order of the document; levels has the places of those of a level, in that order, and stages
	// those of them that are judged at a stage.
	controls []compiled
	levels   map[string][]int
	stages   map[Stage]map[string][]int
	facts    *rule.Language[Facts]
}

type compiled struct {
	Control

	applies, pass rule.Expression[Facts]
	// off is what it says of a request that it does not apply to.
	off string
}

// Compile compiles a document. Its error joins every *Fault.
func Compile(d Document) (*Book, error) {
	faults := d.check()
	facts := vocabulary()
	language, err := rule.New(facts)
	if err != nil {
		return nil, err
	}
	b := &Book{document: d, version: d.Version(), facts: language, levels: make(map[string][]int, len(d.Levels))}
	inSet := make(map[string][]int, len(d.Sets))
	for i, s := range d.Sets {
		for j, control := range s.Controls {
			c, wrong := compile(language, facts, control, fmt.Sprintf("sets[%d].controls[%d]", i, j))
			faults = append(faults, wrong...)
			inSet[s.ID] = append(inSet[s.ID], len(b.controls))
			b.controls = append(b.controls, c)
		}
	}
	for name, sets := range d.Levels {
		for _, set := range sets {
			b.levels[name] = append(b.levels[name], inSet[set]...)
		}
		slices.Sort(b.levels[name])
		b.levels[name] = slices.Compact(b.levels[name])
	}
	b.stages = make(map[Stage]map[string][]int)
	for _, stage := range Stages() {
		b.stages[stage] = make(map[string][]int)
		for name, places := range b.levels {
			b.stages[stage][name] = slices.DeleteFunc(slices.Clone(places), func(at int) bool { return !slices.Contains(b.controls[at].Stages, stage) })
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return b, nil
}

func compile(language *rule.Language[Facts], facts []rule.Fact[Facts], control Control, where string) (compiled, []error) {
	c, faults := compiled{Control: control, off: "applies only where " + words(control.Applies)}, []error(nil)
	var err error
	if control.Applies != "" {
		if c.applies, err = language.Compile(control.Applies); err != nil {
			faults = append(faults, &Fault{where + ".applies", err.Error()})
		}
	}
	if c.pass, err = language.Compile(control.Pass); err != nil {
		faults = append(faults, &Fault{where + ".pass", err.Error()})
	}
	for i, name := range control.Evidence {
		if !slices.ContainsFunc(facts, func(f rule.Fact[Facts]) bool { return f.Name == name }) {
			faults = append(faults, &Fault{fmt.Sprintf("%s.evidence[%d]", where, i), fmt.Sprintf("%.40q is no fact: see flowgate controls facts", name)})
		}
	}
	return c, faults
}

// Document is what was compiled, Version its name; both are empty of a nil book.
func (b *Book) Document() Document {
	if b == nil {
		return Document{}
	}
	return b.document
}

// Version names the book by its content; empty: there is none.
func (b *Book) Version() string {
	if b == nil {
		return ""
	}
	return b.version
}

// MarshalJSON writes the document.
func (b *Book) MarshalJSON() ([]byte, error) { return json.Marshal(b.Document()) }

// Has tells whether there is a level of that name.
func (b *Book) Has(level string) bool {
	if b == nil {
		return false
	}
	_, has := b.document.Levels[level]
	return has
}

// Controls are those of levels, in the order of the document. A level that there is not is an error.
func (b *Book) Controls(levels ...string) ([]Control, error) {
	if b == nil {
		return nil, nil
	}
	places, err := b.places(b.levels, levels)
	if err != nil {
		return nil, err
	}
	controls := make([]Control, len(places))
	for i, at := range places {
		controls[i] = b.controls[at].Control
	}
	return controls, nil
}

// places are those of the controls of levels, out of those that each level has. Empty levels are none.
func (b *Book) places(in map[string][]int, levels []string) ([]int, error) {
	var all []int
	for i, level := range levels {
		switch of, has := in[level]; {
		case level == "" || slices.Index(levels, level) != i:
		case !b.Has(level):
			return nil, fmt.Errorf("%.40q is no level of compliance", level)
		case !has:
		case all == nil:
			all = of
		default:
			all = append(slices.Clone(all), of...)
			slices.Sort(all)
			all = slices.Compact(all)
		}
	}
	return all, nil
}

// Outcome is what the controls of a stage came to.
type Outcome struct {
	Results []messages.Control
	// Failed is the first gate that the request does not pass; empty: none.
	Failed string
	// Because is what the gate demands.
	Because string
	// Err is set where Failed could not be evaluated, which denies, be it a gate or not. It may hold what was asked.
	Err error
}

// Judge judges by the controls that levels have at a stage.
func (b *Book) Judge(stage Stage, f Facts, levels ...string) Outcome {
	var out Outcome
	if b == nil {
		return out
	}
	places, err := b.places(b.stages[stage], levels)
	if err != nil {
		return Outcome{Failed: "level", Because: "the level of compliance that the agreement names is not configured", Err: err}
	}
	if len(places) == 0 {
		return out
	}
	f.register = &b.document
	facts := b.facts.Bind(&f)
	defer facts.Release()
	out.Results = make([]messages.Control, 0, len(places))
	for _, at := range places {
		c := &b.controls[at]
		r, err := c.judge(stage, facts)
		out.Results = append(out.Results, r)
		switch {
		case out.Failed != "":
		case err != nil:
			out.Failed, out.Err = c.ID, err
		case r.State == StateFail && c.Gate:
			out.Failed, out.Because = c.ID, c.Says
		}
	}
	return out
}

// mostWords bounds what a result says in words, in bytes.
const mostWords = 200

func (c *compiled) judge(stage Stage, known *rule.Bound[Facts]) (messages.Control, error) {
	r := messages.Control{ID: c.ID, Stage: string(stage), State: StateFail, Severity: string(c.Severity), Gate: c.Gate}
	if c.Applies != "" {
		switch applies, err := c.applies.Holds(known); {
		case err != nil:
			r.Gate, r.Evidence = true, "whether it applies could not be evaluated"
			return r, err
		case !applies:
			r.State, r.Evidence = StateNotApplicable, c.off
			return r, nil
		}
	}
	var missing bool
	if r.Evidence, missing = c.shown(known); missing {
		if c.Missing != StateFail {
			r.State = StateUnknown
		}
		return r, nil
	}
	met, err := c.pass.Holds(known)
	switch {
	case err != nil:
		r.Gate, r.Evidence = true, "it could not be evaluated"
		return r, err
	case met:
		r.State = StatePass
	}
	return r, nil
}

// shown are the facts that are evidence, and those that are missing.
func (c *compiled) shown(f *rule.Bound[Facts]) (text string, some bool) {
	if len(c.Evidence) == 0 {
		return "", false
	}
	shown := make([]byte, 0, 128)
	var missing []string
	for _, name := range c.Evidence {
		before := len(shown)
		if before > 0 {
			shown = append(shown, "; "...)
		}
		var has bool
		if shown, has = show(shown, name, f); !has {
			shown, missing = shown[:before], append(missing, name)
		}
	}
	if len(missing) == 0 {
		return string(shown), false
	}
	if len(shown) > 0 {
		shown = append(shown, "; "...)
	}
	return string(shown) + "missing: " + strings.Join(missing, ", "), true
}

func words(s string) string {
	if s = strings.Join(strings.Fields(s), " "); len(s) > mostWords {
		return strings.ToValidUTF8(s[:mostWords], "") + "…"
	}
	return s
}

// Due are the ids of the controls of levels that are judged at a later stage than this one, in their order.
func (b *Book) Due(after Stage, levels ...string) []string {
	if b == nil {
		return nil
	}
	places, err := b.places(b.levels, levels)
	if err != nil {
		return nil
	}
	var due []string
	at := slices.Index(Stages(), after)
	for _, place := range places {
		c := &b.controls[place]
		if slices.ContainsFunc(c.Stages, func(s Stage) bool { return slices.Index(Stages(), s) > at }) {
			due = append(due, c.ID)
		}
	}
	return due
}

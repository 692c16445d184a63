package templates

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"unicode/utf8"

	"flowgate/messages"
)

// Bounds of a template.
const (
	MaxParameters = 50
	MaxSteps      = 20
	// DefaultLength is the most characters of a parameter that says nothing, MaxLength of one that does.
	DefaultLength = 10_000
	MaxLength     = 100_000
	// MaxRendered bounds the texts of a step's request together, in bytes.
	MaxRendered = 512 << 10
	// maxDescription bounds words for people, in bytes.
	maxDescription = 2_000
)

// OnlyStep is the name of the step of a template that has a prompt in the place of steps.
const OnlyStep = "prompt"

// Type is what a parameter's value must be.
type Type string

// The types; a parameter that names none is text.
const (
	Text    Type = "text"
	Integer Type = "integer"
	Number  Type = "number"
	Boolean Type = "boolean"
)

// Types lists them.
func Types() []Type { return []Type{Text, Integer, Number, Boolean} }

// Parameter is a value that whoever asks for an action gives.
type Parameter struct {
	// Name is of a-z, 0-9 and _, a letter first.
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Type        Type   `json:"type"`
	Required    bool   `json:"required"`
	// Default stands in where nobody gives one; nil: none does, and text is empty there.
	Default any `json:"default,omitempty"`
	// Allowed are the only values; none: all of the type are.
	Allowed []any `json:"allowed,omitempty"`
	// MaxLength is the most characters of a text; 0: DefaultLength.
	MaxLength int `json:"max_length,omitempty"`
}

// Step is one request.
type Step struct {
	Name string
	// DependsOn are earlier steps that must have answered; those whose answers its texts use need not be named.
	DependsOn []string
	// Prompt, System and Model are texts with gaps: {{parameter}}, and, but for a model, {{step.answer}}.
	Prompt, System, Model string
	// MaxTokens bounds the answer; 0: the chain's default does.
	MaxTokens   int
	Temperature *float64
	// Fresh has nothing to do with the cache.
	Fresh bool

	prompt, system, model text
	after                 []int
}

// Check is what the last step's answer must be; it is never empty.
type Check struct {
	// JSON demands an object, in which Keys are.
	JSON bool
	Keys []string
}

// Template is an action as data. New makes it; its fields must not be changed then.
type Template struct {
	Name        string
	Description string
	Parameters  []Parameter
	Steps       []Step
	Result      Check
}

// Fault is something wrong with a template.
type Fault struct {
	// Where is its place, such as steps[1].prompt.
	Where string
	Text  string
}

func (f *Fault) Error() string { return f.Where + ": " + f.Text }

// nameForm is the form of names of actions, parameters and steps.
var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// CheckName tells what is wrong with the name of an action, a parameter or a step.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%.80q is no name: it must be of a-z, 0-9 and _, at most 64, a letter first", name)
	}
	return nil
}

// checker collects faults.
type checker struct{ faults []error }

func (c *checker) add(where, format string, args ...any) {
	c.faults = append(c.faults, &Fault{Where: where, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) name(where, name string, taken map[string]bool) {
	switch err := CheckName(name); {
	case name == "":
		c.add(where, "is required")
	case err != nil:
		c.add(where, "%s", err)
	case taken[name]:
		c.add(where, "%s is there twice", name)
	}
	taken[name] = true
}

// New checks a template and reads its texts. Its error joins a *Fault for everything that is wrong.
func New(t Template) (*Template, error) {
	c := &checker{}
	c.name("name", t.Name, map[string]bool{})
	if len(t.Description) > maxDescription {
		c.add("description", "must be at most %d bytes", maxDescription)
	}
	t.Parameters = c.parameters(t.Parameters)
	t.Steps = c.steps(&t)
	if !t.Result.JSON && len(t.Result.Keys) > 0 {
		c.add("result.keys", "needs json: true")
	}
	if slices.Contains(t.Result.Keys, "") {
		c.add("result.keys", "must not be empty")
	}
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	return &t, nil
}

// parameters checks the parameters of a template, and fills in their types.
func (c *checker) parameters(given []Parameter) []Parameter {
	all := slices.Clone(given)
	if len(all) > MaxParameters {
		c.add("parameters", "has %d, may have %d", len(all), MaxParameters)
		return nil
	}
	names := map[string]bool{}
	for i := range all {
		p, where := &all[i], fmt.Sprintf("parameters[%d]", i)
		c.name(where+".name", p.Name, names)
		if p.Type == "" {
			p.Type = Text
		}
		switch {
		case !slices.Contains(Types(), p.Type):
			c.add(where+".type", "%.40q must be one of %v", p.Type, Types())
			continue
		case len(p.Description) > maxDescription:
			c.add(where+".description", "must be at most %d bytes", maxDescription)
		case p.MaxLength < 0 || p.MaxLength > MaxLength:
			c.add(where+".max_length", "must be from 1 to %d", MaxLength)
		case p.MaxLength > 0 && p.Type != Text:
			c.add(where+".max_length", "is of texts alone")
		case p.Required && p.Default != nil:
			c.add(where+".default", "a required parameter has none")
		}
		for j, a := range p.Allowed {
			if _, err := p.plain(a); err != nil {
				c.add(fmt.Sprintf("%s.allowed[%d]", where, j), "%s", err)
			}
		}
		if p.Default != nil {
			if _, err := p.value(p.Default); err != nil {
				c.add(where+".default", "%s", err)
			}
		}
	}
	return all
}

// steps checks the steps of a template and reads their texts.
func (c *checker) steps(t *Template) []Step {
	steps := slices.Clone(t.Steps)
	if len(steps) == 0 || len(steps) > MaxSteps {
		c.add("steps", "has %d, must have from 1 to %d, or a prompt in their place", len(steps), MaxSteps)
		return nil
	}
	parameters, earlier, names := map[string]bool{}, map[string]int{}, map[string]bool{}
	for _, p := range t.Parameters {
		parameters[p.Name] = true
	}
	ordered := !slices.ContainsFunc(steps, func(s Step) bool { return s.DependsOn != nil })
	for i := range steps {
		s, where := &steps[i], fmt.Sprintf("steps[%d]", i)
		if len(steps) == 1 && steps[0].Name == OnlyStep {
			where = ""
		}
		c.name(inside(where, "name"), s.Name, names)
		if s.MaxTokens < 0 || s.MaxTokens > messages.MaxOutputTokens {
			c.add(inside(where, "max_tokens"), "must be from 1 to %d", messages.MaxOutputTokens)
		}
		if x := s.Temperature; x != nil && (math.IsNaN(*x) || *x < 0 || *x > 2) {
			c.add(inside(where, "temperature"), "must be from 0 to 2")
		}
		s.after = c.dependsOn(where, s.DependsOn, earlier)
		s.prompt = c.text(inside(where, "prompt"), s.Prompt, parameters, earlier)
		s.system = c.text(inside(where, "system"), s.System, parameters, earlier)
		s.model = c.text(inside(where, "model"), s.Model, parameters, nil)
		if s.Prompt == "" {
			c.add(inside(where, "prompt"), "is required")
		}
		for _, t := range []text{s.prompt, s.system} {
			for _, part := range t {
				if part.step != "" {
					s.after = append(s.after, earlier[part.step])
				}
			}
		}
		if ordered && i > 0 {
			s.after = append(s.after, i-1)
		}
		slices.Sort(s.after)
		s.after = slices.Compact(s.after)
		earlier[s.Name] = i
	}
	return steps
}

// inside is the place of a key.
func inside(where, key string) string {
	if where == "" {
		return key
	}
	return where + "." + key
}

func (c *checker) dependsOn(where string, names []string, earlier map[string]int) (after []int) {
	for j, name := range names {
		at, found := earlier[name]
		if !found {
			c.add(fmt.Sprintf("%s.depends_on[%d]", where, j), "%.80q is no step above this one", name)
			continue
		}
		after = append(after, at)
	}
	return after
}

// text reads a text with gaps, each of which must be known.
func (c *checker) text(where, source string, parameters map[string]bool, earlier map[string]int) text {
	if len(source) > MaxRendered || !utf8.ValidString(source) {
		c.add(where, "must be at most %d bytes of UTF-8", MaxRendered)
		return nil
	}
	t, err := parse(source)
	if err != nil {
		c.add(where, "%s", err)
		return nil
	}
	for _, part := range t {
		switch {
		case part.parameter != "" && !parameters[part.parameter]:
			c.add(where, "{{%s}} is no parameter of the template", part.parameter)
		case part.step != "" && earlier == nil:
			c.add(where, "{{%s.answer}} cannot stand here", part.step)
		case part.step != "":
			if _, found := earlier[part.step]; !found {
				c.add(where, "{{%s.answer}} is of no step above this one", part.step)
			}
		}
	}
	return t
}

// After are the places of the steps that must have answered before a step is asked, all before its own.
func (t *Template) After(step int) []int { return t.Steps[step].after }

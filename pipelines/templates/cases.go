package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Case is what a template should make of parameters and answers.
type Case struct {
	Name       string
	Parameters map[string]any
	// Answers are what models are taken to say, by step. Prompts and Systems are what steps should ask then.
	Answers, Prompts, Systems map[string]string
	// Error is a part of what should be said instead.
	Error string
}

// Try tells what is not as the case has it; empty: nothing.
func (t *Template) Try(c Case) string {
	last := t.Steps[len(t.Steps)-1].Name
	_, judged := c.Answers[last]
	if len(c.Prompts)+len(c.Systems) == 0 && c.Error == "" && !judged {
		return fmt.Sprintf("it expects nothing: give prompts, systems, an error, or an answer of %s", last)
	}
	for _, said := range []map[string]string{c.Answers, c.Prompts, c.Systems} {
		for _, name := range slices.Sorted(maps.Keys(said)) {
			if !slices.ContainsFunc(t.Steps, func(s Step) bool { return s.Name == name }) {
				return fmt.Sprintf("the template has no step %.80s", name)
			}
		}
	}
	why, err := t.asks(c)
	if err == nil && judged && why == "" {
		_, err = t.Judge(c.Answers[last])
	}
	switch {
	case err != nil && c.Error == "":
		return "there is an error: " + err.Error()
	case err != nil && !strings.Contains(err.Error(), c.Error):
		return fmt.Sprintf("the error is %q, and has no %q", err, c.Error)
	case err == nil && why == "" && c.Error != "":
		return fmt.Sprintf("there is no error, and should be %q", c.Error)
	}
	return why
}

// asks compares what each step asks.
func (t *Template) asks(c Case) (why string, err error) {
	values, err := t.Bind(c.Parameters)
	if err != nil {
		return "", err
	}
	for i, s := range t.Steps {
		for _, p := range slices.Concat(s.prompt, s.system) {
			if _, given := c.Answers[p.step]; p.step != "" && !given {
				return fmt.Sprintf("step %s uses the answer of %s, which the case does not give", s.Name, p.step), nil
			}
		}
		r, err := t.Request(i, values, c.Answers)
		if err != nil {
			return "", err
		}
		for _, field := range []struct {
			name, said string
			want       map[string]string
		}{{"prompt", r.Prompt, c.Prompts}, {"system", r.System, c.Systems}} {
			if want, has := field.want[s.Name]; has && want != field.said {
				return fmt.Sprintf("the %s of step %s is %q, and should be %q", field.name, s.Name, field.said, want), nil
			}
		}
	}
	return "", nil
}

package templates

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"flowgate/messages"
)

// Values are those of parameters, as they stand in texts.
type Values map[string]string

// Bind checks what is given for the parameters, and completes it. Its error names every parameter that is missing, wrong or not the
// template's.
func (t *Template) Bind(given map[string]any) (Values, error) {
	values, err := Bind(t.Parameters, given)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", t.Name, err)
	}
	return values, nil
}

// Bind checks what is given for parameters, and completes it.
func Bind(parameters []Parameter, given map[string]any) (Values, error) {
	values := make(Values, len(parameters))
	var faults []string
	for _, p := range parameters {
		raw := given[p.Name]
		if raw == nil {
			raw = p.Default
		}
		switch value, err := p.value(raw); {
		case raw == nil && p.Required:
			faults = append(faults, fmt.Sprintf("parameter %s is required", p.Name))
		case raw == nil:
			values[p.Name] = ""
		case err != nil:
			faults = append(faults, fmt.Sprintf("parameter %s %s", p.Name, err))
		default:
			values[p.Name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(parameters, func(p Parameter) bool { return p.Name == name }) {
			faults = append(faults, fmt.Sprintf("parameter %.40q is none of %s", name, namesOf(parameters)))
		}
	}
	if more := len(faults) - maxFaults; more > 0 {
		faults = append(faults[:maxFaults], fmt.Sprintf("and %d more", more))
	}
	if len(faults) > 0 {
		return nil, errors.New(strings.Join(faults, "; "))
	}
	return values, nil
}

// maxFaults is how many are told at once.
const maxFaults = 5

func namesOf(parameters []Parameter) string {
	names := make([]string, len(parameters))
	for i, p := range parameters {
		names[i] = p.Name
	}
	if len(names) == 0 {
		return "it, which has no parameters"
	}
	return strings.Join(names, ", ")
}

// value is a value of the parameter as it stands in texts. Its error says what it must be, and not what it is.
func (p *Parameter) value(raw any) (string, error) {
	said, err := p.plain(raw)
	if err != nil || len(p.Allowed) == 0 {
		return said, err
	}
	all := make([]string, len(p.Allowed))
	for i, a := range p.Allowed {
		all[i], _ = p.plain(a) // New has checked it
	}
	if !slices.Contains(all, said) {
		return "", fmt.Errorf("must be one of %s", strings.Join(all, ", "))
	}
	return said, nil
}

// plain is a value of the parameter's type. A text may be given as a number or as true and false, which are written out.
func (p *Parameter) plain(raw any) (string, error) {
	if written, is := raw.(json.Number); is && p.Type == Text {
		raw = string(written)
	}
	number, numeric := NumberOf(raw)
	truth, isTruth := raw.(bool)
	said, isText := raw.(string)
	switch {
	case p.Type == Boolean && isTruth, p.Type == Text && isTruth:
		return strconv.FormatBool(truth), nil
	case p.Type == Boolean:
		return "", errors.New("must be true or false")
	case p.Type == Integer && numeric && number == math.Trunc(number) && math.Abs(number) < 1<<53:
		return strconv.FormatFloat(number, 'f', -1, 64), nil
	case p.Type == Integer:
		return "", errors.New("must be a whole number")
	case numeric && (p.Type == Number || p.Type == Text):
		return strconv.FormatFloat(number, 'f', -1, 64), nil
	case p.Type == Number:
		return "", errors.New("must be a number")
	case !isText:
		return "", errors.New("must be a text")
	}
	most := p.MaxLength
	if most == 0 {
		most = DefaultLength
	}
	if n := utf8.RuneCountInString(said); n > most {
		return "", fmt.Errorf("must be at most %d characters, has %d", most, n)
	}
	if strings.ContainsRune(said, 0) || !utf8.ValidString(said) {
		return "", errors.New("must be text without zero bytes")
	}
	return said, nil
}

// NumberOf is what JSON and YAML make of a number; is tells that it is one, and finite.
func NumberOf(raw any) (n float64, is bool) {
	switch v := raw.(type) {
	case float64:
		n = v
	case int:
		n = float64(v)
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	case json.Number:
		read, err := v.Float64()
		if err != nil {
			return 0, false
		}
		n = read
	default:
		return 0, false
	}
	return n, !math.IsNaN(n) && !math.IsInf(n, 0)
}

// Request is what a step asks, with the answers of steps before it.
func (t *Template) Request(step int, values Values, answers map[string]string) (r messages.Request, err error) {
	s := t.Steps[step]
	room := MaxRendered
	for _, field := range []struct {
		text text
		into *string
	}{{s.prompt, &r.Prompt}, {s.system, &r.System}, {s.model, &r.Model}} {
		if *field.into, err = field.text.render(values, answers, &room); err != nil {
			return r, fmt.Errorf("template %s: the texts of step %s have more than %d bytes with what was put in", t.Name, s.Name, MaxRendered)
		}
	}
	if strings.TrimSpace(r.Prompt) == "" {
		return r, fmt.Errorf("template %s: the prompt of step %s is empty with what was put in", t.Name, s.Name)
	}
	if s.MaxTokens > 0 {
		r.MaxTokens = &s.MaxTokens
	}
	r.Temperature = s.Temperature
	if s.Fresh {
		r.Cache = &messages.CacheControl{NoCache: true, NoStore: true}
	}
	return r, nil
}

// Judge tells what is wrong with the last step's answer, and reads it where it must be JSON.
func (t *Template) Judge(answer string) (json.RawMessage, error) {
	answer = strings.TrimSpace(answer)
	if answer == "" {
		return nil, fmt.Errorf("template %s: the answer is empty", t.Name)
	}
	if !t.Result.JSON {
		return nil, nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(answer), &object) != nil || object == nil {
		return nil, fmt.Errorf("template %s: the answer is no JSON object", t.Name)
	}
	for _, key := range t.Result.Keys {
		if _, has := object[key]; !has {
			return nil, fmt.Errorf("template %s: the answer has no %s", t.Name, key)
		}
	}
	return json.RawMessage(answer), nil
}

package templates

import (
	"errors"
	"fmt"
	"strings"
)

// text is a text with gaps, as parts that follow one another.
type text []part

// part is plain, or a gap: of a parameter, or of a step's answer.
type part struct{ plain, parameter, step string }

const (
	opening = "{{"
	closing = "}}"
	// answer ends the gap of a step.
	answer = ".answer"
)

// parse reads {{parameter}} and {{step.answer}}; {{{{ stands for two braces.
func parse(source string) (text, error) {
	var t text
	var plain strings.Builder
	for {
		before, rest, found := strings.Cut(source, opening)
		plain.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(rest, opening) {
			plain.WriteString(opening)
			source = rest[len(opening):]
			continue
		}
		gap, after, closed := strings.Cut(rest, closing)
		if !closed {
			return nil, fmt.Errorf("%s is opened and not closed; write %s%s for the two braces themselves", opening, opening, opening)
		}
		named, err := gapOf(strings.TrimSpace(gap))
		if err != nil {
			return nil, err
		}
		if plain.Len() > 0 {
			t = append(t, part{plain: plain.String()})
			plain.Reset()
		}
		t = append(t, named)
		source = after
	}
	if plain.Len() > 0 {
		t = append(t, part{plain: plain.String()})
	}
	return t, nil
}

func gapOf(gap string) (part, error) {
	name, ofStep := strings.CutSuffix(gap, answer)
	if CheckName(name) != nil {
		return part{}, fmt.Errorf("{{%.80s}} is neither a {{parameter}} nor a {{step.answer}}", gap)
	}
	if ofStep {
		return part{step: name}, nil
	}
	return part{parameter: name}, nil
}

// errTooLong is of texts that are over MaxRendered with what was put in.
var errTooLong = errors.New("too long")

// render puts values and answers into the gaps, as they are.
func (t text) render(values Values, answers map[string]string, room *int) (string, error) {
	var b strings.Builder
	for _, p := range t {
		said := p.plain
		switch {
		case p.parameter != "":
			said = values[p.parameter]
		case p.step != "":
			said = answers[p.step]
		}
		if *room -= len(said); *room < 0 {
			return "", errTooLong
		}
		b.WriteString(said)
	}
	return b.String(), nil
}

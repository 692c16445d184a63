package configs

import (
	"errors"
	"fmt"
	"strings"
)

// Lookup finds an environment variable, as os.LookupEnv does.
type Lookup func(name string) (value string, ok bool)

// unsetError names a variable that a text needs and the environment lacks.
type unsetError struct{ variable string }

func (e *unsetError) Error() string {
	return fmt.Sprintf("the environment variable %s is not set; set it, or write ${%s:-default}", e.variable, e.variable)
}

// expand replaces ${NAME} and ${NAME:-default} in a text; the default also stands in for an empty variable. $${ is a
// literal ${, and a $ before anything else is itself. What is put in is not expanded again. The error is an *unsetError, or
// says what is wrong with the form.
func expand(text string, env Lookup) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), nil
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(literal + "${")
			text = after
			continue
		}
		b.WriteString(before)
		inside, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("${ without }; write $${ for a literal ${")
		}
		name, fallback, hasFallback := strings.Cut(inside, ":-")
		if !variableName(name) {
			return "", errors.New("${…} must hold a variable's name (A-Z, a-z, 0-9, _), which :-default may follow")
		}
		value, ok := env(name)
		switch {
		case hasFallback && value == "":
			value = fallback
		case !ok:
			return "", &unsetError{name}
		}
		b.WriteString(value)
		text = rest
	}
}

func variableName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// Where chooses open requests by conditions that all hold, such as
//
//	class = batch and user != "alice smith" and age > 10m
//
// A condition is a field, one of = != < > and a value. A value with a blank or a sign in it stands in quotation marks; in
// those of text a * stands for anything.
type Where struct {
	conditions []condition
}

type condition struct {
	column, operator string
	value            any
}

// whereFields are the fields and the columns that they stand for.
func whereFields() map[string]string {
	return map[string]string{
		"id": "r.id", "class": "r.class", "state": "r.state", "waits_for": "r.reason", "user": "r.user_id", "department": "r.department",
		"model": "r.model", "age": "r.admitted_at", "admitted": "r.admitted_at",
	}
}

// WhereFields lists the fields of conditions.
func WhereFields() []string {
	var names []string
	for name := range whereFields() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// maxConditions bounds a Where.
const maxConditions = 20

// ParseWhere reads conditions. now is what ages are counted from.
func ParseWhere(text string, now time.Time) (Where, error) {
	words, err := whereWords(text)
	if err != nil {
		return Where{}, err
	}
	var w Where
	for len(words) > 0 {
		if len(words) < 3 {
			return Where{}, fmt.Errorf("%q is no condition: write FIELD = VALUE", strings.Join(words, " "))
		}
		c, err := parseCondition(strings.ToLower(words[0]), words[1], strings.TrimPrefix(words[2], inQuotes), now)
		if err != nil {
			return Where{}, err
		}
		w.conditions = append(w.conditions, c)
		if words = words[3:]; len(words) == 0 {
			break
		}
		if !strings.EqualFold(words[0], "and") || len(words) == 1 {
			return Where{}, fmt.Errorf("conditions are joined by and; %.40q cannot stand there", words[0])
		}
		words = words[1:]
	}
	switch n := len(w.conditions); {
	case n == 0:
		return Where{}, errors.New("there is no condition: write FIELD = VALUE, for example class = batch")
	case n > maxConditions:
		return Where{}, fmt.Errorf("%d conditions, may be %d", n, maxConditions)
	}
	return w, nil
}

// inQuotes marks a word that stood in quotation marks: it is a value, whatever it says.
const inQuotes = "\x00"

// whereWords takes a text apart into words, signs and quoted values.
func whereWords(text string) (words []string, err error) {
	const signs = "=<>!"
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var word string
		switch c := text[0]; {
		case c == '"' || c == '\'':
			end := strings.IndexByte(text[1:], c)
			if end < 0 {
				return nil, errors.New("a quotation mark is not closed")
			}
			word, text = inQuotes+text[1:1+end], text[end+2:]
		case strings.IndexByte(signs, c) >= 0:
			n := len(text) - len(strings.TrimLeft(text, signs))
			word, text = text[:n], text[n:]
		default:
			n := strings.IndexAny(text, signs+" \t\n\"'")
			if n < 0 {
				n = len(text)
			}
			word, text = text[:n], text[n:]
		}
		words = append(words, word)
	}
	return words, nil
}

func parseCondition(field, operator, value string, now time.Time) (condition, error) {
	column, known := whereFields()[field]
	if !known {
		return condition{}, fmt.Errorf("%.40q is no field; use %s", field, strings.Join(WhereFields(), ", "))
	}
	c := condition{column: column, operator: operator, value: value}
	if field == "age" || field == "admitted" {
		return timeCondition(c, field, value, now)
	}
	if operator != "=" && operator != "!=" {
		return c, fmt.Errorf("%s is compared by = or !=, not by %.10q", field, operator)
	}
	var allowed []string
	switch field {
	case "class":
		for _, class := range messages.Classes() {
			allowed = append(allowed, string(class))
		}
	case "state":
		allowed = []string{string(worker.AdmissionWaiting), string(worker.AdmissionApproved)}
	case "waits_for":
		for _, r := range []messages.Reason{messages.ReasonWaitingMoney, messages.ReasonWaitingRate, messages.ReasonNotBefore, messages.ReasonPaused} {
			allowed = append(allowed, string(r))
		}
	}
	if allowed != nil && !slices.Contains(allowed, value) {
		return c, fmt.Errorf("%s is one of %s, not %.40q", field, strings.Join(allowed, ", "), value)
	}
	return c, nil
}

// timeCondition compares a point in time; an age is one, the other way round.
func timeCondition(c condition, field, value string, now time.Time) (condition, error) {
	if c.operator != "<" && c.operator != ">" {
		return c, fmt.Errorf("%s is compared by < or >, not by %.10q", field, c.operator)
	}
	if field == "admitted" {
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return c, fmt.Errorf("admitted is compared with a time such as 2026-01-31T12:00:00Z, not with %.40q", value)
		}
		c.value = at
		return c, nil
	}
	age, err := time.ParseDuration(value)
	if err != nil || age < 0 {
		return c, fmt.Errorf("age is compared with a duration such as 10m or 24h, not with %.40q", value)
	}
	c.value = now.Add(-age)
	c.operator = map[string]string{"<": ">", ">": "<"}[c.operator]
	return c, nil
}

// sql gives the conditions on an open request r; the first argument of theirs is the n-th.
func (w Where) sql(n int) (string, []any) {
	var b strings.Builder
	var args []any
	for _, c := range w.conditions {
		operator, value := c.operator, c.value
		if text, is := value.(string); is && strings.Contains(text, "*") {
			operator = map[string]string{"=": "LIKE", "!=": "NOT LIKE"}[operator]
			value = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(text)
		}
		fmt.Fprintf(&b, " AND %s %s $%d", c.column, operator, n+len(args))
		args = append(args, value)
	}
	return b.String(), args
}

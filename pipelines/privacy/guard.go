package privacy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"flowgate/messages"
)

// Guard applies rules to what goes to a model and to what comes back. It is safe for concurrent use; a nil one lets
// everything through unseen.
type Guard struct {
	Rules Rules

	scanner *Scanner
	version string
}

// NewGuard makes a guard.
func NewGuard(rules Rules) *Guard {
	return &Guard{Rules: rules, scanner: New(), version: rules.version()}
}

// Version names the rules by their content: 12 hexadecimal digits, the same on every machine; empty of a nil guard.
func (g *Guard) Version() string {
	if g == nil {
		return ""
	}
	return g.version
}

// Screened is what a guard made of the texts of one request.
type Screened struct {
	// Texts are the texts that were given, with placeholders where the rules say so.
	Texts []string
	// Findings count what was found, by type.
	Findings []messages.Finding
	// Denied are the types that end the request.
	Denied []Type
	// Growth is by how many bytes the texts can be longer than those that were given, at most, whatever is masked.
	Growth int

	names names
}

// Look finds what is in the texts of a request, whatever the rules say of it: its findings have no action.
func (g *Guard) Look(texts []string) Screened {
	return g.screen(texts, false, func(Type) Action { return "" })
}

// Judge says what is done with what Look found, before it is known which backend will be asked: denied is what no region allows.
func (g *Guard) Judge(found []messages.Finding, purpose string) (judged []messages.Finding, denied []Type) {
	for _, f := range found {
		t := Type(f.Type)
		action := g.Rules.forRequest(t, purpose, "", true)
		switch {
		case action == ActionDeny && !g.Rules.everywhereDenied(t, purpose):
			action = ActionFlag // layer 2 has the word
		case action == ActionDeny:
			denied = append(denied, t)
		}
		f.Action = string(action)
		judged = append(judged, f)
	}
	return judged, denied
}

// Request prepares the texts of a request for a backend of a region.
func (g *Guard) Request(texts []string, purpose, region string) Screened {
	return g.screen(texts, true, func(t Type) Action { return g.Rules.forRequest(t, purpose, region, false) })
}

func (g *Guard) screen(texts []string, mask bool, action func(Type) Action) Screened {
	s := Screened{Texts: texts}
	if g == nil {
		return s
	}
	found, some := make([][]Finding, len(texts)), false
	for i, text := range texts {
		found[i] = g.scanner.Scan(text)
		some = some || len(found[i]) > 0
	}
	if !some {
		return s
	}
	s.names = newNames(texts)
	s.Texts = slices.Clone(texts)
	counts := newTally(action)
	for i, text := range texts {
		masked := replace(text, found[i], func(t Type, datum string) string {
			if counts.count(t) != ActionMask && mask {
				return datum
			}
			name := s.names.of(t, datum, g.Rules)
			s.Growth += max(0, len(name)-len(datum))
			return name
		})
		if mask {
			s.Texts[i] = masked
		}
	}
	s.Findings, s.Denied = counts.findings()
	return s
}

// Delivered is an answer as its asker gets it.
type Delivered struct {
	Text     string
	Findings []messages.Finding
	// Denied are the types that keep the answer from its asker.
	Denied []Type
}

// Answer applies the rules to what a model answered to screened texts, and puts data back in the place of their placeholders.
func (g *Guard) Answer(s Screened, text, purpose string) Delivered {
	if g == nil {
		return Delivered{Text: text}
	}
	d := Delivered{Text: text}
	if found := g.scanner.Scan(text); len(found) > 0 {
		counts := newTally(func(t Type) Action { return g.Rules.forAnswer(t, purpose) })
		names := s.names.apart(text)
		d.Text = replace(text, found, func(t Type, datum string) string {
			if counts.count(t) == ActionMask {
				return names.of(t, datum, Rules{})
			}
			return datum
		})
		d.Findings, d.Denied = counts.findings()
	}
	d.Text = s.names.restore(d.Text)
	return d
}

// Join adds findings of several texts up, by type.
func Join(lists ...[]messages.Finding) (all []messages.Finding) {
	for _, list := range lists {
		for _, f := range list {
			at := slices.IndexFunc(all, func(other messages.Finding) bool { return other.Type == f.Type && other.Action == f.Action })
			if at < 0 {
				all = append(all, f)
				continue
			}
			all[at].Count += f.Count
		}
	}
	slices.SortFunc(all, func(a, b messages.Finding) int { return cmp.Compare(a.Type, b.Type) })
	return all
}

// Redact puts the name of its type in the place of every datum whose type goes, in a text that the record keeps.
func (g *Guard) Redact(text string, goes func(Type) bool) string {
	if g == nil || text == "" {
		return text
	}
	return replace(text, g.scanner.Scan(text), func(t Type, datum string) string {
		if goes(t) {
			return "<" + t.label() + ">"
		}
		return datum
	})
}

// Describe lists types with their counts, for people.
func Describe(findings []messages.Finding, only []Type) string {
	var parts []string
	for _, f := range findings {
		if slices.Contains(only, Type(f.Type)) {
			parts = append(parts, fmt.Sprintf("%s (%d)", f.Type, f.Count))
		}
	}
	return strings.Join(parts, ", ")
}

// replace puts something in the place of each finding of a text.
func replace(text string, found []Finding, with func(Type, string) string) string {
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	n, last, start, next := 0, 0, 0, 0 // characters, bytes copied, where the finding begins
	for i := range text {
		if next < len(found) && n == found[next].End {
			b.WriteString(with(found[next].Type, text[start:i]))
			last = i
			next++
		}
		if next < len(found) && n == found[next].Start {
			b.WriteString(text[last:i])
			start, last = i, i
		}
		n++
	}
	if next < len(found) && n >= found[next].End {
		b.WriteString(with(found[next].Type, text[start:]))
		last = len(text)
	}
	b.WriteString(text[last:])
	return b.String()
}

// tally counts findings by type.
type tally struct {
	action func(Type) Action
	of     map[Type]*messages.Finding
}

func newTally(action func(Type) Action) tally {
	return tally{action: action, of: make(map[Type]*messages.Finding)}
}

// count counts one datum and tells what is done with it.
func (c tally) count(t Type) Action {
	f := c.of[t]
	if f == nil {
		f = &messages.Finding{Type: string(t), Action: string(c.action(t))}
		c.of[t] = f
	}
	f.Count++
	return Action(f.Action)
}

func (c tally) findings() (all []messages.Finding, denied []Type) {
	for _, f := range c.of {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b messages.Finding) int { return cmp.Compare(a.Type, b.Type) })
	for _, f := range all {
		if Action(f.Action) == ActionDeny {
			denied = append(denied, Type(f.Type))
		}
	}
	return all, denied
}

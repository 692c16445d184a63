package flow

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Confidences of a match. They are this product's own scale, kept apart so that the way of a match can be read off its figure: exact is
// 1, what contains a trigger is at least ContainedConfidence, what is merely similar stays below it.
const (
	ContainedConfidence = 0.8
	// mostSimilar is the confidence of words that are the trigger's own in another order.
	mostSimilar = 0.79
	// leastShown is the least confidence that is worth showing.
	leastShown = 0.3
	// MaxMatchBytes bounds the part of a text that is looked at.
	MaxMatchBytes = 4 << 10
	// longestSimilar bounds the words of a text that can be similar to a trigger: more say something else.
	longestSimilar = 24
	// mostCandidates bounds those that are shown.
	mostCandidates = 5
)

// How says how a text matches a trigger.
type How string

// The ways.
const (
	HowExact     How = "exact"
	HowContained How = "contained"
	HowSimilar   How = "similar"
)

// Candidate is an agreement that a text may mean.
type Candidate struct {
	Trigger string `json:"trigger"`
	// Confidence is from 0 to 1, Threshold what the agreement demands.
	Confidence float64 `json:"confidence"`
	Threshold  float64 `json:"threshold"`
	How        How     `json:"how"`

	// first and last are the words of the text that are the trigger's, where it is contained.
	first, last int
}

// Reaches tells whether the confidence reaches the agreement's threshold.
func (c Candidate) Reaches() bool { return c.Confidence >= c.Threshold }

// Match is what a text means.
type Match struct {
	// Trigger is that of the agreement that is meant; empty where none is, or more than one may be.
	Trigger    string  `json:"trigger,omitempty"`
	Confidence float64 `json:"confidence,omitempty"`
	How        How     `json:"how,omitempty"`
	// Ambiguous tells that several reach their thresholds.
	Ambiguous bool `json:"ambiguous"`
	// Candidates are the likeliest ones, the likeliest first.
	Candidates []Candidate `json:"candidates"`
}

// Match finds the agreement that a text means: exactly its trigger; a text that has the trigger's words, whole and one after the other;
// or one with similar words. Of two that reach their thresholds an exact one wins, and one whose words hold the other's; else nothing is
// meant. Letters' case, brackets and punctuation do not count.
func (b *Book) Match(text string) Match { return b.match(text, func(Entry) bool { return true }) }

// MatchFor is Match among the agreements that are in force and for a tenant's requests: what nobody approved, and what is another's, means
// nothing in its texts.
func (b *Book) MatchFor(tenant, text string) Match {
	return b.match(text, func(e Entry) bool { return e.InForce() && e.isFor(tenant) })
}

func (b *Book) match(text string, fits func(Entry) bool) Match {
	if b == nil {
		return Match{Candidates: []Candidate{}}
	}
	text = strings.TrimSpace(cut(text, MaxMatchBytes))
	said := words(text)
	var all []Candidate
	for _, trigger := range b.order {
		if !fits(b.byTrigger[trigger]) {
			continue
		}
		c := candidate(text, said, trigger)
		c.Threshold = b.byTrigger[trigger].confidence()
		if c.Confidence >= leastShown {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(x, y Candidate) int { return cmp.Compare(y.Confidence, x.Confidence) })
	m := Match{Candidates: append([]Candidate{}, all[:min(len(all), mostCandidates)]...)}
	meant := slices.DeleteFunc(all, func(c Candidate) bool { return !c.Reaches() })
	meant = slices.DeleteFunc(slices.Clone(meant), func(c Candidate) bool {
		return slices.ContainsFunc(meant, func(o Candidate) bool { return o.beats(c) })
	})
	switch {
	case len(meant) == 1:
		m.Trigger, m.Confidence, m.How = meant[0].Trigger, meant[0].Confidence, meant[0].How
	case len(meant) > 1:
		m.Ambiguous = true
	}
	return m
}

// beats tells whether another candidate is out of the question beside this one.
func (c Candidate) beats(o Candidate) bool {
	switch {
	case c.Trigger == o.Trigger:
		return false
	case c.How == HowExact:
		return o.How != HowExact
	case c.How == HowContained && o.How == HowContained:
		return c.first <= o.first && o.last <= c.last && c.last-c.first > o.last-o.first
	case c.How == HowContained:
		return o.How == HowSimilar
	}
	return o.How == HowSimilar && c.Confidence > o.Confidence
}

func candidate(text string, said []string, trigger string) Candidate {
	c := Candidate{Trigger: trigger}
	if text == trigger {
		c.Confidence, c.How = 1, HowExact
		return c
	}
	asked := words(trigger)
	if len(asked) == 0 || len(said) == 0 {
		return c
	}
	if at := within(said, asked); at >= 0 {
		covered := float64(len(asked)) / float64(len(said))
		c.How, c.first, c.last = HowContained, at, at+len(asked)
		c.Confidence = ContainedConfidence + 0.1*covered
		if strings.Contains(text, trigger) { // as it is written, with its brackets
			c.Confidence += 0.09
		}
		return c
	}
	if len(said) <= longestSimilar {
		c.Confidence, c.How = mostSimilar*likeness(said, asked), HowSimilar
	}
	return c
}

// words are the runs of letters and digits, in lower case.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
}

// within finds where the words of one list stand in another one after the other; -1: they do not.
func within(all, some []string) int {
	for at := 0; at+len(some) <= len(all); at++ {
		if slices.Equal(all[at:at+len(some)], some) {
			return at
		}
	}
	return -1
}

// likeness is Dice's coefficient of two lists of words (L. R. Dice, "Measures of the Amount of Ecologic Association Between Species",
// 1945), where words that differ in few letters are the same in part.
func likeness(said, asked []string) float64 {
	left := slices.Clone(said)
	shared := 0.0
	for _, a := range asked {
		best, at := 0.0, -1
		for i, s := range left {
			if l := alike(a, s); l > best {
				best, at = l, i
			}
		}
		if at >= 0 {
			shared += best
			left = slices.Delete(left, at, at+1)
		}
	}
	return 2 * shared / float64(len(said)+len(asked))
}

// leastAlike is how alike words must be to be taken for one another: one wrong letter of four.
const leastAlike = 0.75

// alike is 1 less the part of the letters that have to be changed (V. I. Levenshtein, 1965), and 0 where that is too many. Words are cut
// to 64 letters.
func alike(a, b string) float64 {
	x, y := letters(a), letters(b)
	longest := max(len(x), len(y))
	if longest == 0 || min(len(x), len(y)) < 3 && a != b {
		return 0
	}
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range x {
		before := row[0]
		row[0] = i + 1
		for j, s := range y {
			changed := before
			if r != s {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	if l := 1 - float64(row[len(y)])/float64(longest); l >= leastAlike {
		return l
	}
	return 0
}

func letters(word string) []rune {
	r := []rune(word)
	return r[:min(len(r), 64)]
}

// cut takes whole characters off a text's end until it has at most n bytes.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

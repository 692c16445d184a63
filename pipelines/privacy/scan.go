// Package privacy finds personal data and secrets in text: by their form, by what their check digits say, and by the words
// around them. It knows nothing of languages: names and postal addresses are not covered.
//
// Read scan.go, then number.go.
package privacy

import (
	"cmp"
	"slices"
	"sync"
)

// Type names a kind of personal data or secret, in the words of the field where it has some.
type Type string

// The types; those of national numbers stand in national.go, those of secrets in secret.go.
const (
	TypeCard           Type = "CREDIT_CARD"
	TypeIBAN           Type = "IBAN_CODE"
	TypeSSN            Type = "US_SSN"
	TypeEmail          Type = "EMAIL_ADDRESS"
	TypePhone          Type = "PHONE_NUMBER"
	TypeIP             Type = "IP_ADDRESS"
	TypeMAC            Type = "MAC_ADDRESS"
	TypeURLCredentials Type = "URL_CREDENTIALS"
	TypeCrypto         Type = "CRYPTO"
	TypeRouting        Type = "US_BANK_ROUTING"
)

// Finding is one datum that was found. It never has the datum itself.
type Finding struct {
	Type Type `json:"type"`
	// Start and End are offsets in characters (Unicode code points), End exclusive.
	Start int `json:"start"`
	End   int `json:"end"`
	// Score is the confidence, from 0 to 1.
	Score float64 `json:"score"`
}

// Threshold is the least score that is reported.
const Threshold = 0.5

// Scanner finds personal data and secrets. It is safe for concurrent use.
type Scanner struct {
	classes   [256]class
	alike     map[rune]byte
	countries map[string]int
	ids       map[int][]format
	lettered  []lettered
	prefixes  prefixes
	base64    [256]letters
	phones    words
	routing   words
	card      words
	passes    sync.Pool // of *pass, whose room is used again
}

// New makes a scanner.
func New() *Scanner {
	return &Scanner{
		classes: classes(), alike: lookAlikes(), countries: ibanLengths(), ids: numberFormats(), lettered: letteredFormats(), prefixes: secretPrefixes(),
		base64:  base64Letters(),
		phones:  words{"phone", "call", "tel", "mobile", "cell", "fax", "office", "desk", "dial", "ring ", "sms", "text me", "whatsapp", "reach me", "contact"},
		routing: words{"routing", "aba", "rtn", "transit"},
		card:    words{"card", "visa", "mastercard", "amex", "credit", "debit", "maestro", "pan "},
	}
}

// Scan finds what is in a text, in order of place; findings do not overlap. Its time is linear in the text's length.
func (s *Scanner) Scan(text string) []Finding { return s.scan(text, deepest) }

// deepest is how often what is encoded in the text is decoded again.
const deepest = 2

func (s *Scanner) scan(text string, depth int) []Finding {
	p, again := s.passes.Get().(*pass)
	if !again {
		p = &pass{Scanner: s}
	}
	p.begin(text, depth)
	p.run()
	found := p.resolve()
	if cap(p.b) <= mostKept && cap(p.found) <= mostKept/64 {
		s.passes.Put(p)
	}
	return found
}

// Count sums findings up by type.
func Count(found []Finding) map[Type]int {
	counts := make(map[Type]int)
	for _, f := range found {
		counts[f.Type]++
	}
	return counts
}

// pass is one scan of one text. Nothing of it is held by anybody when the scan is over.
type pass struct {
	*Scanner
	folded

	depth int
	// budget bounds how many characters are read as something encoded: those of a text may be read a few times.
	budget int
	found  []hit
	// digits and groups are the room of one number.
	digits [mostDigits + longGroup]byte
	groups [mostGroups]group
}

// mostKept bounds the room that a pass keeps for the next one, in characters.
const mostKept = 64 << 10

// begin makes a pass ready for a text.
func (p *pass) begin(text string, depth int) {
	p.depth, p.found = depth, p.found[:0]
	p.folded = p.fold(p.folded, text)
	p.budget = 4*len(p.b) + 4096
}

// hit is a finding by places in the folded text.
type hit struct {
	kind       Type
	start, end int
	score      float64
}

func (p *pass) hit(kind Type, start, end int, score float64) {
	if score >= Threshold {
		p.found = append(p.found, hit{kind, start, end, min(score, 1)})
	}
}

// run walks over the text once: numbers, tokens, and the signs in the middle of addresses.
func (p *pass) run() {
	numbers := 0 // numbers before it are done
	classes, b := &p.classes, p.b
	for i := 0; i < len(b); i++ {
		switch classes[b[i]] {
		case classDigit, classLetter:
			end, digits := i, false
			for ; end < len(b) && classes[b[end]].word(); end++ {
				digits = digits || classes[b[end]] == classDigit
			}
			switch {
			case i < numbers:
			case digits:
				numbers = p.number(i, end)
			default:
				numbers = end
			}
			if digits || end-i >= shortestEncoded {
				p.token(i, end)
			} else {
				p.word(i, end)
			}
			i = end - 1
		case classAt:
			p.email(i)
		case classColon:
			p.afterColon(i)
		case classDash:
			p.privateKey(i)
		case classOther, classSpace, classForeign:
		}
	}
}

// resolve keeps the best of what overlaps and tells places in the text as it came.
func (p *pass) resolve() []Finding {
	if len(p.found) == 0 {
		return []Finding{}
	}
	slices.SortFunc(p.found, func(a, b hit) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.end-b.start, a.end-a.start), cmp.Compare(a.start, b.start), cmp.Compare(a.kind, b.kind))
	})
	taken := make(map[int]bool) // by blocks of the text, so that many findings stay cheap
	const block = 64
	var kept []hit
	byBlock := make(map[int][]int)
next:
	for _, h := range p.found {
		for b := h.start / block; b <= (h.end-1)/block; b++ {
			if !taken[b] {
				continue
			}
			for _, k := range byBlock[b] {
				if h.start < kept[k].end && kept[k].start < h.end {
					continue next
				}
			}
		}
		for b := h.start / block; b <= (h.end-1)/block; b++ {
			taken[b], byBlock[b] = true, append(byBlock[b], len(kept))
		}
		kept = append(kept, h)
	}
	slices.SortFunc(kept, func(a, b hit) int { return cmp.Compare(a.start, b.start) })
	findings := make([]Finding, len(kept))
	for i, h := range kept {
		findings[i] = Finding{Type: h.kind, Start: p.from(h.start), End: p.to(h.end - 1), Score: h.score}
	}
	return findings
}

package privacy

import "bytes"

// words stand around a datum and say what it is, in small letters.
type words []string

// How far words are looked for, in characters.
const (
	wordsBefore = 48
	wordsBehind = 16
)

// near tells whether one of the words stands before or behind a place, on the same lines or the one before; at a place of no
// length only before it.
func (p *pass) near(start, end int, of words) bool {
	var around [wordsBefore + wordsBehind]byte
	low := around[:0]
	for _, c := range p.b[max(start-wordsBefore, 0):start] {
		low = append(low, lower(c))
	}
	if of.in(low) {
		return true
	}
	if start == end {
		return false
	}
	low = low[:0]
	for _, c := range p.b[end:min(end+wordsBehind, len(p.b))] {
		if c == '\n' {
			break
		}
		low = append(low, lower(c))
	}
	return of.in(low)
}

// in tells whether one of the words begins a word of the text.
func (w words) in(text []byte) bool {
	for _, word := range w {
		for from := 0; ; {
			i := bytes.Index(text[from:], []byte(word))
			if i < 0 {
				break
			}
			i += from
			if i == 0 || text[i-1] < 'a' || text[i-1] > 'z' {
				return true
			}
			from = i + 1
		}
	}
	return false
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

package privacy

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode"
	"unicode/utf8"
)

// folded is a text as the detectors read it: one byte a character. What looks like an ASCII character is that character, what
// is invisible is gone, and what else is no ASCII is foreignLetter or foreignSign.
type folded struct {
	b []byte
	// at and till are where each byte's character begins and ends in the text, in characters; empty: at itself.
	at, till []int32
}

const (
	foreignLetter = 0x80
	foreignSign   = 0x81
)

func (f folded) from(i int) int {
	if len(f.at) == 0 {
		return i
	}
	return int(f.at[i])
}

func (f folded) to(i int) int {
	if len(f.till) == 0 {
		return i + 1
	}
	return int(f.till[i])
}

// fold reads a text, into the room of one that was read before.
func (s *Scanner) fold(f folded, text string) folded {
	f = folded{b: append(f.b[:0], text...), at: f.at[:0], till: f.till[:0]}
	if plain(f.b) {
		return f
	}
	f.b, f.at, f.till = f.b[:0], slices.Grow(f.at, len(text)), slices.Grow(f.till, len(text))
	n := int32(0)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		took := int32(1)
		b, visible := s.foldRune(r)
		if r == '%' && i+2 < len(text) {
			if escaped, ok := percent(text[i+1], text[i+2]); ok {
				b, size, took = escaped, 3, 3
			}
		}
		if visible {
			f.b, f.at, f.till = append(f.b, b), append(f.at, n), append(f.till, n+took)
		}
		i, n = i+size, n+took
	}
	return f
}

// plain tells whether a text reads as it stands.
func plain(text []byte) bool {
	if bytes.IndexByte(text, '%') >= 0 {
		return false
	}
	const high = 0x8080808080808080 // of eight bytes: those of utf8.RuneSelf and above
	for ; len(text) >= 8; text = text[8:] {
		if binary.LittleEndian.Uint64(text)&high != 0 {
			return false
		}
	}
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// percent decodes what URLs escape: only what personal data is made of.
func percent(high, low byte) (byte, bool) {
	h, l := unhex(high), unhex(low)
	if h < 0 || l < 0 {
		return 0, false
	}
	b := byte(h<<4 | l)
	return b, b == '@' || b == '+' || b == ' ' || b == ':' || b == '/'
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// foldRune is the byte that a character reads as, and whether it is seen at all.
func (s *Scanner) foldRune(r rune) (b byte, visible bool) {
	if r < utf8.RuneSelf {
		return byte(r), true
	}
	if like, ok := s.alike[r]; ok {
		return like, true
	}
	switch {
	case r >= 0xff01 && r <= 0xff5e: // full width
		return byte(r - 0xfee0), true
	case unicode.IsLetter(r) && (r < 0x1d400 || r > 0x1d6a3) && r != 0x115f && r != 0x1160 && r != 0x3164 && r != 0xffa0:
		return foreignLetter, true
	case unicode.In(r, unicode.Cf, unicode.Mn, unicode.Me, unicode.Variation_Selector), r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0:
		return 0, false
	case unicode.Is(unicode.Nd, r):
		return '0' + byte(digit(r)), true
	case unicode.Is(unicode.Zs, r):
		return ' ', true
	case unicode.Is(unicode.Pd, r), r == 0x2212, r == 0x2043:
		return '-', true
	case r >= 0x1d400 && r <= 0x1d6a3: // mathematical letters: alphabets of 52
		return latin(int(r-0x1d400) % 52), true
	case r >= 0x24b6 && r <= 0x24e9: // circled letters
		return latin(int(r - 0x24b6)), true
	case r >= 0x2460 && r <= 0x2468: // circled digits
		return '1' + byte(r-0x2460), true
	case r >= 0x2080 && r <= 0x2089, r >= 0x2074 && r <= 0x2079: // below and above the line
		return '0' + byte(r&0xf), true
	}
	if unicode.IsNumber(r) {
		return foreignLetter, true
	}
	return foreignSign, true
}

func latin(n int) byte {
	if n < 26 {
		return 'A' + byte(n)
	}
	return 'a' + byte(n-26)
}

// digit is the value of a decimal digit of any script: their ranges begin with a zero and have ten each.
func digit(r rune) int {
	for _, of := range unicode.Nd.R16 {
		if r >= rune(of.Lo) && r <= rune(of.Hi) {
			return int(r-rune(of.Lo)) % 10
		}
	}
	for _, of := range unicode.Nd.R32 {
		if r >= rune(of.Lo) && r <= rune(of.Hi) {
			return int(r-rune(of.Lo)) % 10
		}
	}
	return 0
}

// Letters and signs that read as ASCII, from Unicode's confusables: each stands in like where it stands in foreign.
const (
	foreign = "аеорсухіјѕԁһӏԛԝАВЕКМНОРСТХІЈЅԌΑΒΕΖΗΙΚΜΝΟΡΤΥΧονıɡ·․。｡﹫⁄∕⓪⁰¹²³։׃∶"
	like    = "aeopcyxijsdhlqwABEKMHOPCTXIJSGABEZHIKMNOPTYXovig....@//00123:::"
)

func lookAlikes() map[rune]byte {
	of := make(map[rune]byte, len(like))
	n := 0
	for _, r := range foreign {
		of[r] = like[n]
		n++
	}
	return of
}

// class sorts the bytes of a folded text.
type class uint8

const (
	classOther class = iota
	classDigit
	classLetter
	classForeign // a letter that is no ASCII
	classSpace
	classAt
	classColon
	classDash
)

// word tells whether a byte belongs to a token.
func (c class) word() bool { return c == classDigit || c == classLetter }

func classes() (of [256]class) {
	for c := '0'; c <= '9'; c++ {
		of[c] = classDigit
	}
	for c := 'a'; c <= 'z'; c++ {
		of[c], of[c-'a'+'A'] = classLetter, classLetter
	}
	of[' '], of['\t'], of['\n'], of['\r'] = classSpace, classSpace, classSpace, classSpace
	of['@'], of[':'], of['-'], of[foreignLetter] = classAt, classColon, classDash, classForeign
	return of
}

// part tells whether the byte at i is a letter or digit of any script.
func (p *pass) part(i int) bool {
	return i >= 0 && i < len(p.b) && (p.classes[p.b[i]].word() || p.b[i] == foreignLetter)
}

func (p *pass) digitAt(i int) bool { return i >= 0 && i < len(p.b) && p.classes[p.b[i]] == classDigit }

func (p *pass) is(i int, c byte) bool { return i >= 0 && i < len(p.b) && p.b[i] == c }

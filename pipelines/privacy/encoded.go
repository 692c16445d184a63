package privacy

import (
	"bytes"
	"encoding/base64"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is decoded.
const (
	shortestEncoded = 16
	longestEncoded  = 64 << 10
)

// letters tells what a row of base64 has; 0 is of what is none.
type letters uint8

const (
	capitals letters = 1 << iota
	smalls
	digitsAndSigns
)

func base64Letters() (of [256]letters) {
	for c := 'a'; c <= 'z'; c++ {
		of[c], of[c-'a'+'A'] = smalls, capitals
	}
	for _, c := range "0123456789+/_-" {
		of[c] = digitsAndSigns
	}
	return of
}

// row finds the end of a row of base64 that begins with a token, and what it has; of what is shorter than shortestEncoded it says nothing.
func (p *pass) row(start, end int) (to int, has letters) {
	if end-start < shortestEncoded && (end == len(p.b) || p.base64[p.b[end]] == 0) {
		return end, 0
	}
	for to = start; to < len(p.b) && to-start < longestEncoded; to++ {
		sort := p.base64[p.b[to]]
		if sort == 0 {
			break
		}
		has |= sort
	}
	return to, has
}

// encoded decodes base64 that begins with a token and whose content is text, and scans that: what is found in it is found here.
func (p *pass) encoded(start, end int) {
	if p.depth == 0 || p.budget <= 0 {
		return
	}
	to, has := p.row(start, end)
	p.budget -= to - start
	if to-start < shortestEncoded || has&(capitals|smalls) != capitals|smalls {
		return
	}
	raw := bytes.Map(func(r rune) rune {
		switch r {
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return r
	}, p.b[start:to])
	content := make([]byte, base64.RawStdEncoding.DecodedLen(len(raw)))
	n, err := base64.RawStdEncoding.Decode(content, raw[:len(raw)&^3|[]int{0, 0, 2, 3}[len(raw)&3]])
	if err != nil || !textual(content[:n]) {
		return
	}
	for to < len(p.b) && p.b[to] == '=' {
		to++
	}
	for _, f := range p.scan(string(content[:n]), p.depth-1) {
		p.hit(f.Type, start, to, f.Score*0.95)
	}
}

// textual tells whether bytes are text.
func textual(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
	}
	return len(b) > 0
}

package privacy

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"
)

// unhurried is run without shortcuts: every token is looked at as everything that a token can be.
func (p *pass) unhurried() {
	numbers := 0
	for i := 0; i < len(p.b); i++ {
		switch c := p.classes[p.b[i]]; c {
		case classDigit, classLetter:
			end := i + 1
			for end < len(p.b) && p.classes[p.b[end]].word() {
				end++
			}
			if i >= numbers {
				numbers = p.number(i, end)
			}
			p.token(i, end)
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

// spelledOut is secretName over a name in small letters.
func spelledOut(name []byte) (Type, int) {
	low := bytes.ToLower(name)
	has := func(word string) bool { return bytes.HasSuffix(low, []byte(word)) }
	switch {
	case has("password"), has("passwd"), has("passphrase"), string(low) == "pwd":
		return TypePassword, 6
	case has("secretaccesskey"):
		return TypeAWSSecret, 40
	case has("key"), has("secret"), has("token"), string(low) == "bearer":
		return TypeSecret, 16
	}
	return "", 0
}

// wholeRow is row, character by character.
func (p *pass) wholeRow(start int) (to int, has letters) {
	for to = start; to < len(p.b) && to-start < longestEncoded; to++ {
		switch c := p.b[to]; {
		case c >= 'A' && c <= 'Z':
			has |= capitals
		case c >= 'a' && c <= 'z':
			has |= smalls
		case c >= '0' && c <= '9', c == '+', c == '/', c == '_', c == '-':
			has |= digitsAndSigns
		default:
			return to, has
		}
	}
	return to, has
}

// shortcutsFindTheSame fails where a shortcut changes what is found in a text.
func shortcutsFindTheSame(t *testing.T, s *Scanner, text string) {
	t.Helper()
	fast, slow := &pass{Scanner: s}, &pass{Scanner: s}
	fast.begin("another text, Ünd % signs 12", deepest) // its room is used again
	fast.run()
	fast.begin(text, deepest)
	fast.run()
	slow.begin(text, deepest)
	slow.unhurried()
	if !slices.Equal(fast.found, slow.found) || fast.budget != slow.budget {
		t.Fatalf("%q: %+v with %d left, without shortcuts %+v with %d", text, fast.found, fast.budget, slow.found, slow.budget)
	}
	simple := !slices.ContainsFunc([]byte(text), func(c byte) bool { return c >= utf8.RuneSelf || c == '%' })
	if plain([]byte(text)) != simple {
		t.Fatalf("%q: plain is %v", text, !simple)
	}
	for start := range fast.b {
		end := start
		for end < len(fast.b) && fast.classes[fast.b[end]].word() {
			end++
		}
		if end == start {
			continue
		}
		name := fast.b[start:end]
		if kind, least := secretName(name); !same(kind, least, name) {
			t.Fatalf("%q is the name of a %s of %d", name, kind, least)
		}
		to, has := fast.row(start, end)
		if want, all := fast.wholeRow(start); to != want || to-start >= shortestEncoded && has != all {
			t.Fatalf("%q from %d: base64 up to %d with %d, must be %d with %d", fast.b, start, to, has, want, all)
		}
	}
}

func same(kind Type, least int, name []byte) bool {
	wantKind, wantLeast := spelledOut(name)
	return kind == wantKind && least == wantLeast
}

// piecesOfText are what shortcuts could trip over.
func piecesOfText() []string {
	return []string{
		" ", " ", " ", " ", "", "-", ".", ":", "=", "\"", "'", "@", "/", "+", "_", "\n", "(", "ё", "é", "%40", "%", "\u200b", "ſ", "４", "a", "Zz", "O", "l", "o1", "I", "1", "12", "0x", "x12",
		"password", "Secret", "apiKey", "KEY", "TOKEN: ", "pwd", "xpwd", "Bearer", "eyJ", "sk-", "sk_live_", "hvs.", "AKIA", "ABCDEFGH1234567890", "hunter2!", "abcdefghijklmnopqrst0123456789",
		"QUJDREVGR0gxMjM0NTY3ODkw", "YW5uYS5iQGV4YW1wbGUuY29t", "ordinary", "incomprehensibilities", "4111 1111 1111 1111", "+1 415-555-2671", "GB82 WEST 1234 5698 7654 32", "00-11-22-aa-bb-cc", "ab-cd-ef-00-11-22", "\xff",
		"12345678Z", "2001:db8::1", "fe80::", "be::ef1", "RSSMRA85T10A562S", "http://a:b@c/", "anna.b@example.com", "219-09-9998", "call ",
	}
}

func TestShortcutsFindTheSame(t *testing.T) {
	s, pieces, dice := New(), piecesOfText(), rand.New(rand.NewPCG(6, 6))
	for range 10_000 {
		text := ""
		for range dice.IntN(12) {
			text += pieces[dice.IntN(len(pieces))]
		}
		shortcutsFindTheSame(t, s, text)
	}
}

func FuzzShortcuts(f *testing.F) {
	for _, piece := range piecesOfText() {
		f.Add(piece)
	}
	s := New()
	f.Fuzz(func(t *testing.T, text string) { shortcutsFindTheSame(t, s, text) })
}

func TestEveryPrefixOfASecretIsLookedFor(t *testing.T) {
	known := secretPrefixes()
	n := 0
	for _, all := range known.first {
		for _, f := range all {
			n++
			if got := known.of([]byte(f.text)); !slices.Contains(got, f) {
				t.Errorf("%q is not among %v", f.text, got)
			}
		}
	}
	if n < 40 || len(known.of([]byte("so"))) > 0 || len(known.of([]byte("s"))) > 0 {
		t.Errorf("%d prefixes", n)
	}
}

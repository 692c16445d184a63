package privacy_test

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"flowgate/pipelines/privacy"
)

// dice makes data that have the form of a type and its check digits, computed another way than the scanner does.
type dice struct{ *rand.Rand }

func (d dice) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(d.IntN(10))
	}
	return string(b)
}

func (d dice) from(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[d.IntN(len(alphabet))]
	}
	return string(b)
}

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

// search tries ends until one is right: a check digit without its formula.
func search(head string, alphabet string, n int, right func(s string) bool) string {
	tails := []string{""}
	for range n {
		var longer []string
		for _, t := range tails {
			for _, c := range alphabet {
				longer = append(longer, t+string(c))
			}
		}
		tails = longer
	}
	for _, t := range tails {
		if right(head + t) {
			return head + t
		}
	}
	return ""
}

const numerals = "0123456789"

func big10(s string) *big.Int { n, _ := new(big.Int).SetString(s, 10); return n }

func mod(s string, m int64) int64 { return new(big.Int).Mod(big10(s), big.NewInt(m)).Int64() }

// luhn by the table of what doubling a digit adds.
func luhn(s string) bool {
	sum := 0
	for i, c := range s {
		if (len(s)-i)%2 == 0 {
			sum += []int{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}[c-'0']
		} else {
			sum += int(c - '0')
		}
	}
	return sum%10 == 0
}

func sum(s string, weights ...int) int {
	n := 0
	for i, w := range weights {
		n += int(s[i]-'0') * w
	}
	return n
}

// verhoeff by the symmetries of a pentagon: r below 5 turns, above it turns and mirrors.
func verhoeff(s string) bool {
	multiply := func(a, b int) int {
		switch {
		case a < 5 && b < 5:
			return (a + b) % 5
		case a < 5:
			return (a+b-5)%5 + 5
		case b < 5:
			return (a-5-b+5)%5 + 5
		}
		return (a - b + 5) % 5
	}
	permute := []int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	c := 0
	for i := range len(s) {
		v := int(s[len(s)-1-i] - '0')
		for range i % 8 {
			v = permute[v]
		}
		c = multiply(c, v)
	}
	return c == 0
}

// iban computes the check digits of ISO 13616.
func iban(country, account string) string {
	var b strings.Builder
	for _, c := range account + country + "00" {
		if c >= 'A' {
			fmt.Fprint(&b, int(c-'A')+10)
		} else {
			b.WriteRune(c)
		}
	}
	return fmt.Sprintf("%s%02d%s", country, 98-mod(b.String(), 97), account)
}

func (d dice) day() string { return fmt.Sprintf("%02d", 1+d.IntN(28)) }

func (d dice) month() string { return fmt.Sprintf("%02d", 1+d.IntN(12)) }

func (d dice) year() string { return fmt.Sprintf("%02d", d.IntN(100)) }

// spaced writes in groups.
func spaced(s, sep string, sizes ...int) string {
	var groups []string
	for _, n := range sizes {
		groups, s = append(groups, s[:n]), s[n:]
	}
	return strings.Join(groups, sep)
}

// sized is how a number begins, and how long it is or goes on.
type sized struct {
	head string
	size int
}

func (d dice) card() string {
	networks := []sized{{"4", 16}, {"4", 13}, {"4", 19}, {"51", 16}, {"2221", 16}, {"34", 15}, {"37", 15}, {"36", 14}, {"6011", 16}, {"65", 16}, {"3528", 16}, {"62", 16}, {"6759", 12}, {"2200", 16}}
	network := networks[d.IntN(len(networks))]
	head, size := network.head, network.size
	n := search(head+d.digits(size-len(head)-1), numerals, 1, luhn)
	switch {
	case size == 16 && d.IntN(2) == 0:
		return spaced(n, d.one(" ", "-", " - "), 4, 4, 4, 4)
	case size == 15 && d.IntN(2) == 0:
		return spaced(n, d.one(" ", "-"), 4, 6, 5)
	}
	return n
}

func (d dice) bitcoin() string {
	raw := append([]byte{byte(5 * d.IntN(2))}, []byte(d.from("abcdefghijklmnop0123456789ABCDEF", 20))...)
	once := sha256.Sum256(raw)
	twice := sha256.Sum256(once[:])
	n := new(big.Int).SetBytes(append(raw, twice[:4]...))
	text := ""
	for zero, rest := new(big.Int), new(big.Int); n.Cmp(zero) > 0; {
		n.DivMod(n, big.NewInt(58), rest)
		text = string("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest.Int64()]) + text
	}
	if raw[0] == 0 {
		text = "1" + text
	}
	return text
}

// made is one type of data: how to make it, and what to write before it.
type made struct {
	kind   privacy.Type
	before string
	make   func(d dice) string
}

func makers() []made {
	weights := func(m int, w ...int) func(string) bool { return func(s string) bool { return sum(s, w...)%m == 0 } }
	return []made{
		{privacy.TypeCard, "paid with", dice.card},
		{privacy.TypeIBAN, "account", func(d dice) string {
			c := []sized{{"DE", 18}, {"GB", 18}, {"FR", 23}, {"NO", 11}, {"MT", 27}, {"CH", 17}, {"PL", 24}, {"BR", 25}}[d.IntN(8)]
			n := iban(c.head, d.digits(c.size))
			if c.head == "GB" {
				n = iban("GB", d.from("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 4)+d.digits(14))
			}
			if d.IntN(2) == 0 {
				return n
			}
			var groups []string
			for i := 0; i < len(n); i += 4 {
				groups = append(groups, n[i:min(i+4, len(n))])
			}
			return strings.Join(groups, " ")
		}},
		{privacy.TypeSSN, "his number is", func(d dice) string {
			area := 1 + d.IntN(899)
			if area == 666 {
				area++
			}
			return fmt.Sprintf("%03d-%02d-%04d", area, 1+d.IntN(99), 1+d.IntN(9999))
		}},
		{privacy.TypeEmail, "write to", func(d dice) string {
			const letters = "abcdefghijklmnopqrstuvwxyz"
			return d.from(letters, 1+d.IntN(8)) + d.one("", ".x", "_y", "+tag", "-z", "'s") + d.one("", "7") + "@" + d.from(letters, 1+d.IntN(9)) + d.one("", "-a", ".b", "9") + "." + d.one("com", "io", "co.uk", "example", "museum", "xn--p1ai")
		}},
		{privacy.TypeIP, "blocked", func(d dice) string {
			if d.IntN(2) == 0 {
				return fmt.Sprintf("%d.%d.%d.%d", d.IntN(256), d.IntN(256), d.IntN(256), d.IntN(256))
			}
			var raw [16]byte
			raw[0], raw[1] = 0x20, byte(d.IntN(256))
			for i := 2; i < 16; i++ {
				raw[i] = byte(d.IntN(256) * d.IntN(2))
			}
			return netip.AddrFrom16(raw).String()
		}},
		{privacy.TypeMAC, "station", func(d dice) string {
			return spaced(d.from("0123456789abcdef", 11)+"f", d.one(":", "-"), 2, 2, 2, 2, 2, 2)
		}},
		{privacy.TypePhone, "call me at", func(d dice) string {
			n := d.one("415", "212", "650") + d.one("555", "867", "234") + d.digits(4)
			return d.one("("+n[:3]+") "+n[3:6]+"-"+n[6:], "+1 "+n, spaced(n, "-", 3, 3, 4), spaced(n, ".", 3, 3, 4), "+49 30 9"+d.digits(5), "020 7"+d.digits(3)+" "+d.digits(4), "06 12 34 56 "+d.digits(2))
		}},
		{privacy.TypeRouting, "routing number", func(d dice) string {
			return search(d.one("02", "11", "26", "31", "61")+d.digits(6), numerals, 1, weights(10, 3, 7, 1, 3, 7, 1, 3, 7, 1))
		}},
		{privacy.TypeUK, "NHS", func(d dice) string {
			for {
				if n := search(d.digits(9), numerals, 1, weights(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)); n != "" {
					return d.one(n, spaced(n, " ", 3, 3, 4))
				}
			}
		}},
		{privacy.TypeCA, "SIN", func(d dice) string {
			return spaced(search(d.one("1", "5", "7")+d.digits(7), numerals, 1, luhn), " ", 3, 3, 3)
		}},
		{privacy.TypeAa, "Aadhaar", func(d dice) string {
			return spaced(search(d.one("2", "5", "9")+d.digits(10), numerals, 1, verhoeff), " ", 4, 4, 4)
		}},
		{privacy.TypeBR, "o", func(d dice) string {
			n := search(d.digits(9), numerals, 1, func(s string) bool { return sum(s, 10, 9, 8, 7, 6, 5, 4, 3, 2)*10%11%10 == int(s[9]-'0') })
			n = search(n, numerals, 1, func(s string) bool { return sum(s, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)*10%11%10 == int(s[10]-'0') })
			return n[:3] + "." + n[3:6] + "." + n[6:9] + "-" + n[9:]
		}},
		{privacy.TypeCH, "Nr.", func(d dice) string {
			return spaced(search("756"+d.digits(9), numerals, 1, weights(10, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)), ".", 3, 4, 4, 2)
		}},
		{privacy.TypeBE, "nr", func(d dice) string {
			n := d.year() + d.month() + d.day() + d.digits(3)
			n += fmt.Sprintf("%02d", 97-mod(n, 97))
			return n[:2] + "." + n[2:4] + "." + n[4:6] + "-" + n[6:9] + "." + n[9:]
		}},
		{privacy.TypeCN, "no", func(d dice) string {
			n := "110105" + d.one("19", "20") + d.year() + d.month() + d.day() + d.digits(3)
			return search(n, "0123456789X", 1, func(s string) bool { // the weights are powers of two
				rest := 0
				for _, c := range s[:17] {
					rest = (rest + int(c-'0')) * 2 % 11
				}
				return "10X98765432"[rest] == s[17]
			})
		}},
		{privacy.TypeDE, "Steuer-ID", func(d dice) string { return d.one("86095742719", "47036892816", "65929970489", "57549285017") }},
		{privacy.TypeES, "DNI", func(d dice) string { n := d.digits(8); return n + string("TRWAGMYFPDXBNJZSQVHLCKE"[mod(n, 23)]) }},
		{privacy.TypeFI, "tunnus", func(d dice) string {
			date, n := d.day()+d.month()+d.year(), d.digits(3)
			return date + d.one("-", "A", "+") + n + string("0123456789ABCDEFHJKLMNPRSTUVWXY"[mod(date+n, 31)])
		}},
		{privacy.TypeFR, "No", func(d dice) string {
			n := d.one("1", "2") + d.year() + d.month() + d.digits(8)
			return n + fmt.Sprintf("%02d", 97-mod(n, 97))
		}},
		{privacy.TypeNL, "BSN", func(d dice) string {
			for {
				if n := search(d.one("1", "2")+d.digits(7), numerals, 1, weights(11, 9, 8, 7, 6, 5, 4, 3, 2, 10)); n != "" {
					return n
				}
			}
		}},
		{privacy.TypePL, "PESEL", func(d dice) string {
			return search(d.year()+d.month()+d.day()+d.digits(4), numerals, 1, weights(10, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1))
		}},
		{privacy.TypeSE, "personnummer", func(d dice) string {
			n := search(d.year()+d.month()+d.day()+d.digits(3), numerals, 1, luhn)
			return n[:6] + "-" + n[6:]
		}},
		{privacy.TypeTFN, "TFN", func(d dice) string {
			for {
				if n := search(d.digits(8), numerals, 1, weights(11, 1, 4, 3, 7, 5, 8, 6, 9, 10)); n != "" && n != "000000000" {
					return spaced(n, " ", 3, 3, 3)
				}
			}
		}},
		{privacy.TypeNO, "fødselsnummer", func(d dice) string {
			for {
				n := search(d.day()+d.month()+d.year()+d.digits(3), numerals, 1, weights(11, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1))
				if n == "" {
					continue
				}
				if n = search(n, numerals, 1, weights(11, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)); n != "" {
					return n
				}
			}
		}},
		{privacy.TypeCrypto, "wallet", dice.bitcoin},
		{privacy.TypeGitHub, "token", func(d dice) string {
			return d.one("ghp_", "gho_", "ghs_") + d.from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 36)
		}},
	}
}

// TestGenerated makes hundreds of each type, and as many with one character changed, and counts what is found of them where it
// stands.
func TestGenerated(t *testing.T) {
	const each = 400
	s := privacy.New()
	checked := map[privacy.Type]bool{ // one wrong digit is noticed by the check alone
		privacy.TypeCard: true, privacy.TypeIBAN: true, privacy.TypeRouting: true, privacy.TypeUK: true, privacy.TypeCA: true, privacy.TypeAa: true,
		privacy.TypeBR: true, privacy.TypeCH: true, privacy.TypeBE: true, privacy.TypeDE: true, privacy.TypeES: true, privacy.TypeFI: true, privacy.TypeFR: true,
		privacy.TypeNL: true, privacy.TypePL: true, privacy.TypeSE: true, privacy.TypeTFN: true, privacy.TypeNO: true, privacy.TypeCrypto: true,
	}
	for _, m := range makers() {
		t.Run(string(m.kind), func(t *testing.T) {
			t.Parallel()
			d := dice{rand.New(rand.NewPCG(1, uint64(len(m.kind))))}
			var got tally
			for range each {
				datum := m.make(d)
				text := m.before + " " + datum + d.one(".", ", he said", "\n", "")
				start := len([]rune(m.before)) + 1
				want := privacy.Finding{Type: m.kind, Start: start, End: start + len(datum)}
				found := s.Scan(text)
				right := false
				for _, f := range found {
					f.Score = 0
					if f == want {
						got.right++
						right = true
						continue
					}
					got.wrong++
				}
				if !right {
					got.missed++
					t.Logf("%q: %+v", text, found)
				}
				if !checked[m.kind] {
					continue
				}
				miss := []byte(datum)
				var places []int
				for i := 2; i < len(miss); i++ {
					if miss[i] >= '1' && miss[i] <= '9' {
						places = append(places, i)
					}
				}
				if len(places) == 0 {
					continue
				}
				i := places[d.IntN(len(places))]
				miss[i] = '1' + (miss[i]-'1'+byte(1+d.IntN(8)))%9
				for _, f := range s.Scan(m.before + " " + string(miss)) {
					if f.Type == m.kind {
						got.wrong++
						t.Logf("%q is none: %+v", miss, f)
					}
				}
			}
			t.Logf("precision %.3f, recall %.3f", got.precision(), got.recall())
			if got.recall() < 0.995 || got.precision() < 0.97 {
				t.Errorf("precision %.3f, recall %.3f", got.precision(), got.recall())
			}
		})
	}
}

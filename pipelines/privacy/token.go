package privacy

import "strings"

// Bounds of what is read as one.
const (
	longestIBAN    = 34
	longestAddress = 90 // a bech32 one
)

// token looks at what letters and digits begin at start; end is behind them.
func (p *pass) token(start, end int) {
	if p.is(start-1, foreignLetter) || p.is(end, foreignLetter) {
		p.secret(start, end)
		return
	}
	p.iban(start, end)
	p.letters(start, end)
	p.crypto(start, end)
	p.hex(start, end)
	p.secret(start, end)
}

// word looks at a token of letters alone, shorter than shortestEncoded: no account, national number or address of money is one.
func (p *pass) word(start, end int) {
	if !p.is(start-1, foreignLetter) && !p.is(end, foreignLetter) {
		p.hex(start, end)
	}
	p.secret(start, end)
}

// iban looks for an account number that begins with a token: ISO 13616, in one piece or in groups.
func (p *pass) iban(start, end int) {
	if end-start < 4 || p.classes[p.b[start]] != classLetter || p.classes[p.b[start+1]] != classLetter || !p.digitAt(start+2) || !p.digitAt(start+3) {
		return
	}
	size := p.countries[string([]byte{upper(p.b[start]), upper(p.b[start+1])})]
	if size == 0 {
		return
	}
	var account [longestIBAN]byte
	n, i := 0, start
	for ; i < len(p.b) && n < size; i++ {
		switch c := p.b[i]; {
		case p.classes[c].word():
			account[n] = upper(c)
			n++
		case (c == ' ' || c == '-') && p.part(i-1) && p.part(i+1):
		default:
			return
		}
	}
	if n < size || p.part(i) {
		return
	}
	moved := append(append([]byte{}, account[4:n]...), account[:4]...)
	if mod97(moved) == 1 {
		p.hit(TypeIBAN, start, i, 1)
	}
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// ibanLengths is how long the account numbers of countries are (SWIFT's registry of IBAN formats).
func ibanLengths() map[string]int {
	const lengths = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23" +
		"GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18" +
		"NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30"
	of := make(map[string]int)
	for i := 0; i < len(lengths); i += 4 {
		of[lengths[i:i+2]] = value([]byte(lengths[i+2 : i+4]))
	}
	return of
}

// lettered is a form of letters and digits: A stands for a letter, 9 for a digit, X for either, anything else for itself.
type lettered struct {
	kind  Type
	form  string
	valid func(t []byte) bool // in capitals
	score float64
	words words
}

func letteredFormats() []lettered {
	nif, fi := words{"nif", "dni", "nie"}, words{"hetu", "henkil"}
	return []lettered{
		{TypeES, "99999999A", spain, 0.9, nif},
		{TypeES, "A9999999A", foreigner, 0.9, nif},
		{TypeFI, "999999A999X", finland, 0.95, fi},
		{TypeFI, "999999-999X", finland, 0.95, fi},
		{TypeFI, "999999+999X", finland, 0.95, fi},
		{TypeCN, "99999999999999999A", func(t []byte) bool { return t[17] == 'X' && dayMonth(t[12:14], t[10:12]) && chineseCheck(t) == 'X' }, 0.95, nil},
		{TypeIT, "AAAAAAXXAXXAXXXA", italy, 0.95, words{"fiscale"}},
		{TypeNI, "AA999999A", britain, 0.8, words{"nino", "national insurance", "ni no", "ni number"}},
		{TypePAN, "AAAAA9999A", func(t []byte) bool { return strings.IndexByte("ABCFGHJLPT", t[3]) >= 0 }, 0.6, words{"pan"}},
		{TypeSG, "A9999999A", singapore, 0.95, words{"nric", "fin"}},
	}
}

// letters looks for national numbers of letters and digits.
func (p *pass) letters(start, end int) {
	if !p.digitAt(start) && !p.digitAt(end-2) && end-start < 9 || end-start > 18 || end-start < 6 {
		return
	}
	digit := p.digitAt(start)
	for i := range p.lettered {
		f := &p.lettered[i]
		to := start + len(f.form)
		if to > len(p.b) || digit != (f.form[0] == '9') || p.part(to) {
			continue
		}
		var text [18]byte
		t := text[:len(f.form)]
		if !p.shaped(start, f.form, t) || !f.valid(t) {
			continue
		}
		score := f.score
		if p.near(start, to, f.words) {
			score += withWords
		}
		p.hit(f.kind, start, to, score)
	}
}

// shaped copies what stands at start, in capitals, if it has a form.
func (p *pass) shaped(start int, form string, t []byte) bool {
	for i := range len(form) {
		c := p.b[start+i]
		kind := p.classes[c]
		switch form[i] {
		case 'A':
			if kind != classLetter {
				return false
			}
		case '9':
			if kind != classDigit {
				return false
			}
		case 'X':
			if !kind.word() {
				return false
			}
		default:
			if c != form[i] {
				return false
			}
		}
		t[i] = upper(c)
	}
	return true
}

func spain(t []byte) bool { return "TRWAGMYFPDXBNJZSQVHLCKE"[value(t[:8])%23] == t[8] }

func foreigner(t []byte) bool {
	n := strings.IndexByte("XYZ", t[0])
	return n >= 0 && "TRWAGMYFPDXBNJZSQVHLCKE"[(n*10_000_000+value(t[1:8]))%23] == t[8]
}

func finland(t []byte) bool {
	return strings.IndexByte("+-ABCDEFUVWXY", t[6]) >= 0 && dayMonth(t[:2], t[2:4]) &&
		"0123456789ABCDEFHJKLMNPRSTUVWXY"[(value(t[:6])*1000+value(t[7:10]))%31] == t[10]
}

// britain: the letters that numbers begin and end with, as HMRC gives them out; there is no check digit.
func britain(t []byte) bool {
	pair := string(t[:2])
	return strings.IndexByte("DFIQUV", t[0]) < 0 && strings.IndexByte("DFIOQUV", t[1]) < 0 && t[8] <= 'D' &&
		pair != "BG" && pair != "GB" && pair != "KN" && pair != "NK" && pair != "NT" && pair != "TN" && pair != "ZZ"
}

func singapore(t []byte) bool {
	sum := weighted(t[1:8], 2, 7, 6, 5, 4, 3, 2)
	switch t[0] {
	case 'S':
		return "JZIHGFEDCBA"[sum%11] == t[8]
	case 'T':
		return "JZIHGFEDCBA"[(sum+4)%11] == t[8]
	case 'F':
		return "XWUTRQPNMLK"[sum%11] == t[8]
	case 'G':
		return "XWUTRQPNMLK"[(sum+4)%11] == t[8]
	case 'M':
		return "XWUTRQPNJLK"[10-(sum+3)%11] == t[8]
	}
	return false
}

// italy is the codice fiscale (decree of 23 December 1976); digits may be letters where two persons had the same.
func italy(t []byte) bool {
	const months = "ABCDEHLMPRST"
	odd := [...]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	if strings.IndexByte(months, t[8]) < 0 {
		return false
	}
	sum := 0
	for i, c := range t[:15] {
		v := int(c - '0')
		if c >= 'A' {
			v = int(c - 'A')
		}
		if i%2 == 0 {
			v = odd[v]
		}
		sum += v
	}
	return 'A'+byte(sum%26) == t[15]
}

// crypto looks for addresses of Bitcoin (checked) and Ethereum (by form).
func (p *pass) crypto(start, end int) {
	t := p.b[start:end]
	switch {
	case len(t) == 42 && t[0] == '0' && (t[1] == 'x' || t[1] == 'X') && hexadecimal(t[2:]):
		p.hit(TypeCrypto, start, end, 0.9)
	case len(t) >= 26 && len(t) <= 35 && (t[0] == '1' || t[0] == '3') && base58(t):
		p.hit(TypeCrypto, start, end, 1)
	case len(t) >= 14 && len(t) <= longestAddress && lower(t[0]) == 'b' && lower(t[1]) == 'c' && t[2] == '1' && bech32([]byte(strings.ToLower(string(t))), 2):
		p.hit(TypeCrypto, start, end, 1)
	}
}

func hexadecimal(t []byte) bool {
	for _, c := range t {
		if unhex(c) < 0 {
			return false
		}
	}
	return true
}

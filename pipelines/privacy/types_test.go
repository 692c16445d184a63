package privacy_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"flowgate/pipelines/privacy"
)

// TestEachType finds one of each type where it stands, with words around it and signs that touch it. A ‹ and a › enclose what
// must be found.
func TestEachType(t *testing.T) {
	s := privacy.New()
	for _, c := range []struct {
		kind privacy.Type
		text string
	}{
		{privacy.TypeCard, "pay with ‹4111 1111 1111 1111›, please"},
		{privacy.TypeCard, "‹4111111111111111›"},
		{privacy.TypeCard, "amex (‹3782-822463-10005›)"},
		{privacy.TypeCard, "diners ‹3056 930902 5904›."},
		{privacy.TypeCard, "mir:‹2200 1234 5678 9019›"},
		{privacy.TypeCard, "card no ‹6304000000000000›!"},
		{privacy.TypeCard, "‹4222222222222›"},
		{privacy.TypeIBAN, "to ‹GB82 WEST 1234 5698 7654 32› today"},
		{privacy.TypeIBAN, "‹de89370400440532013000›"},
		{privacy.TypeIBAN, "IBAN:‹NO93-8601-1117-947›"},
		{privacy.TypeSSN, "ssn ‹536-90-4399›"},
		{privacy.TypeSSN, "social security number ‹536904399›"},
		{privacy.TypeEmail, "write to <‹o'neill+tag@mail.example.co.uk›>."},
		{privacy.TypeEmail, "'‹jörg@münchen.example›'"},
		{privacy.TypeEmail, "mailto:‹a@b.io›?subject=x"},
		{privacy.TypePhone, "call ‹+49 30 901820› now"},
		{privacy.TypePhone, "‹(415) 555-2671›"},
		{privacy.TypePhone, "‹415-555-2671 x12›"[:len("‹415-555-2671")] + "› or so"},
		{privacy.TypePhone, "Fax: ‹020 7946 0958›"},
		{privacy.TypeIP, "from ‹203.0.113.7›:8080"},
		{privacy.TypeIP, "[‹2001:db8::8a2e:370:7334›]:443"},
		{privacy.TypeIP, "‹fe80::1› is local"},
		{privacy.TypeIP, "at ‹::1›."},
		{privacy.TypeMAC, "nic ‹00:1A:2b:3C:4d:5E›"},
		{privacy.TypeMAC, "‹001a.2b3c.4d5e›"},
		{privacy.TypeURLCredentials, "dsn ‹postgres://app:hunter2@db.internal:5432›/x"},
		{privacy.TypeCrypto, "send to ‹1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa›"},
		{privacy.TypeCrypto, "‹bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4›"},
		{privacy.TypeCrypto, "‹0x52908400098527886E0F7030069857D2E4169EE7›"},
		{privacy.TypeRouting, "routing number ‹011000015›"},
		{privacy.TypeUK, "NHS number ‹943 476 5919›"},
		{privacy.TypeNI, "national insurance ‹AB123456C›"},
		{privacy.TypeBR, "‹111.444.777-35›"},
		{privacy.TypeCA, "SIN ‹130 692 544›"},
		{privacy.TypeCH, "‹756.9217.0769.85›"},
		{privacy.TypeBE, "‹85.07.30-033.28›"},
		{privacy.TypeCN, "‹11010519491231002X›"},
		{privacy.TypeDE, "Steuer-ID ‹86095742719›"},
		{privacy.TypeES, "DNI ‹12345678Z›, NIE pending"},
		{privacy.TypeES, "‹X1234567L›"},
		{privacy.TypeFI, "hetu ‹131052-308T›"},
		{privacy.TypeFR, "‹255081416802538›"},
		{privacy.TypeAa, "aadhaar ‹2345 6789 0124›"},
		{privacy.TypePAN, "PAN ‹ABCPE1234F›"},
		{privacy.TypeIT, "‹RSSMRA85T10A562S›"},
		{privacy.TypeNL, "BSN ‹111222333›"},
		{privacy.TypePL, "PESEL ‹44051401359›"},
		{privacy.TypeSE, "personnummer ‹811218-9876›"},
		{privacy.TypeSG, "‹S1234567D›"},
		{privacy.TypeTFN, "TFN ‹123 456 782›"},
		{privacy.TypeMED, "medicare ‹2123 45670 1›"},
		{privacy.TypeNO, "fødselsnummer ‹01010750160›"},
		{privacy.TypeAWSKey, "export AWS_ACCESS_KEY_ID=‹AKIAIOSFODNN7EXAMPLE›"},
		{privacy.TypeAnthropic, "key ‹sk-ant-api03-" + strings.Repeat("aB3dE6gH9", 5) + "›"},
		{privacy.TypeOpenAI, `"‹sk-proj-` + strings.Repeat("aB3dE6gH9", 5) + `›"`},
		{privacy.TypeGitHub, "‹ghp_" + strings.Repeat("aB3dE6gH9", 4) + "›"},
		{privacy.TypeSlack, "‹xoxb-123456789012-abcDEF123456›"},
		{privacy.TypeJWT, "Authorization: Bearer ‹eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl›"},
		{privacy.TypePrivateKey, "‹-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----›\n"},
		{privacy.TypePassword, `password: "‹hunter2secret›"`},
		{privacy.TypeSecret, "api_key=‹9f8e7d6c5b4a39281706f5e4›"},
	} {
		text := strings.NewReplacer("‹", "", "›", "").Replace(c.text)
		start := utf8.RuneCountInString(c.text[:strings.Index(c.text, "‹")])
		end := utf8.RuneCountInString(c.text[:strings.Index(c.text, "›")]) - 1
		found := s.Scan(text)
		if len(found) != 1 || found[0].Type != c.kind || found[0].Start != start || found[0].End != end {
			t.Errorf("%q: %+v, must be %s from %d to %d", text, found, c.kind, start, end)
		}
	}
}

// TestWhatLooksLikeIt finds nothing in what only looks like personal data.
func TestWhatLooksLikeIt(t *testing.T) {
	s := privacy.New()
	for _, text := range []string{
		"order 4111111111111112", "4111 1111 1111 1112", "GB82 WEST 1234 5698 7654 33", "666-12-3456 and 900-12-3456", "000-12-3456",
		"version 1.2.3.4", "256.1.1.1", "1.2.3", "1.2.3.4.5", "10:30:45", "std::vector<int>", "a::b", "bad::face::cafe",
		"2026-11-29 10:30:45", "29.11.2026", "11/29/2026", "1 234 567 890", "12,345,678", "3.14159265358979", "user@localhost", "@handle and me@",
		"foo@bar", "x = a@b.c1", "00:1A:2B:3C:4D", "0x52908400098527886E0F7030069857D2E4169EE", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
		"routing of 123456789 packets", "12345678A", "RSSMRA85T10A562T", "131052-308U", "S1234567E", "password: ${PASSWORD}", "password: <yours>", "the password is wrong",
		"https://example.com/a:b@c", "postgres://app:${PASSWORD}@db/x", "a 12345 zip and 12345-6789", "ISBN 978-3-16-148410-0", "sk-short", "the token expires: tomorrow",
		"dial in, passcode 5525128", "<58662.1075855897137.JavaMail>",
		"bypass surgery", "commit 9f8e7d6c5b4a39281706f5e4a9b8c7d6e5f40312", "550e8400-e29b-41d4-a716-446655440000", "SGVsbG8sIHdvcmxkISBOb3RoaW5nIGhlcmU=",
		"3... 2... 1... liftoff!", "call 911", "rows 1 2 3 4 5 6 7 8 9 10 11 12", "7 days, 24 hours, 365 nights",
	} {
		if found := s.Scan(text); len(found) > 0 {
			t.Errorf("%q: %+v", text, found)
		}
	}
}

// TestDisguises finds a card and an address through what hides them from a pattern: characters that are not seen, that look like
// others, or that stand for others.
func TestDisguises(t *testing.T) {
	s := privacy.New()
	const card, mail = "4111 1111 1111 1111", "anna.b@example.com"
	each := func(text string, f func(r rune) string) string {
		var b strings.Builder
		for _, r := range text {
			b.WriteString(f(r))
		}
		return b.String()
	}
	wide := func(r rune) string {
		if r > ' ' && r < 0x7f {
			return string(r + 0xfee0)
		}
		return "\u3000"
	}
	for name, disguise := range map[string]func(string) string{
		"zero width":   func(s string) string { return each(s, func(r rune) string { return string(r) + "\u200b" }) },
		"soft hyphens": func(s string) string { return each(s, func(r rune) string { return "\u00ad" + string(r) }) },
		"directions":   func(s string) string { return "\u202a" + s + "\u202c" },
		"full width":   func(s string) string { return each(s, wide) },
		"look-alikes": func(s string) string {
			return strings.NewReplacer("a", "а", "e", "е", "1", "𝟭", "4", "٤", " ", "\u00a0").Replace(s)
		},
		"overlay": func(s string) string { return each(s, func(r rune) string { return string(r) + "\u0336" }) },
		"base64":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte("it is " + s)) },
		"base64 twice": func(s string) string {
			return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte("see " + s))))
		},
		"base64 for URLs": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("??>>" + s)) },
		"escaped":         func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") },
	} {
		for kind, plain := range map[privacy.Type]string{privacy.TypeCard: card, privacy.TypeEmail: mail} {
			text := "take " + disguise(plain) + " and go"
			found := s.Scan(text)
			if len(found) != 1 || found[0].Type != kind {
				t.Errorf("%s of a %s: %q: %+v", name, kind, text, found)
				continue
			}
			cut := []rune(text)[found[0].Start:found[0].End]
			if rest := utf8.RuneCountInString(disguise(plain)) - len(cut); rest < 0 || rest > 2 {
				t.Errorf("%s of a %s: found only %q", name, kind, string(cut))
			}
		}
	}
	for _, text := range []string{"4111 1111 1111 111l", "O for zero: 4OOO OOOO OOOO OOO2", "411111111111111I"} {
		if found := s.Scan(text); text != "O for zero: 4OOO OOOO OOOO OOO2" && (len(found) != 1 || found[0].Type != privacy.TypeCard) {
			t.Errorf("%q: %+v", text, found)
		}
	}
}

// TestHiddenInDigits finds a card among numbers that are no card, wherever it stands.
func TestHiddenInDigits(t *testing.T) {
	s := privacy.New()
	for n := range 60 {
		text := strings.Repeat("7 ", n) + "4111 1111 1111 1111" + strings.Repeat(" 7", n)
		cards := 0
		for _, f := range s.Scan(text) {
			if f.Type == privacy.TypeCard && f.Start <= 2*n && f.End >= 2*n+19 {
				cards++
			}
		}
		if cards != 1 {
			t.Errorf("behind %d numbers: %+v", n, s.Scan(text))
		}
	}
}

// TestFindingsDoNotOverlapAndStayInTheText holds for any text.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		"", "4111 1111 1111 1111", "a@b.io", "::1", "+1 (415) 555-2671 x12", "\u200b4\u0336%40", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOiJub25lIn0..", "\xff\x80 \xc3",
		"YW5uYS5iQGV4YW1wbGUuY29t", "postgres://a:b@c/", "GB82 WEST 1234 5698 7654 32", "password=", "key='", "1O1l 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "bc1", "(", "+(", "0x",
	} {
		f.Add(seed)
	}
	s := privacy.New()
	f.Fuzz(func(t *testing.T, text string) {
		size, end := utf8.RuneCountInString(text), 0
		for _, found := range s.Scan(text) {
			if found.Start < end || found.End <= found.Start || found.End > size || found.Score < privacy.Threshold || found.Score > 1 || found.Type == "" {
				t.Fatalf("%+v in %d characters, behind %d", found, size, end)
			}
			end = found.End
		}
	})
}

// BenchmarkScan measures a KB of each kind of text, the worst included.
func BenchmarkScan(b *testing.B) {
	s := privacy.New()
	prose := "The manager asked whether the order of last Tuesday had been sent, and if so, when; nobody could tell. Ref 4471, 12 boxes. "
	for name, unit := range map[string]string{
		"prose": prose, "personal": "Call Anna at +1 415-555-2671 or anna.b@example.com, card 4111 1111 1111 1111, IBAN GB82WEST12345698765432. ",
		"digits": "7", "numbers": "1 ", "longer numbers": "1234 ", "card-like": "4111111111111112 ", "at": "a@b.", "colons": "a:b::", "paths": "Aa1/", "dashes": "a--", "base64": "QUJDREVGR0g",
		"percent": "%41", "wide": "４１ ", "jwt": "eyJ..eyJ.", "phones": "call 020 7946 0958 ", "urls": "a://b:c@", "assignments": "key=", "foreign": "Привет, мир ",
	} {
		text := strings.Repeat(unit, 1024/len(unit)+1)[:1024]
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			b.SetBytes(1024)
			for b.Loop() {
				s.Scan(text)
			}
		})
	}
	for _, unit := range []string{"7", "1 ", "a--", "Aa1/", "eyJ."} {
		text := strings.Repeat(unit, 1<<20/len(unit))
		b.Run(fmt.Sprintf("1MB_of_%q", unit), func(b *testing.B) {
			b.SetBytes(1 << 20)
			for b.Loop() {
				s.Scan(text)
			}
		})
	}
}

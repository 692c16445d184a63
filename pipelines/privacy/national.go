package privacy

// National numbers of persons.
const (
	TypeBE  Type = "BE_NATIONAL_NUMBER"
	TypeBR  Type = "BR_CPF"
	TypeCA  Type = "CA_SIN"
	TypeCH  Type = "CH_AHV"
	TypeCN  Type = "CN_RESIDENT_ID"
	TypeDE  Type = "DE_TAX_ID"
	TypeDK  Type = "DK_CPR"
	TypeES  Type = "ES_NIF"
	TypeFI  Type = "FI_PERSONAL_IDENTITY_CODE"
	TypeFR  Type = "FR_NIR"
	TypeUK  Type = "UK_NHS"
	TypeNI  Type = "UK_NINO"
	TypeAa  Type = "IN_AADHAAR"
	TypePAN Type = "IN_PAN"
	TypeIT  Type = "IT_FISCAL_CODE"
	TypeKR  Type = "KR_RRN"
	TypeNL  Type = "NL_BSN"
	TypeNO  Type = "NO_FODSELSNUMMER"
	TypePL  Type = "PL_PESEL"
	TypeSE  Type = "SE_PERSONNUMMER"
	TypeSG  Type = "SG_NRIC_FIN"
	TypeTFN Type = "AU_TFN"
	TypeMED Type = "AU_MEDICARE"
)

// format is one form of a number: groups of digits, a check, and how sure the form makes it.
type format struct {
	kind  Type
	sizes []int
	// seps are the signs that may stand between the groups.
	seps  string
	valid func(d []byte) bool
	// score is without words around it; their words add withWords.
	score float64
	words words
}

// withWords is what words around a number add to its score.
const withWords = 0.45

// formats looks for national numbers that begin with a group.
func (p *pass) formats(n *number, first int) {
	for _, f := range p.ids[n.groups[first].size] {
		last := first + len(f.sizes) - 1
		if !n.sized(first, f.sizes...) || !n.separatedBy(first, last, f.seps) || !f.valid(n.slice(first, last)) {
			continue
		}
		from, to := n.groups[first].start, n.groups[last].end
		score := f.score
		if p.near(from, to, f.words) {
			score += withWords
		}
		p.hit(f.kind, from, to, score)
	}
}

func (n *number) separatedBy(first, last int, seps string) bool {
	for i := first + 1; i <= last; i++ {
		g := n.groups[i]
		if g.seps != 1 {
			return false
		}
		ok := false
		for j := range len(seps) {
			ok = ok || seps[j] == g.sep
		}
		if !ok {
			return false
		}
	}
	return true
}

// numberFormats are the forms by the size of their first group.
func numberFormats() map[int][]format {
	ssn, sin := words{"ssn", "social security", "soc sec"}, words{"sin", "social insurance", "nas "}
	aadhaar, nhs := words{"aadhaar", "aadhar", "uid", "uidai"}, words{"nhs", "health service", "patient"}
	cpf, ahv := words{"cpf"}, words{"ahv", "avs", "oasi", "sozialversicherung"}
	be := words{"rijksregister", "registre national", "national number", "nn ", "insz", "niss"}
	born := words{"personnummer", "person number", "personal number", "samordningsnummer"}
	of := make(map[int][]format)
	for _, f := range []format{
		{TypeSSN, []int{3, 2, 4}, "-", socialSecurity, 0.85, ssn},
		{TypeSSN, []int{3, 2, 4}, " .", socialSecurity, 0.5, ssn},
		{TypeSSN, []int{9}, "", socialSecurity, 0.2, ssn},
		{TypeRouting, []int{9}, "", routing, 0.1, words{"routing", "aba", "rtn", "transit"}},
		{TypeUK, []int{3, 3, 4}, " -", nhsNumber, 0.4, nhs},
		{TypeUK, []int{10}, "", nhsNumber, 0.2, nhs},
		{TypeCA, []int{3, 3, 3}, " -", canada, 0.5, sin},
		{TypeCA, []int{9}, "", canada, 0.1, sin},
		{TypeAa, []int{4, 4, 4}, " -", aadhaarNumber, 0.55, aadhaar},
		{TypeAa, []int{12}, "", aadhaarNumber, 0.3, aadhaar},
		{TypeBR, []int{3, 3, 3, 2}, ".-", brazil, 0.9, cpf},
		{TypeBR, []int{11}, "", brazil, 0.2, cpf},
		{TypeCH, []int{3, 4, 4, 2}, ". ", ahvNumber, 0.95, ahv},
		{TypeCH, []int{13}, "", ahvNumber, 0.6, ahv},
		{TypeBE, []int{2, 2, 2, 3, 2}, ".-", belgium, 0.95, be},
		{TypeBE, []int{11}, "", belgium, 0.3, be},
		{TypeCN, []int{18}, "", china, 0.95, words{"id"}},
		{TypeDE, []int{11}, "", germany, 0.2, words{"steuer", "tax id", "idnr", "tin"}},
		{TypeDE, []int{2, 3, 3, 3}, " ", germany, 0.6, words{"steuer", "tax id", "idnr", "tin"}},
		{TypeDK, []int{6, 4}, "-", denmark, 0.5, words{"cpr", "personnummer"}},
		{TypeFR, []int{15}, "", france, 0.85, words{"insee", "nir", "sécu", "secu"}},
		{TypeFR, []int{1, 2, 2, 2, 3, 3, 2}, " ", france, 0.95, words{"insee", "nir"}},
		{TypeKR, []int{6, 7}, "-", korea, 0.85, words{"rrn", "resident"}},
		{TypeNL, []int{9}, "", netherlands, 0.1, words{"bsn", "burgerservice", "sofi"}},
		{TypeNO, []int{6, 5}, " ", norway, 0.85, words{"fødsel", "fodsel", "personnummer"}},
		{TypeNO, []int{11}, "", norway, 0.6, words{"fødsel", "fodsel", "personnummer"}},
		{TypePL, []int{11}, "", poland, 0.4, words{"pesel"}},
		{TypeSE, []int{6, 4}, "-", sweden, 0.8, born},
		{TypeSE, []int{8, 4}, "-", sweden, 0.9, born},
		{TypeTFN, []int{3, 3, 3}, " ", australia, 0.35, words{"tfn", "tax file"}},
		{TypeTFN, []int{9}, "", australia, 0.1, words{"tfn", "tax file"}},
		{TypeMED, []int{4, 5, 1}, " ", medicare, 0.6, words{"medicare"}},
	} {
		of[f.sizes[0]] = append(of[f.sizes[0]], f)
	}
	return of
}

// dayMonth tells whether digits at a place are a day and a month.
func dayMonth(day, month []byte) bool {
	d, m := value(day), value(month)
	return d >= 1 && d <= 31 && m >= 1 && m <= 12
}

// socialSecurity: areas 000, 666 and 9xx, group 00 and serial 0000 were never given out (SSA); nor are two numbers of old
// advertisements.
func socialSecurity(d []byte) bool {
	area := value(d[:3])
	if area == 0 || area == 666 || area >= 900 || value(d[3:5]) == 0 || value(d[5:]) == 0 {
		return false
	}
	n := value(d)
	return n != 78051120 && n != 219099999
}

// routing is the check of the American Bankers Association: weights 3, 7, 1.
func routing(d []byte) bool {
	two := value(d[:2])
	known := two <= 12 || two >= 21 && two <= 32 || two >= 61 && two <= 72 || two == 80
	return known && value(d) > 0 && weighted(d, 3, 7, 1, 3, 7, 1, 3, 7, 1)%10 == 0
}

func nhsNumber(d []byte) bool {
	check := 11 - weighted(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11
	return check%11 == int(d[9]-'0') && check != 10 && value(d) > 0
}

func canada(d []byte) bool { return d[0] != '0' && d[0] != '8' && luhn(d) }

func aadhaarNumber(d []byte) bool { return d[0] >= '2' && verhoeff(d) }

func brazil(d []byte) bool {
	same := true
	for _, c := range d {
		same = same && c == d[0]
	}
	check := func(sum int) byte { return '0' + byte(sum*10%11%10) }
	return !same && check(weighted(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)) == d[9] && check(weighted(d, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) == d[10]
}

func ahvNumber(d []byte) bool {
	return string(d[:3]) == "756" && weighted(d, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)%10 == 0
}

func belgium(d []byte) bool {
	if m := value(d[2:4]); m > 12 || value(d[4:6]) > 31 {
		return false
	}
	check, n := value(d[9:]), value(d[:9])
	return check == 97-n%97 || check == 97-(2_000_000_000+n)%97
}

// china is GB 11643-1999: ISO 7064, MOD 11-2. Its X is a lettered form.
func china(d []byte) bool {
	return dayMonth(d[12:14], d[10:12]) && chineseCheck(d) == d[17]
}

func chineseCheck(d []byte) byte {
	return "10X98765432"[weighted(d, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11]
}

// germany: one digit of the first ten occurs twice or three times, and the last is a check.
func germany(d []byte) bool {
	var seen [10]int
	for _, c := range d[:10] {
		seen[c-'0']++
	}
	twice := 0
	for _, n := range seen {
		if n > 3 {
			return false
		}
		if n > 1 {
			twice++
		}
	}
	return d[0] != '0' && twice == 1 && iso7064(d)
}

// denmark has no check digit since 2007: the date and the words decide.
func denmark(d []byte) bool { return dayMonth(d[:2], d[2:4]) }

func france(d []byte) bool {
	month := value(d[3:5])
	return (d[0] == '1' || d[0] == '2') && month >= 1 && (month <= 12 || month >= 20 && month <= 42) && value(d[13:]) == 97-value(d[:13])%97
}

func korea(d []byte) bool {
	check := (11 - weighted(d, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)%11) % 10
	return dayMonth(d[4:6], d[2:4]) && check == int(d[12]-'0')
}

func netherlands(d []byte) bool {
	return value(d) > 0 && weighted(d, 9, 8, 7, 6, 5, 4, 3, 2, -1)%11 == 0
}

func norway(d []byte) bool {
	day := value(d[:2]) % 40
	return day >= 1 && day <= 31 && value(d[2:4])%40 >= 1 && value(d[2:4])%40 <= 12 &&
		weighted(d, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 && weighted(d, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}

func poland(d []byte) bool {
	month := value(d[2:4]) % 20
	return month >= 1 && month <= 12 && dayMonth(d[4:6], []byte("01")) && weighted(d, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 == 0
}

func sweden(d []byte) bool {
	d = d[len(d)-10:]
	day := value(d[4:6])
	return luhn(d) && dayMonth([]byte{'0' + byte(day%60/10), '0' + byte(day%10)}, d[2:4])
}

func australia(d []byte) bool {
	return value(d) > 0 && weighted(d, 1, 4, 3, 7, 5, 8, 6, 9, 10)%11 == 0
}

func medicare(d []byte) bool {
	return d[0] >= '2' && d[0] <= '6' && weighted(d, 1, 3, 7, 9, 1, 3, 7, 9)%10 == int(d[8]-'0')
}

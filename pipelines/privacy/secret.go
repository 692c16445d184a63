package privacy

import (
	"bytes"
	"encoding/base64"
	"math"
	"unicode/utf8"
)

// Secrets of machines.
const (
	TypeAWSKey     Type = "AWS_ACCESS_KEY_ID"
	TypeAWSSecret  Type = "AWS_SECRET_ACCESS_KEY"
	TypeAnthropic  Type = "ANTHROPIC_API_KEY"
	TypeOpenAI     Type = "OPENAI_API_KEY"
	TypeGoogle     Type = "GOOGLE_API_KEY"
	TypeGitHub     Type = "GITHUB_TOKEN"
	TypeGitLab     Type = "GITLAB_TOKEN"
	TypeSlack      Type = "SLACK_TOKEN"
	TypeStripe     Type = "STRIPE_KEY"
	TypeHugging    Type = "HUGGING_FACE_TOKEN"
	TypeToken      Type = "ACCESS_TOKEN"
	TypeJWT        Type = "JWT"
	TypePrivateKey Type = "PRIVATE_KEY"
	TypePassword   Type = "PASSWORD"
	TypeSecret     Type = "SECRET"
)

// prefix is what secrets of a kind begin with.
type prefix struct {
	text string
	kind Type
	// least is how many characters come behind it at least.
	least int
}

// prefixes are those of secrets, by their first byte.
type prefixes struct {
	first [256][]prefix
	// second has the low bits of their second bytes, one bit each: most words begin with none of them.
	second [256]uint32
}

// of are the prefixes that what stands at the beginning of b can begin with.
func (f *prefixes) of(b []byte) []prefix {
	if len(b) < 2 || f.second[b[0]]>>(b[1]&31)&1 == 0 {
		return nil
	}
	return f.first[b[0]]
}

// secretPrefixes are the prefixes as their makers document them.
func secretPrefixes() (of prefixes) {
	for _, p := range []prefix{
		{"AKIA", TypeAWSKey, 16},
		{"ASIA", TypeAWSKey, 16},
		{"ABIA", TypeAWSKey, 16},
		{"ACCA", TypeAWSKey, 16},
		{"sk-ant-", TypeAnthropic, 20},
		{"sk-proj-", TypeOpenAI, 20},
		{"sk-svcacct-", TypeOpenAI, 20},
		{"sk-", TypeOpenAI, 32},
		{"AIza", TypeGoogle, 35},
		{"ya29.", TypeGoogle, 20},
		{"GOCSPX-", TypeGoogle, 28},
		{"ghp_", TypeGitHub, 36},
		{"gho_", TypeGitHub, 36},
		{"ghu_", TypeGitHub, 36},
		{"ghs_", TypeGitHub, 36},
		{"ghr_", TypeGitHub, 36},
		{"github_pat_", TypeGitHub, 36},
		{"glpat-", TypeGitLab, 20},
		{"gldt-", TypeGitLab, 20},
		{"xoxb-", TypeSlack, 20},
		{"xoxp-", TypeSlack, 20},
		{"xoxa-", TypeSlack, 20},
		{"xapp-", TypeSlack, 20},
		{"sk_live_", TypeStripe, 16},
		{"rk_live_", TypeStripe, 16},
		{"sk_test_", TypeStripe, 16},
		{"whsec_", TypeStripe, 24},
		{"hf_", TypeHugging, 30},
		{"npm_", TypeToken, 36},
		{"pypi-", TypeToken, 40},
		{"SG.", TypeToken, 40},
		{"dop_v1_", TypeToken, 64},
		{"shpat_", TypeToken, 32},
		{"dapi", TypeToken, 32},
		{"hvs.", TypeToken, 24},
		{"dckr_pat_", TypeToken, 24},
		{"r8_", TypeToken, 37},
		{"gsk_", TypeToken, 40},
		{"pplx-", TypeToken, 40},
		{"xai-", TypeToken, 40},
	} {
		of.first[p.text[0]] = append(of.first[p.text[0]], p)
		of.second[p.text[0]] |= 1 << (p.text[1] & 31)
	}
	return of
}

// Bounds of secrets, in characters.
const (
	longestSecret = 512
	longestJWT    = 16 << 10
)

// secret looks for what begins with a secret's prefix, for a JWT, for what is assigned to a secret's name, and for what is
// encoded.
func (p *pass) secret(start, end int) {
	p.encoded(start, end)
	if n := end - start; n >= 2 && n <= 16 {
		p.assigned(start, end)
	}
	if joined(p.b, start-1) && !p.is(start-1, '=') { // in the middle of something longer
		return
	}
	known := p.prefixes.of(p.b[start:])
	for i := range known {
		f := &known[i]
		if !bytes.HasPrefix(p.b[start:], []byte(f.text)) {
			continue
		}
		to := start + len(f.text)
		for to < len(p.b) && to-start < longestSecret && (p.classes[p.b[to]].word() || p.b[to] == '_' || p.b[to] == '-' || p.b[to] == '.' && p.part(to+1)) {
			to++
		}
		if to-start-len(f.text) >= f.least && entropy(p.b[start+len(f.text):to]) > 2.5 {
			p.hit(f.kind, start, to, 0.97)
			return
		}
	}
	if p.b[start] == 'e' && bytes.HasPrefix(p.b[start:], []byte("eyJ")) {
		p.jwt(start)
	}
}

// joined tells whether the byte at i ties what stands behind it to what stands before it.
func joined(b []byte, i int) bool {
	if i <= 0 {
		return false
	}
	switch b[i] {
	case '_', '-', '+', '/', '.', '=':
		return b[i-1] > ' ' && b[i-1] < utf8.RuneSelf && b[i-1] != b[i] && b[i-1] != '"' && b[i-1] != '\''
	}
	return false
}

// jwt looks for three parts in base64url, of which the first is a header (RFC 7519).
func (p *pass) jwt(start int) {
	to, dots := start, 0
	for to < len(p.b) && to-start < longestJWT && (p.classes[p.b[to]].word() || p.b[to] == '_' || p.b[to] == '-' || p.b[to] == '.' && p.b[to-1] != '.') {
		if p.b[to] == '.' {
			dots++
		}
		to++
	}
	for to > start && p.b[to-1] == '.' {
		to, dots = to-1, dots-1
	}
	if dots != 2 && dots != 4 {
		return
	}
	first := bytes.IndexByte(p.b[start:to], '.')
	header := make([]byte, base64.RawURLEncoding.DecodedLen(min(first, 1024)))
	n, _ := base64.RawURLEncoding.Decode(header, p.b[start:start+min(first, 1024)]) // as far as it is base64
	if bytes.Contains(header[:n], []byte(`"alg"`)) || bytes.Contains(header[:n], []byte(`"typ"`)) {
		p.hit(TypeJWT, start, to, 0.98)
	}
}

// privateKey looks for -----BEGIN … PRIVATE KEY-----, up to its end or for a key's length.
func (p *pass) privateKey(i int) {
	const most = 16 << 10
	if p.is(i-1, '-') || !bytes.HasPrefix(p.b[i:], []byte("-----BEGIN ")) {
		return
	}
	head := p.b[i:min(i+64, len(p.b))]
	at := bytes.Index(head, []byte("PRIVATE KEY"))
	if at < 0 {
		return
	}
	to := min(i+most, len(p.b))
	if end := bytes.Index(p.b[i+at:to], []byte("-----END ")); end >= 0 {
		to = i + at + end
		if line := bytes.IndexByte(p.b[to:min(to+80, len(p.b))], '\n'); line >= 0 {
			to += line
		} else {
			to = min(to+64, len(p.b))
		}
	}
	p.hit(TypePrivateKey, i, to, 1)
}

// assigned looks for name = value where the name is a secret's.
func (p *pass) assigned(start, end int) {
	i := end
	for i < len(p.b) && i-end < 4 && (p.b[i] == '"' || p.b[i] == '\'' || p.b[i] == ' ') {
		i++
	}
	if i >= len(p.b) || p.b[i] != ':' && p.b[i] != '=' {
		return
	}
	kind, least := secretName(p.b[start:end])
	if kind == "" {
		return
	}
	for i++; i < len(p.b) && (p.b[i] == '"' || p.b[i] == '\'' || p.b[i] == ' ' || p.b[i] == '>' || p.b[i] == '='); {
		i++
	}
	from := i
	for i < len(p.b) && i-from < 256 && p.assignable(i) {
		i++
	}
	value := p.b[from:i]
	if len(value) < least || value[0] == '$' || value[0] == '{' || value[0] == '<' || value[0] == '*' || value[0] == '%' {
		return // a place for one
	}
	digits := bytes.ContainsAny(value, "0123456789")
	switch {
	case kind == TypePassword && digits:
		p.hit(kind, from, i, 0.75)
	case kind == TypePassword && bytes.ContainsAny(value, "!#$%^&*@"):
		p.hit(kind, from, i, 0.65)
	case kind == TypeAWSSecret && len(value) == 40:
		p.hit(kind, from, i, 0.95)
	case digits && entropy(value) > 3:
		p.hit(TypeSecret, from, i, 0.7)
	}
}

// assignable tells whether the byte at i may belong to a value: what separates values does not, nor does a second assignment.
func (p *pass) assignable(i int) bool {
	switch c := p.b[i]; c {
	case '"', '\'', ',', ';', '&':
		return false
	case '=':
		return !p.part(i + 1)
	default:
		return p.classes[c] != classSpace
	}
}

// secretName tells what a name's value is, and how long it is at least; the end of a longer name counts as well.
func secretName(name []byte) (Type, int) {
	switch {
	case ends(name, "password"), ends(name, "passwd"), ends(name, "passphrase"), len(name) == 3 && ends(name, "pwd"):
		return TypePassword, 6
	case ends(name, "secretaccesskey"):
		return TypeAWSSecret, 40
	case ends(name, "key"), ends(name, "secret"), ends(name, "token"), len(name) == 6 && ends(name, "bearer"):
		return TypeSecret, 16
	}
	return "", 0
}

// ends tells whether a name ends with a word of small letters, however its own are written.
func ends(name []byte, word string) bool {
	if len(name) < len(word) {
		return false
	}
	tail := name[len(name)-len(word):]
	for i := range len(word) {
		if lower(tail[i]) != word[i] {
			return false
		}
	}
	return true
}

// entropy is C. Shannon's, in bits a character.
func entropy(b []byte) float64 {
	var count [256]int
	for _, c := range b {
		count[c]++
	}
	sum := 0.0
	for _, n := range count {
		if n > 0 {
			f := float64(n) / float64(len(b))
			sum -= f * math.Log2(f)
		}
	}
	return sum
}

package privacy

// Addresses of people and machines.

// Bounds of an e-mail address (RFC 5321).
const (
	longestLocal  = 64
	longestDomain = 253
)

// email looks for an address around an @.
func (p *pass) email(at int) {
	from := at
	for from > 0 && at-from <= longestLocal && (p.part(from-1) || localSign(p.b[from-1])) {
		from--
	}
	for from < at && !p.part(from) {
		from++
	}
	to, dot := at+1, 0
	for to < len(p.b) && to-at <= longestDomain && (p.part(to) || p.b[to] == '-' || p.b[to] == '.' && p.part(to+1)) {
		if p.b[to] == '.' {
			dot = to
		}
		to++
	}
	for to > dot && p.is(to-1, '-') {
		to--
	}
	local := at - from
	if local < 1 || local > longestLocal || p.b[at-1] == '.' || dot == 0 || dot == at+1 || !p.part(at+1) || to-dot < 3 {
		return
	}
	for i := dot + 1; i < to; i++ { // a top-level domain has no digits, but for xn--
		if p.digitAt(i) && p.b[dot+1] != 'x' {
			return
		}
	}
	p.hit(TypeEmail, from, to, 0.95)
}

// localSign tells whether a sign may stand before the @: those of RFC 5322's dot-atom that text does not put before addresses.
func localSign(c byte) bool {
	switch c {
	case '.', '_', '-', '+', '%', '\'', '&', '~':
		return true
	}
	return false
}

// afterColon looks for an IPv6 address that begins with a colon, and for credentials in a URL.
func (p *pass) afterColon(i int) {
	if p.is(i+1, ':') && !p.part(i-1) && !p.is(i-1, ':') {
		p.ipv6(i)
	}
	if p.is(i+1, '/') && p.is(i+2, '/') && p.part(i-1) {
		p.credentials(i)
	}
}

// longestUserinfo bounds what stands before the @ of a URL.
const longestUserinfo = 256

// credentials looks for scheme://user:password@host.
func (p *pass) credentials(colon int) {
	from := colon
	for from > 0 && colon-from < 24 && (p.part(from-1) || p.b[from-1] == '+' || p.b[from-1] == '-' || p.b[from-1] == '.') {
		from--
	}
	at, second := 0, 0
	i := colon + 3
	for ; i < len(p.b) && i-colon < longestUserinfo; i++ {
		c := p.b[i]
		if c == '/' || c == '"' || c == '\'' || c == '<' || c == '>' || p.classes[c] == classSpace {
			break
		}
		if c == ':' && second == 0 && at == 0 {
			second = i
		}
		if c == '@' {
			at = i
		}
	}
	if at == 0 || second == 0 || second > at || at == second+1 || !p.part(at+1) && !p.is(at+1, '[') {
		return
	}
	if p.b[second+1] == '$' || p.b[second+1] == '{' || p.b[second+1] == '*' { // a place for one
		return
	}
	p.hit(TypeURLCredentials, from, i, 0.97)
}

// hex looks for addresses of machines that begin with a token of hexadecimal digits.
func (p *pass) hex(start, end int) {
	if end-start > 4 || end >= len(p.b) {
		return
	}
	sep := p.b[end]
	if sep != ':' && sep != '-' && sep != '.' || !hexadecimal(p.b[start:end]) {
		return
	}
	switch {
	case sep == ':' && end-start <= 4 && !p.is(start-1, ':'):
		p.ipv6(start)
		fallthrough
	case sep == '-' && !p.is(start-1, '-'):
		if end-start == 2 {
			p.mac(start, 6, 2)
		}
	case sep == '.' && end-start == 4:
		p.mac(start, 3, 4)
	}
}

// mac looks for so many groups of hexadecimal digits of one size with one sign between them.
func (p *pass) mac(start, groups, size int) {
	to := start + groups*(size+1) - 1
	if to > len(p.b) || p.part(to) || p.part(start-1) || p.is(to, p.b[start+size]) {
		return
	}
	for g := range groups {
		from := start + g*(size+1)
		if !hexadecimal(p.b[from:from+size]) || g > 0 && p.b[from-1] != p.b[start+size] {
			return
		}
	}
	p.hit(TypeMAC, start, to, 0.9)
}

// ipv6 looks for an address (RFC 4291) at start. What has no digit, or too few groups, is no address but words and colons.
func (p *pass) ipv6(start int) {
	groups, double, digits, i := 0, false, false, start
	if p.is(i, ':') {
		double, i = true, i+2
	}
	for i < len(p.b) {
		from := i
		for i < len(p.b) && i-from < 5 && unhex(p.b[i]) >= 0 {
			digits = digits || p.digitAt(i)
			i++
		}
		if i == from {
			break
		}
		if i-from > 4 || p.is(i, '.') && p.digitAt(i+1) { // the end may be written as IPv4, which is found as that
			return
		}
		groups++
		if !p.is(i, ':') {
			break
		}
		if p.is(i+1, ':') {
			if double {
				return
			}
			double, i = true, i+2
			continue
		}
		if i+1 >= len(p.b) || unhex(p.b[i+1]) < 0 {
			break
		}
		i++
	}
	if p.part(i) || !digits || groups > 8 || double && groups > 7 || !double && groups != 8 || groups < 2 && start != i-3 {
		return
	}
	p.hit(TypeIP, start, i, 0.9)
}

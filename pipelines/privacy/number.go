package privacy

// Bounds of one number: more digits or groups than any has. What is longer is read in overlapping pieces.
const (
	mostDigits = 40
	mostGroups = 16
	longGroup  = 24
)

// number is a row of groups of digits with at most two signs between them: (415) 555-2671, 4111 1111 1111 1111, 10.0.0.1.
type number struct {
	digits []byte // as characters
	groups []group
	// plus and paren stand before the first group.
	plus, paren bool
	// extension is behind the last group: x123.
	extension bool
	end       int
	// alike counts letters that stand for digits: O for 0, l for 1.
	alike int
}

// group is one group of digits.
type group struct {
	// start and end are its place in the text, from where its digits begin.
	start, end, from, size int
	// sep is the sign before it, seps how many signs stand there; of the first group they are nothing.
	sep  byte
	seps int
}

// number reads the number that begins with the token from start to end, which has a digit, and looks for everything that it
// can be. It returns where the next one may begin.
func (p *pass) number(start, end int) int {
	n, next := p.readNumber(start, end)
	if len(n.groups) == 0 {
		return end
	}
	for first := range n.groups {
		p.cards(&n, first)
		if n.alike == 0 {
			p.formats(&n, first)
			p.address(&n, first)
		}
	}
	if n.alike == 0 {
		p.phone(&n)
	}
	return next
}

// readNumber reads groups until something else comes. next is behind them, or, of what is too long, where it overlaps.
func (p *pass) readNumber(start, end int) (n number, next int) {
	if start > 0 && p.b[start-1] == foreignLetter {
		return n, end
	}
	n.digits, n.groups = p.digits[:0], p.groups[:0]
	n.plus, n.paren = p.is(start-1, '+'), p.is(start-1, '(')
	if n.paren && p.is(start-2, '+') {
		n.plus = true
	}
	var sep byte
	seps := 0
	for {
		digits, letters := p.readGroup(start, end)
		if digits == 0 {
			break
		}
		g := group{start: start, end: start + digits, from: len(n.digits), size: digits, sep: sep, seps: seps}
		for i := range digits {
			n.digits = append(n.digits, arabic(p.b[start+i]))
		}
		n.groups, n.alike, n.end = append(n.groups, g), n.alike+letters, g.end
		if start+digits < end || p.is(g.end, foreignLetter) { // an extension
			n.extension = true
			n.end = end
			break
		}
		if start, sep, seps = p.separated(g.end); seps == 0 {
			break
		}
		for end = start; end < len(p.b) && p.classes[p.b[end]].word(); {
			end++
		}
		if len(n.groups) == mostGroups || len(n.digits) > mostDigits {
			return n, n.groups[max(len(n.groups)-6, 1)].start
		}
	}
	return n, max(n.end, end)
}

// readGroup tells how many digits a token has, letters that look like some included; 0: it is no group of digits.
func (p *pass) readGroup(start, end int) (digits, letters int) {
	if end-start > longGroup || p.is(end, foreignLetter) {
		return 0, 0
	}
	for i := start; i < end; i++ {
		switch c := p.b[i]; {
		case p.classes[c] == classDigit:
		case arabic(c) != c:
			letters++
		case (c == 'x' || c == 'X') && i > start && p.digitAt(i+1) && end-i <= 7: // an extension
			return i - start, letters
		default:
			return 0, 0
		}
	}
	if 2*letters > end-start || letters == end-start {
		return 0, 0
	}
	return end - start, letters
}

// arabic is the digit that a character is, or looks like.
func arabic(c byte) byte {
	switch c {
	case 'O', 'o':
		return '0'
	case 'l', 'I', 'i':
		return '1'
	}
	return c
}

// separated finds the next group behind at most two signs (three where a dash stands between spaces); seps is 0 without one.
func (p *pass) separated(at int) (start int, sep byte, seps int) {
	for start = at; start < len(p.b) && start-at < 3; start++ {
		switch p.b[start] {
		case ' ', '-', '.', '/', '(', ')', '_', '\t':
			if sep == 0 || sep == ' ' {
				sep = p.b[start]
			}
			continue
		}
		break
	}
	if start == at || start >= len(p.b) || !p.classes[p.b[start]].word() {
		return at, 0, 0
	}
	return start, sep, start - at
}

// uniform tells whether the same sign stands between all groups from first to last.
func (n *number) uniform(first, last int) bool {
	for i := first + 2; i <= last; i++ {
		if n.groups[i].sep != n.groups[first+1].sep || n.groups[i].seps != n.groups[first+1].seps {
			return false
		}
	}
	return true
}

// sized tells whether groups from first on have the given sizes.
func (n *number) sized(first int, sizes ...int) bool {
	if first+len(sizes) > len(n.groups) {
		return false
	}
	for i, size := range sizes {
		if n.groups[first+i].size != size {
			return false
		}
	}
	return true
}

// slice is the digits of the groups from first to last.
func (n *number) slice(first, last int) []byte {
	return n.digits[n.groups[first].from : n.groups[last].from+n.groups[last].size]
}

// cards looks for a payment card that begins with a group: in one piece, in the groups that are printed on cards, or in whatever
// groups the whole number has.
func (p *pass) cards(n *number, first int) {
	try := func(last int, score float64) {
		digits := n.slice(first, last)
		if len(digits) < 12 || len(digits) > 19 || !luhn(digits) || !n.uniform(first, last) {
			return
		}
		from, to := n.groups[first].start, n.groups[last].end
		known := issuer(digits)
		switch near := p.near(from, to, p.card); {
		case known && near:
			score += 0.1
		case known:
		case near && len(digits) >= 13:
			score = 0.6
		default:
			return
		}
		if n.alike > 0 {
			score -= 0.2
		}
		p.hit(TypeCard, from, to, score)
	}
	switch {
	case n.groups[first].size >= 12:
		try(first, 0.9)
	case n.sized(first, 4, 4, 4, 4, 3):
		try(first+4, 0.9)
	case n.sized(first, 4, 6, 5), n.sized(first, 4, 6, 4), n.sized(first, 4, 5, 6):
		try(first+2, 0.9)
	}
	if n.sized(first, 4, 4, 4, 4) {
		try(first+3, 0.9)
	}
	if first == 0 && len(n.groups) > 1 {
		odd := 0.7
		if n.groups[1].sep == '.' { // two numbers of one name, rather
			odd = 0.45
		}
		try(len(n.groups)-1, odd)
	}
}

// issuer tells whether a number of that length begins as those of a card network do.
func issuer(d []byte) bool {
	six := 0
	for _, c := range d[:6] {
		six = 10*six + int(c-'0')
	}
	four, three, two := six/100, six/1000, six/10000
	size := len(d)
	between := func(n, low, high int) bool { return n >= low && n <= high }
	switch {
	case d[0] == '4': // Visa
		return size == 13 || size == 16 || size == 19
	case between(two, 51, 55), between(four, 2221, 2720): // Mastercard
		return size == 16
	case two == 34, two == 37: // American Express
		return size == 15
	case between(three, 300, 305), three == 309, two == 36, two == 38, two == 39: // Diners Club
		return size >= 14
	case between(four, 3528, 3589): // JCB
		return size >= 16
	case four == 2131, four == 1800: // JCB, the old ones
		return size == 15
	case four == 6011, between(three, 644, 649), two == 65, two == 62, two == 60, two == 81, three == 508: // Discover, UnionPay, RuPay
		return size >= 16
	case between(four, 2200, 2204), four == 9792: // Mir, Troy
		return size >= 16
	case two == 50, between(two, 56, 58), four == 6304, four == 6390, four == 6759, between(four, 6761, 6763), four == 604: // Maestro
		return size >= 12
	}
	return false
}

// address looks for an IPv4 address that begins with a group.
func (p *pass) address(n *number, first int) {
	if first+4 > len(n.groups) || first > 0 && n.groups[first].sep == '.' {
		return
	}
	if first+4 < len(n.groups) && n.groups[first+4].sep == '.' {
		return
	}
	for i := first; i < first+4; i++ {
		d := n.slice(i, i)
		if i > first && (n.groups[i].sep != '.' || n.groups[i].seps != 1) || len(d) > 3 || len(d) > 1 && d[0] == '0' || len(d) == 3 && string(d) > "255" {
			return
		}
	}
	from, to := n.groups[first].start, n.groups[first+3].end
	if first == 0 && n.plus || p.is(from-1, '.') || p.near(from, from, words{"version", "release", "firmware", "build "}) {
		return
	}
	p.hit(TypeIP, from, to, 0.9)
}

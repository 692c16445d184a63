package privacy

// phone looks for a telephone number in a whole number, and for those of North America in its groups. Most countries' numbers
// have no form of their own: what has groups and the right length is one where the words around it say so.
func (p *pass) phone(n *number) {
	found := false
	for first := range n.groups {
		if n.sized(first, 3, 3, 4) && n.american(first) {
			from, score := first, 0.6
			if n.groups[first+1].sep == ' ' {
				score = 0.45
			}
			if country := string(n.slice(max(first-1, 0), max(first-1, 0))); first > 0 && (country == "1" || country == "001") {
				from, score = first-1, score+0.1
			}
			if from == 0 && n.paren {
				score = 0.65
			}
			p.telephone(n, from, first+2, score)
			found = true
		}
	}
	if found || n.dated() {
		return
	}
	last := len(n.groups) - 1
	size := len(n.digits)
	if size < 7 || size > 15 || len(n.groups) > 7 || n.slashed() {
		return
	}
	switch {
	case n.plus && size >= 8 && n.digits[0] != '0':
		p.telephone(n, 0, last, 0.75)
	case len(n.groups) == 1 && (n.digits[0] == '0' || size == 10 && n.digits[0] >= '2'):
		p.telephone(n, 0, last, 0.25)
	case len(n.groups) == 1 && size >= 10:
		p.telephone(n, 0, last, 0.15)
	case len(n.groups) == 1:
	case n.thousands(), n.sized(0, 5, 4) && last == 1, n.sized(0, 3, 2, 4) && last == 2:
	case n.paren && n.groups[1].sep == ')':
		p.telephone(n, 0, last, 0.55)
	case n.digits[0] == '0' && n.digits[1] == '0' && size >= 10:
		p.telephone(n, 0, last, 0.55)
	case n.digits[0] == '0' && size >= 9:
		p.telephone(n, 0, last, 0.4)
	case n.groups[last].size >= 2:
		p.telephone(n, 0, last, 0.25)
	}
}

// telephone adds what stands around a number to its score.
func (p *pass) telephone(n *number, first, last int, score float64) {
	from, to := n.groups[first].start, n.groups[last].end
	if p.near(from, to, p.phones) {
		score += 0.35
	}
	if n.extension && last == len(n.groups)-1 {
		score += 0.15
		to = n.end
	}
	if first == 0 && n.paren && n.groups[min(1, len(n.groups)-1)].sep == ')' {
		from--
	}
	if first == 0 && n.plus && p.is(from-1, '+') {
		from--
	}
	p.hit(TypePhone, from, to, score)
}

// american tells whether an area and an exchange of the North American plan begin at first: neither begins with 0 or 1.
func (n *number) american(first int) bool {
	area, exchange := n.slice(first, first), n.slice(first+1, first+1)
	if area[0] < '2' || exchange[0] < '2' {
		return false
	}
	for i := first + 1; i <= first+2; i++ {
		switch n.groups[i].sep {
		case ' ', '-', '.', ')':
		default:
			return false
		}
	}
	return true
}

// dated tells whether the groups are a date, or a date and a time.
func (n *number) dated() bool {
	if n.plus || n.paren || len(n.groups) < 3 || !n.uniform(0, 2) || n.groups[1].seps != 1 {
		return false
	}
	value := func(i int) int {
		v := 0
		for _, c := range n.slice(i, i) {
			v = 10*v + int(c-'0')
		}
		return v
	}
	a, b, c := value(0), value(1), value(2)
	small := func(x, y int) bool { return x >= 1 && y >= 1 && x <= 31 && y <= 31 && min(x, y) <= 12 }
	return n.sized(0, 4, 2, 2) && a >= 1000 && a < 2200 && small(b, c) || n.sized(0, 2, 2, 4) && c >= 1000 && c < 2200 && small(a, b)
}

// slashed tells whether slashes or single dots make the groups something else.
func (n *number) slashed() bool {
	for _, g := range n.groups[1:] {
		if g.sep == '/' || g.sep == '_' {
			return true
		}
	}
	return len(n.groups) == 2 && n.groups[1].sep == '.'
}

// thousands tells whether the groups are one number, written in threes.
func (n *number) thousands() bool {
	if n.plus || n.paren || n.groups[0].size > 3 || n.digits[0] == '0' || !n.uniform(0, len(n.groups)-1) {
		return false
	}
	for _, g := range n.groups[1:] {
		if g.size != 3 || g.sep == '-' {
			return false
		}
	}
	return true
}

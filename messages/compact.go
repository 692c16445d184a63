package messages

import "bytes"

// Compact tells whether bytes are one JSON value (RFC 8259) with no space between its parts: what encoding/json would write of them
// as they are, without a look at each byte through its state machine. What is nested deeper than mostNested it says no to.
func Compact(data []byte) bool {
	c := compact{data: data}
	return c.value(mostNested) && c.at == len(data)
}

const mostNested = 64

// compact reads a document; at is behind what was read of it.
type compact struct {
	data []byte
	at   int
}

func (c *compact) is(b byte) bool { return c.at < len(c.data) && c.data[c.at] == b }

// take reads a byte, if it is the next one.
func (c *compact) take(b byte) bool {
	if !c.is(b) {
		return false
	}
	c.at++
	return true
}

func (c *compact) value(deep int) bool {
	if c.at == len(c.data) || deep == 0 {
		return false
	}
	switch c.data[c.at] {
	case '"':
		return c.text()
	case '{':
		return c.row('}', func() bool { return c.text() && c.take(':') && c.value(deep-1) })
	case '[':
		return c.row(']', func() bool { return c.value(deep - 1) })
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.number()
}

// row reads what stands between brackets, with commas between its parts.
func (c *compact) row(end byte, part func() bool) bool {
	c.at++
	if c.take(end) {
		return true
	}
	for {
		switch {
		case !part():
			return false
		case c.take(end):
			return true
		case !c.take(','):
			return false
		}
	}
}

func (c *compact) word(w string) bool {
	if !bytes.HasPrefix(c.data[c.at:], []byte(w)) {
		return false
	}
	c.at += len(w)
	return true
}

// text reads a string.
func (c *compact) text() bool {
	if !c.take('"') {
		return false
	}
	for c.at < len(c.data) {
		b := c.data[c.at]
		c.at++
		switch {
		case b == '"':
			return true
		case b < ' ':
			return false
		case b == '\\' && !c.escaped():
			return false
		}
	}
	return false
}

// escaped reads what stands behind a backslash.
func (c *compact) escaped() bool {
	if c.at == len(c.data) {
		return false
	}
	b := c.data[c.at]
	c.at++
	if b != 'u' {
		return bytes.IndexByte([]byte(`"\/bfnrt`), b) >= 0
	}
	for range 4 {
		if c.at == len(c.data) || !hexadecimal(c.data[c.at]) {
			return false
		}
		c.at++
	}
	return true
}

func hexadecimal(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

func (c *compact) number() bool {
	c.take('-')
	if !c.take('0') && !c.digits() {
		return false
	}
	if c.take('.') && !c.digits() {
		return false
	}
	if c.is('e') || c.is('E') {
		c.at++
		if !c.take('+') {
			c.take('-')
		}
		return c.digits()
	}
	return true
}

// digits reads one digit at least.
func (c *compact) digits() bool {
	from := c.at
	for c.at < len(c.data) && c.data[c.at] >= '0' && c.data[c.at] <= '9' {
		c.at++
	}
	return c.at > from
}

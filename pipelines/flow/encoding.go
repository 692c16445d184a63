package flow

import "fmt"

// Encoding is a parsed flow_encoding. Each part is one or more of a-z, 0-9 and _.
type Encoding struct {
	Entity, Category, Action, Object string
}

// EncodingError says where a text leaves the grammar @entity#category!action@object.
type EncodingError struct {
	// Position counts bytes from 0.
	Position int
	// Want names what the grammar demands there.
	Want string
	// Got is what stands there: one character, quoted, or "end of text".
	Got string
}

func (e *EncodingError) Error() string {
	return fmt.Sprintf("position %d: want %s, got %s (the form is @entity#category!action@object of a-z, 0-9 and _)", e.Position, e.Want, e.Got)
}

// ParseEncoding reads @entity#category!action@object. Errors are *EncodingErrors.
func ParseEncoding(text string) (Encoding, error) {
	var e Encoding
	at := 0
	for _, part := range []struct {
		mark byte
		name string
		into *string
	}{
		{'@', "entity", &e.Entity},
		{'#', "category", &e.Category},
		{'!', "action", &e.Action},
		{'@', "object", &e.Object},
	} {
		if at >= len(text) || text[at] != part.mark {
			return Encoding{}, encodingError(text, at, fmt.Sprintf("%q before the %s", string(part.mark), part.name))
		}
		at++
		from := at
		for at < len(text) && segmentByte(text[at]) {
			at++
		}
		if at == from {
			return Encoding{}, encodingError(text, at, "the "+part.name)
		}
		*part.into = text[from:at]
	}
	if at < len(text) {
		return Encoding{}, encodingError(text, at, "the end")
	}
	return e, nil
}

// String writes the encoding as ParseEncoding reads it.
func (e Encoding) String() string {
	return "@" + e.Entity + "#" + e.Category + "!" + e.Action + "@" + e.Object
}

func segmentByte(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' }

func encodingError(text string, at int, want string) error {
	got := "end of text"
	if at < len(text) {
		for _, r := range text[at:] {
			got = fmt.Sprintf("%q", string(r))
			break
		}
	}
	return &EncodingError{Position: at, Want: want, Got: got}
}

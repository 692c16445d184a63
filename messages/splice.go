package messages

import (
	"bytes"
	"encoding/json"
)

// splice takes a document that is written in one piece, and puts bytes in the place of the value of its first key of a name.
type splice struct {
	// key is the key with its colon, which the value 0 follows.
	key, bytes []byte
	out        []byte
	// done tells that the key was found.
	done bool
}

func (s *splice) Write(p []byte) (int, error) {
	before, after, found := bytes.Cut(p, append(s.key, '0'))
	if s.done || !found {
		s.out = append(s.out, p...)
		return len(p), nil
	}
	s.out = append(make([]byte, 0, len(p)+len(s.bytes)), before...)
	s.out = append(append(append(s.out, s.key...), s.bytes...), after...)
	s.done = true
	return len(p), nil
}

// encodeAround encodes an envelope around its request, whose bytes are written as they are: they are most of it, and read once
// instead of twice. False where they would not be the same bytes.
//
// The key is found in no string, whose quotes are escaped, and the keys of nothing else stand before the request's.
func encodeAround(e Envelope) ([]byte, bool) {
	if !Compact(e.Request) {
		return nil, false
	}
	s := splice{key: []byte(`"request":`), bytes: e.Request}
	e.Request = json.RawMessage("0")
	enc := json.NewEncoder(&s)
	enc.SetEscapeHTML(false) // escaping could make a body six times as large
	err := enc.Encode(&e)
	return bytes.TrimSuffix(s.out, []byte("\n")), err == nil && s.done
}

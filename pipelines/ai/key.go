package ai

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"

	"flowgate/messages"
)

// keyVersion is that of the encoding that keys are the digest of. It changes with the encoding, and with what an answer means.
const keyVersion = 1

// DefaultFamily is the family of models that are of no other.
const DefaultFamily = "default"

// CacheKey is the digest of what a call asks of a model, for the cache of answers and for joining identical requests: 64 hexadecimal
// digits. Calls have the same key if and only if they are of one tenant and family and ask the same model the same with the same
// parameters. Who asks, why, in which request and for which time is no part of it.
//
// It is built of the call, so of the conversation with placeholders in the place of masked data: of what the provider sees, and the
// answer is kept as the provider gave it, before data are put back. So no masked datum lies in the cache, and requests that differ in
// nothing but such data share an answer, as they would get the same from the provider; into each goes back what its own placeholders
// stand for. That is sound because placeholders are numbered in the order of the texts alone (privacy.Guard.Request). What the rules let
// pass stands in key and answer as it is: requests that differ in it have different keys.
func CacheKey(family string, c *Call) string {
	e := newEncoding()
	e.number(keyVersion)
	e.text(c.Tenant)
	e.text(family)
	e.text(string(kind(c)))
	e.text(c.Model)
	e.real(c.Temperature)
	e.truth(c.DefaultTemperature)
	e.number(int64(c.MaxTokens))
	optional(e, c.TopP, e.real)
	optional(e, c.TopK, func(k int) { e.number(int64(k)) })
	optional(e, c.Seed, e.number)
	e.texts(c.Stop)
	e.number(int64(c.Dimensions))
	list(e, c.Messages, e.message)
	list(e, c.Tools, func(t *messages.Tool) {
		e.text(t.Name)
		e.text(t.Description)
		e.text(string(t.Parameters))
	})
	e.text(c.ToolChoice)
	optional(e, c.Format, func(f messages.ResponseFormat) {
		e.text(f.Type)
		e.text(f.Name)
		e.text(string(f.Schema))
	})
	e.texts(c.Input)
	if c.Means != "" { // left out where it is empty, so that keys stay what they were
		e.text(c.Means)
	}
	return e.digest()
}

// Digest is the SHA-256 of a text, in 64 hexadecimal digits.
func Digest(text string) string {
	e := newEncoding()
	e.raw(text)
	return e.digest()
}

func kind(c *Call) messages.Kind {
	if c.Kind == "" {
		return messages.KindPrompt
	}
	return c.Kind
}

// encoding is canonical: every value is written in one way only, and tells where it ends before it begins, so that no two sequences of
// values are the same bytes.
type encoding struct {
	hash hash.Hash
	// some has what is not in the hash yet, so that texts need no copy of their own.
	some [256]byte
	n    int
}

func newEncoding() *encoding { return &encoding{hash: sha256.New()} }

// digest ends the encoding.
func (e *encoding) digest() string {
	e.flush()
	var sum [sha256.Size]byte
	return hex.EncodeToString(e.hash.Sum(sum[:0]))
}

func (e *encoding) flush() {
	_, _ = e.hash.Write(e.some[:e.n]) // a hash takes everything
	e.n = 0
}

func (e *encoding) raw(v string) {
	for len(v) > 0 {
		if e.n == len(e.some) {
			e.flush()
		}
		n := copy(e.some[e.n:], v)
		e.n += n
		v = v[n:]
	}
}

func (e *encoding) bits(v uint64) {
	if len(e.some)-e.n < 8 {
		e.flush()
	}
	binary.BigEndian.PutUint64(e.some[e.n:], v)
	e.n += 8
}

func (e *encoding) number(v int64) { e.bits(uint64(v)) } //nolint:gosec // the bits count, not the value

func (e *encoding) real(v float64) {
	if v == 0 {
		v = 0 // zero has two forms, and is one value
	}
	e.bits(math.Float64bits(v))
}

func (e *encoding) truth(v bool) {
	if v {
		e.bits(1)
		return
	}
	e.bits(0)
}

func (e *encoding) text(v string) {
	e.bits(uint64(len(v)))
	e.raw(v)
}

func (e *encoding) texts(all []string) { list(e, all, func(s *string) { e.text(*s) }) }

func (e *encoding) message(m *messages.Message) {
	e.text(m.Role)
	e.text(m.Name)
	e.text(m.Content)
	list(e, m.Images, func(i *messages.Image) {
		e.text(i.MediaType)
		e.text(i.Data)
		e.text(i.URL)
	})
	list(e, m.ToolCalls, func(t *messages.ToolCall) {
		e.text(t.ID)
		e.text(t.Name)
		e.text(t.Arguments)
	})
	e.text(m.ToolCallID)
}

// list writes how many there are, then each.
func list[T any](e *encoding, all []T, each func(*T)) {
	e.bits(uint64(len(all)))
	for i := range all {
		each(&all[i])
	}
}

// optional writes whether there is a value, then the value: nothing said is not the same as zero.
func optional[T any](e *encoding, v *T, write func(T)) {
	e.truth(v != nil)
	if v != nil {
		write(*v)
	}
}

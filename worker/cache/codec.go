package cache

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"flowgate/messages"
)

// The bytes of an entry are a gzip file, whose comment tells when it was made and until when it counts, so that neither has to be
// unpacked to be known; encrypted ones stand behind a header of their own (seal.go).

// codec writes and reads entries. seal is nil where nothing is encrypted.
type codec struct {
	seal *sealer
	fast sync.Pool // of *gzip.Writer that compress
	flat sync.Pool // of those that do not
	read sync.Pool // of *gzip.Reader
	room sync.Pool // of *bytes.Buffer, for documents on their way
}

// mostRoom bounds the buffers that are used again, in bytes.
const mostRoom = 64 << 10

// borrow gives an empty buffer, which giveBack takes.
func (c *codec) borrow() *bytes.Buffer {
	if b, again := c.room.Get().(*bytes.Buffer); again {
		b.Reset()
		return b
	}
	return new(bytes.Buffer)
}

func (c *codec) giveBack(b *bytes.Buffer) {
	if b.Cap() <= mostRoom {
		c.room.Put(b)
	}
}

// stamp is what is known of an entry without unpacking it.
type stamp struct{ created, expires time.Time }

const commentForm = "flowgate %d %d"

func (s stamp) comment() string {
	return fmt.Sprintf(commentForm, s.created.UnixNano(), s.expires.UnixNano())
}

func parseComment(text string) (s stamp, ok bool) {
	var created, expires int64
	if n, err := fmt.Sscanf(text, commentForm, &created, &expires); n != 2 || err != nil {
		return s, false
	}
	s = stamp{time.Unix(0, created).UTC(), time.Unix(0, expires).UTC()}
	return s, s.comment() == text
}

// encode writes an entry.
func (c *codec) encode(e *Entry, compress bool) ([]byte, error) {
	doc := c.borrow()
	defer c.giveBack(doc)
	if err := document(doc, e); err != nil {
		return nil, fmt.Errorf("encoding an entry of the cache: %w", err)
	}
	if doc.Len() > MaxEntryBytes {
		return nil, errTooMuch
	}
	at := stamp{e.Created, e.Expires}
	packed, err := c.pack(doc.Bytes(), at, compress)
	if err != nil || c.seal == nil {
		return packed, err
	}
	return c.seal.close(packed, at, e.Family, e.Key)
}

// document writes an entry's document. What was asked and what came are JSON already.
func document(doc *bytes.Buffer, e *Entry) error {
	rest := *e
	rest.Request, rest.Response = nil, nil
	enc := json.NewEncoder(doc)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&rest); err != nil {
		return err
	}
	doc.Truncate(doc.Len() - len("}\n"))
	for _, part := range []struct {
		name string
		raw  json.RawMessage
	}{{`,"request":`, e.Request}, {`,"response":`, e.Response}} {
		if len(part.raw) > 0 {
			doc.WriteString(part.name)
			if messages.Compact(part.raw) {
				doc.Write(part.raw)
			} else if err := json.Compact(doc, part.raw); err != nil {
				return err
			}
		}
	}
	doc.WriteByte('}')
	return nil
}

func (c *codec) pack(doc []byte, at stamp, compress bool) ([]byte, error) {
	pool, level := &c.flat, gzip.NoCompression
	if compress {
		pool, level = &c.fast, gzip.BestSpeed
	}
	w, pooled := pool.Get().(*gzip.Writer)
	if !pooled {
		var err error
		if w, err = gzip.NewWriterLevel(io.Discard, level); err != nil {
			return nil, fmt.Errorf("compressing an entry of the cache: %w", err)
		}
	}
	defer pool.Put(w)
	out := c.borrow()
	defer c.giveBack(out)
	w.Reset(out)
	w.Comment = at.comment()
	_, err := w.Write(doc)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compressing an entry of the cache: %w", err)
	}
	return bytes.Clone(out.Bytes()), nil
}

// decode reads the entry of a family and key. Anything else is an error: errKey for what another key may open, errForm for the rest.
func (c *codec) decode(data []byte, family, key string) (Entry, error) {
	sealed := isSealed(data)
	switch {
	case sealed && c.seal == nil:
		return Entry{}, errKey
	case !sealed && c.seal != nil:
		return Entry{}, errForm // stored before encryption was asked for
	case sealed:
		var err error
		if data, err = c.seal.open(data, family, key); err != nil {
			return Entry{}, err
		}
	}
	doc, at, err := c.unpack(data)
	if err != nil {
		return Entry{}, errForm
	}
	var e Entry
	if json.Unmarshal(doc, &e) != nil || e.check(family, key) != nil || !at.created.Equal(e.Created) || !at.expires.Equal(e.Expires) {
		return Entry{}, errForm
	}
	return e, nil
}

// unpack reads exactly one gzip file, to its last byte.
func (c *codec) unpack(data []byte) ([]byte, stamp, error) {
	from := bytes.NewReader(data)
	r, pooled := c.read.Get().(*gzip.Reader)
	if !pooled {
		r = new(gzip.Reader)
	}
	defer c.read.Put(r)
	if err := r.Reset(from); err != nil {
		return nil, stamp{}, err
	}
	r.Multistream(false)
	at, ok := parseComment(r.Comment)
	if !ok || r.Name != "" || len(r.Extra) > 0 || !r.ModTime.IsZero() || r.OS != 255 {
		return nil, at, errForm
	}
	doc, err := io.ReadAll(io.LimitReader(r, MaxEntryBytes+1))
	switch {
	case err != nil:
		return nil, at, err
	case len(doc) > MaxEntryBytes || from.Len() > 0:
		return nil, at, errForm
	}
	return doc, at, nil
}

// headBytes are enough to peek into an entry.
const headBytes = 256

// peek reads when an entry was made and until when it counts, from its first bytes. Neither is proven.
func peek(head []byte) (stamp, bool) {
	if isSealed(head) {
		return sealedStamp(head)
	}
	const fixed, hasComment = 10, 16
	if len(head) < fixed || head[0] != 0x1f || head[1] != 0x8b || head[3] != hasComment {
		return stamp{}, false
	}
	text, _, whole := strings.Cut(string(head[fixed:]), "\x00")
	if !whole {
		return stamp{}, false
	}
	return parseComment(text)
}

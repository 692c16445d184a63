package cache

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"flowgate/messages"
)

// Version is that of the stored document. Another one is a miss.
const Version = 1

// MaxEntryBytes bounds one document, uncompressed. Larger ones are not kept.
const MaxEntryBytes = 4 << 20

// Entry is one kept answer, as its file has it. What was given to the cache or comes from it MUST NOT be changed.
type Entry struct {
	V int `json:"v"`
	// Key is the digest of what was asked, 64 hexadecimal digits; Family is the model's.
	Key    string `json:"key"`
	Family string `json:"family"`
	// Created is when the answer came; from Expires on it is none any more.
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	// Model is the exact one that was asked, Backend who answered, and Region where.
	Model   string `json:"model"`
	Backend string `json:"backend"`
	Region  string `json:"region,omitempty"`
	// Maker is the id of the request whose call answered.
	Maker string `json:"maker,omitempty"`
	// Request is what was asked and Response what came, both as the backend saw them.
	Request  json.RawMessage `json:"request,omitempty"`
	Response json.RawMessage `json:"response,omitempty"`
	Usage    messages.Usage  `json:"usage"`
	// Seconds is how long the call took, CostMicroUSD what it cost.
	Seconds      float64 `json:"time"`
	CostMicroUSD int64   `json:"cost_microusd"`
	// Recalled is what Ask.Recall made of Response; nil: nobody has asked for it.
	Recalled any `json:"-"`
}

var (
	errForm    = errors.New("no entry of the cache")
	errKey     = errors.New("encrypted with another key, or with none")
	errTooMuch = fmt.Errorf("larger than %d bytes", MaxEntryBytes)
)

var familyForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// FamilyName tells whether a family can have this name.
func FamilyName(family string) bool { return familyForm.MatchString(family) }

// named tells whether family and key can name a file: nothing else ever becomes part of a path.
func named(family, key string) bool {
	if len(key) != 64 || !familyForm.MatchString(family) {
		return false
	}
	for i := range len(key) {
		if c := key[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// check tells whether an entry is whole and the one that was looked for.
func (e *Entry) check(family, key string) error {
	switch {
	case e.V != Version, e.Key != key, e.Family != family, len(e.Response) == 0, e.Created.IsZero(), !e.Expires.After(e.Created),
		e.CostMicroUSD < 0, e.Seconds < 0, e.Usage.Input() < 0, e.Usage.Output < 0:
		return errForm
	}
	return nil
}

// future is by how much the clock of who made an answer may be ahead.
const future = 5 * time.Minute

// fresh tells whether the answer may still be used: not for longer than maxAge, where that is not 0.
func (e *Entry) fresh(now time.Time, maxAge time.Duration) bool {
	age := now.Sub(e.Created)
	return now.Before(e.Expires) && age > -future && (maxAge <= 0 || age < maxAge)
}

// size is what the entry takes in memory, in bytes, roughly.
func (e *Entry) size() int64 {
	size := int64(len(e.Request)+len(e.Response)+len(e.Model)+len(e.Backend)+len(e.Region)) + 512
	if e.Recalled != nil { // nothing larger than it was made of
		size += int64(len(e.Response))
	}
	return size
}

// digestBytes is a key's digest; nil for what is none.
func digestBytes(key string) []byte {
	raw, err := hex.DecodeString(key)
	if err != nil {
		return nil
	}
	return raw
}

package cache

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzDecode: what is read is the entry that was looked for and can be written again, or an error, never anything else.
func FuzzDecode(f *testing.F) {
	key := strings.Repeat("0123456789abcdef", 4)
	seal, err := newSealer("a secret of sixteen characters")
	if err != nil {
		f.Fatal(err)
	}
	plain, sealed := &codec{}, &codec{seal: seal}
	e := Entry{V: Version, Key: key, Family: "claude", Created: time.Unix(1, 0).UTC(), Expires: time.Unix(3601, 0).UTC(), Response: json.RawMessage(`{"text":"x"}`)}
	for _, c := range []*codec{plain, sealed} {
		for _, compress := range []bool{true, false} {
			data, err := c.encode(&e, compress)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
			f.Add(data[:len(data)/2])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		peek(data)
		for _, c := range []*codec{plain, sealed} {
			got, err := c.decode(data, "claude", key)
			if err != nil {
				continue
			}
			if got.Key != key || got.Family != "claude" || got.V != Version || !got.Expires.After(got.Created) {
				t.Fatalf("%+v", got)
			}
			again, err := c.encode(&got, true)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.decode(again, "claude", key); err != nil {
				t.Fatal(err)
			}
			if at, ok := peek(again); !ok || !at.created.Equal(got.Created) || !at.expires.Equal(got.Expires) {
				t.Fatal("the stamp is another one")
			}
		}
	})
}

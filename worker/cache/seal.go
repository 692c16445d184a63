package cache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// An encrypted entry is, one behind the other: the magic; eight bytes that name the key; when it was made and until when it counts
// (Unix nanoseconds, big endian); a random nonce of twelve bytes; the gzip file under AES-256-GCM, which also proves all that stands
// before it, and family and key of the entry, so that no file can stand in for another.

const (
	magic      = "FGCACHE1"
	nameBytes  = 8
	nonceBytes = 12
	headSealed = len(magic) + nameBytes + 16 + nonceBytes
)

// sealer encrypts with a key that is derived from a secret (RFC 5869).
type sealer struct {
	aead cipher.AEAD
	name [nameBytes]byte
}

func newSealer(secret string) (*sealer, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "flowgate cache 1 key", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of the cache: %w", err)
	}
	name, err := hkdf.Key(sha256.New, []byte(secret), nil, "flowgate cache 1 name", nameBytes)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of the cache: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making the cipher of the cache: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("making the cipher of the cache: %w", err)
	}
	return &sealer{aead: aead, name: [nameBytes]byte(name)}, nil
}

func isSealed(data []byte) bool { return len(data) >= len(magic) && string(data[:len(magic)]) == magic }

func sealedStamp(head []byte) (stamp, bool) {
	if len(head) < headSealed {
		return stamp{}, false
	}
	at := head[len(magic)+nameBytes:]
	nanoseconds := func(b []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC() } //nolint:gosec // it was written so
	return stamp{nanoseconds(at), nanoseconds(at[8:])}, true
}

// proven is what the encryption proves beside the content.
func proven(head []byte, family, key string) []byte {
	return append(append(append([]byte(nil), head...), digestBytes(key)...), family...)
}

func (s *sealer) close(packed []byte, at stamp, family, key string) ([]byte, error) {
	out := make([]byte, headSealed, headSealed+len(packed)+s.aead.Overhead())
	n := copy(out, magic)
	n += copy(out[n:], s.name[:])
	binary.BigEndian.PutUint64(out[n:], uint64(at.created.UnixNano()))   //nolint:gosec // read back the same way
	binary.BigEndian.PutUint64(out[n+8:], uint64(at.expires.UnixNano())) //nolint:gosec // read back the same way
	nonce := out[n+16 : headSealed]
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("encrypting an entry of the cache: %w", err)
	}
	return s.aead.Seal(out, nonce, packed, proven(out[:headSealed], family, key)), nil
}

func (s *sealer) open(data []byte, family, key string) ([]byte, error) {
	if len(data) < headSealed {
		return nil, errForm
	}
	head := data[:headSealed]
	if [nameBytes]byte(head[len(magic):len(magic)+nameBytes]) != s.name {
		return nil, errKey
	}
	packed, err := s.aead.Open(nil, head[headSealed-nonceBytes:], data[headSealed:], proven(head, family, key))
	if err != nil {
		return nil, errForm
	}
	return packed, nil
}

package flow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"flowgate/messages"
)

// SealBytes is the size of a seal.
const SealBytes = 32

// Seal is the secret of a deployment with which its actions prove, to layer 1, that they ask a request: it is HMAC-SHA256's key (RFC 2104).
type Seal [SealBytes]byte

// Part fills in the proof that an action, of the request part names, asks the request of that key under that trigger.
func (s Seal) Part(key messages.Key, trigger string, part messages.PartOf) *messages.PartOf {
	part.Proof = base64.RawURLEncoding.EncodeToString(s.proof(key, trigger, part))
	return &part
}

// Proves tells whether a proof is this deployment's.
func (s Seal) Proves(key messages.Key, trigger string, part messages.PartOf) bool {
	given, err := base64.RawURLEncoding.DecodeString(part.Proof)
	return err == nil && hmac.Equal(given, s.proof(key, trigger, part))
}

// proof is of what is asked by whom.
func (s Seal) proof(key messages.Key, trigger string, part messages.PartOf) []byte {
	return s.sum("part of an action", key.Tenant, key.ID, trigger, part.ID, strconv.Itoa(part.Epoch))
}

// Name is a name of 16 hexadecimal digits for texts: the same for the same, and nobody without the seal can make or guess it.
func (s Seal) Name(what string, texts ...string) string {
	return hex.EncodeToString(s.sum(append([]string{what}, texts...)...)[:8])
}

// sum is over texts with their lengths before them: no two lists give the same.
func (s Seal) sum(texts ...string) []byte {
	mac := hmac.New(sha256.New, s[:])
	for _, text := range append([]string{"flowgate"}, texts...) {
		_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text)))) // it never fails
		_, _ = mac.Write([]byte(text))
	}
	return mac.Sum(nil)
}

package backends

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// bytesPerToken and tokensPerMessage are the offline backend's declared rule of counting.
const (
	bytesPerToken    = 4
	tokensPerMessage = 4
)

const offlineRefusal = "[offline backend, no model] The request's script asked for a refusal."

// offlineWords are what the hash of a call is spelled with; their number is a power of two.
var offlineWords = [...]string{
	"amber", "basalt", "cedar", "delta", "ember", "fjord", "granite", "harbor",
	"indigo", "juniper", "kelp", "lagoon", "maple", "nectar", "onyx", "pebble",
}

// hashCall is a hash of all that the answer depends on. Every text is written with its length, so that no two calls can be
// written alike.
func hashCall(call *ai.Call) [sha256.Size]byte {
	h := sha256.New()
	number := func(n uint64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		_, _ = h.Write(b[:])
	}
	text := func(s string) {
		number(uint64(len(s)))
		_, _ = h.Write([]byte(s))
	}
	text(call.Model)
	number(math.Float64bits(call.Temperature + 0)) // -0 is 0
	number(uint64(max(call.MaxTokens, 0)))
	for i := range call.Messages {
		text(call.Messages[i].Role)
		text(call.Messages[i].Name)
		text(call.Messages[i].Content)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func shortHash(hash [sha256.Size]byte) string { return hex.EncodeToString(hash[:6]) }

func offlineText(call *ai.Call, hash [sha256.Size]byte) string {
	var words [4]string
	for i := range words {
		words[i] = offlineWords[int(hash[i])%len(offlineWords)]
	}
	count, size := len(call.Messages), contentBytes(call.Messages)
	return fmt.Sprintf(
		"[offline backend, no model] No model was asked; this text is computed and judges nothing. "+
			"Input: messages %d, bytes %d, temperature %g, max_tokens %d. Hash: %s %s.",
		count, size, call.Temperature+0, call.MaxTokens, strings.Join(words[:], " "), shortHash(hash))
}

func contentBytes(conversation []messages.Message) int {
	sum := 0
	for i := range conversation {
		sum += len(conversation[i].Content)
	}
	return sum
}

// offlineInputTokens never exceeds the bound that prices are reserved by: a token a byte, and 16 a message.
func offlineInputTokens(conversation []messages.Message) int64 {
	return tokensOf(contentBytes(conversation)) + int64(tokensPerMessage*len(conversation))
}

func tokensOf(size int) int64 { return int64((size + bytesPerToken - 1) / bytesPerToken) }

package messages

import "time"

// Version is the wire version that this build writes. It reads every version from 1 to Version.
const Version = 1

// Limits of the wire. The broker refuses what is over its own maximum before any of our code sees it (MaxRequestBytes plus
// HeaderRoom is that maximum, 1 MiB, the default of nats-server).
const (
	// MaxRequestBytes bounds one encoded request document.
	MaxRequestBytes = 1<<20 - HeaderRoom
	// HeaderRoom is what the broker's message maximum leaves for headers.
	HeaderRoom = 8 << 10
	// InlineBytes is the largest body that travels inside an envelope; larger ones go to the claim store.
	InlineBytes = 64 << 10
	// MaxParameters bounds the parameters of a request to an action.
	MaxParameters = 50
	// MaxMessages bounds the chat messages of one request.
	MaxMessages = 1000
	// MaxMetadataBytes bounds the encoded metadata of one request.
	MaxMetadataBytes = 16 << 10
	// MaxTextBytes bounds the short texts of a request: audit reason, user, department, model, trigger.
	MaxTextBytes = 1 << 10
	// MaxOutputTokens bounds max_tokens.
	MaxOutputTokens = 1_000_000
	// MalformedHead is how much of an undecodable body its dead letter keeps.
	MalformedHead = 4 << 10
	// MaxReplayReason bounds the reason that an operator gives for a replay, in bytes.
	MaxReplayReason = 1 << 10
)

// Defaults of a request that leaves them out.
const (
	DefaultMaxTokens   = 2000
	DefaultTemperature = 0.7
	// DefaultLifetime ends a request that names no not_after, counted from its submission, or from a later not_before.
	DefaultLifetime = 24 * time.Hour
	// DefaultBatchLifetime is that of a request of class batch.
	DefaultBatchLifetime = 72 * time.Hour
)

package messages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Headers of a message in the WORK stream.
const (
	// HeaderToken carries the random token of one publication.
	HeaderToken = "Flowgate-Token"
	// HeaderStatus, HeaderReason and HeaderEpoch stand on done, so that a wake-up tells how a request ended.
	HeaderStatus = "Flowgate-Status"
	HeaderReason = "Flowgate-Reason"
	HeaderEpoch  = "Flowgate-Epoch"
	// HeaderTrace is the W3C trace context.
	HeaderTrace = "traceparent"
)

// Envelope is a request on its way: what layer 1 built around it and each layer's section. Its identity (tenant, id,
// class, state, partition) stands in the subject alone.
type Envelope struct {
	V     int  `json:"v"`
	Kind  Kind `json:"kind"`
	Epoch int  `json:"epoch"`
	// N counts publications in the present layer.
	N int `json:"n"`
	P int `json:"p"`
	// Base is the WORK stream's last sequence before the admission row was read; only on what is published with no
	// state expected.
	Base uint64 `json:"base,omitempty"`
	// IngressSeq is the sequence in the ingress stream of the request or replay that this epoch comes from.
	IngressSeq uint64 `json:"ingress_seq"`

	SubmittedAt time.Time `json:"submitted_at"`
	// TraceID is the W3C trace that the epoch began in, 32 hexadecimal digits.
	TraceID string `json:"trace_id,omitempty"`
	// NotBefore parks the message; the zero time does not.
	NotBefore time.Time `json:"not_before,omitzero"`
	// NotAfter ends the request with status timeout.
	NotAfter time.Time `json:"not_after,omitzero"`

	// Request is the request's document as it came, or RequestClaim says where it is.
	Request      json.RawMessage `json:"request,omitempty"`
	RequestClaim *Claim          `json:"request_claim,omitempty"`
	// RequestSHA256 is the hexadecimal digest of the document as it came.
	RequestSHA256 string `json:"request_sha256"`
	// Malformed keeps what could not be read.
	Malformed *Malformed `json:"malformed,omitempty"`
	// Replay is set in epochs above 0.
	Replay *ReplayOrigin `json:"replay,omitempty"`

	Corporate *CorporateSection `json:"corporate_llm,omitempty"`
	AI        *AISection        `json:"ai_processing,omitempty"`
	Optimizer *OptimizerSection `json:"workflow_optimizer,omitempty"`

	// Slept is set on a hold that stands for a state whose writer slept through a purge, or may have.
	Slept *Slept `json:"slept,omitempty"`
	// Wait says why a hold waits.
	Wait Reason `json:"wait,omitempty"`
	// History has every attempt of this epoch, in order.
	History []Attempt `json:"history,omitempty"`
	// End is set on done, and on the hold that stands for it.
	End *End `json:"end,omitempty"`
}

// Slept is the state that a hold stands for until layer 1 has read the admission's row: its writer slept through a purge, or
// may have.
type Slept struct {
	// Seq is where it was published as what it is; 0: nowhere, since it is an end with no state expected.
	Seq   uint64 `json:"seq"`
	State State  `json:"state"`
}

// Claim says where a body over InlineBytes is stored.
type Claim struct {
	// Key is <tenant>/<id>/<epoch>/<sha256>.
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
	// Size is in bytes.
	Size int `json:"size"`
}

// Malformed is what a dead letter keeps of bytes that are no request.
type Malformed struct {
	SHA256 string `json:"sha256"`
	// Length is in bytes; Head has the first MalformedHead of them.
	Length int    `json:"length"`
	Head   []byte `json:"head"`
	// Subject is the subject as it came.
	Subject string `json:"subject,omitempty"`
}

// ReplayOrigin says where an epoch above 0 comes from.
type ReplayOrigin struct {
	Reason   string `json:"reason"`
	By       string `json:"by,omitempty"`
	ResumeAt State  `json:"resume_at"`
	// CarriedFrom is the epoch whose sections were carried over, with their digest.
	CarriedFrom   int    `json:"carried_from"`
	CarriedSHA256 string `json:"carried_sha256,omitempty"`
	// Edited is true where the operator gave a new request.
	Edited bool `json:"edited,omitempty"`
}

// End is how an epoch ended.
type End struct {
	Status Status `json:"status"`
	Reason Reason `json:"reason"`
	// Field and Detail say what the reason leaves open.
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Layer is where it ended.
	Layer LayerName `json:"layer"`
	// Replayable is true for failures that an operator can replay: the dead letters.
	Replayable bool `json:"replayable"`
	// CostMicroUSD is the true cost of the epoch, attempts in doubt at their bound.
	CostMicroUSD int64     `json:"cost_microusd"`
	FinishedAt   time.Time `json:"finished_at"`
	// Compliance is conformance to the configured controls; absent where there are none.
	Compliance *Compliance `json:"compliance,omitempty"`
	// RetryAt is when sending the same again has room (rate_limited).
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// Message says in one sentence what the reason means and what is special this time.
func (e *End) Message() string {
	text := Explain(e.Reason).Text
	if e.Detail == "" {
		return text
	}
	return strings.TrimSuffix(text, ".") + ": " + strings.TrimSuffix(e.Detail, ".") + "."
}

// EncodeEnvelope writes an envelope. It says Version, whatever version it was read from: what is written has this build's
// form and meaning.
func EncodeEnvelope(e *Envelope) ([]byte, error) {
	stamped := *e
	stamped.V = Version
	if data, done := encodeAround(stamped); done {
		return data, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // escaping could make a body six times as large
	if err := enc.Encode(&stamped); err != nil {
		return nil, fmt.Errorf("encoding envelope: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// PublishedAs makes an envelope ready to be published as s with S = expect and names the state that it is published as. The
// base is for publications without a state expected. None of those is an end: a family that was purged takes whatever comes
// with S = 0, and nobody receives done, who could tell by its base that its writer slept through that purge. It is published
// as hold, of which layer 1 makes done if the admission's row knows of no end.
func (e *Envelope) PublishedAs(s State, expect uint64) State {
	if expect != 0 {
		e.Base = 0
		return s
	}
	if s != StateDone {
		return s
	}
	e.Slept = &Slept{State: StateDone}
	return StateHold
}

// UnreadableEnvelope stands for bytes that are no envelope, with what of it can be read all the same: the epoch and what it
// has cost.
func UnreadableEnvelope(a Address, stored time.Time, data []byte) *Envelope {
	e := &Envelope{V: Version, Kind: KindUnknown, P: a.P, SubmittedAt: stored}
	var readable struct {
		Epoch      int       `json:"epoch"`
		IngressSeq uint64    `json:"ingress_seq"`
		History    []Attempt `json:"history"`
	}
	if err := json.Unmarshal(data, &readable); err == nil && readable.Epoch >= 0 {
		e.Epoch, e.IngressSeq, e.History = readable.Epoch, readable.IngressSeq, readable.History
	}
	return e
}

// EncodeCalling writes the body of the state calling.
func EncodeCalling(c *Calling) ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding a call: %w", err)
	}
	return data, nil
}

// EpochOf reads the epoch of a state's body: an envelope's or a call's.
func EpochOf(body []byte) (int, error) {
	var at struct {
		Epoch int `json:"epoch"`
	}
	if err := json.Unmarshal(body, &at); err != nil {
		return 0, fmt.Errorf("reading the epoch of a state: %w", err)
	}
	return at.Epoch, nil
}

// Newer tells whether a newer version of flowgate wrote a document of ours. Its fields may have meanings that this build does
// not know: it MUST be left to whoever does.
func Newer(data []byte) bool {
	var version struct {
		V int `json:"v"`
	}
	return json.Unmarshal(data, &version) == nil && version.V > Version
}

// DecodeEnvelope reads an envelope of any version from 1 to Version. Unknown fields are kept out, not refused, so that two
// versions can share a stream during an upgrade. Errors are *FieldErrors.
func DecodeEnvelope(data []byte) (*Envelope, error) {
	e := new(Envelope)
	if err := decodeOwn(data, e, &e.V); err != nil {
		return nil, err
	}
	return e, nil
}

// Calling is the body of the state calling: bytes may have reached a backend. The request itself is in the input that
// stays unacknowledged.
type Calling struct {
	V     int `json:"v"`
	Epoch int `json:"epoch"`
	// InputSeq is the sequence of the ai message that this call is for.
	InputSeq uint64 `json:"input_seq"`
	// Worker names the process that makes the call.
	Worker string `json:"worker"`
	// Attempt is the call's entry as it will stand in the history, without an end.
	Attempt Attempt `json:"attempt"`
	// History are the attempts of the epoch before this one, for whoever takes over.
	History []Attempt `json:"history,omitempty"`
}

// DecodeCalling reads the body of the state calling. Errors are *FieldErrors.
func DecodeCalling(data []byte) (Calling, error) {
	var c Calling
	err := decodeOwn(data, &c, &c.V)
	return c, err
}

// NewMalformed keeps what a dead letter shows of bytes that could not be read.
func NewMalformed(subject string, data []byte) *Malformed {
	sum := sha256.Sum256(data)
	return &Malformed{
		SHA256: hex.EncodeToString(sum[:]), Length: len(data),
		Head: bytes.Clone(data[:min(len(data), MalformedHead)]), Subject: clip(subject),
	}
}

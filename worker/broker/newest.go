package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readTimeout bounds one read where the caller's context has no deadline.
const readTimeout = 5 * time.Second

// codeNoMessage is the JetStream API's "no message found".
const codeNoMessage = 10037

// Message is one message as a stream has it.
type Message struct {
	Subject string
	Seq     uint64
	Header  nats.Header
	Data    []byte
	// Time is when the stream's leader stored it.
	Time time.Time
}

// Newest reads the newest message of a stream whose subject matches the family (wildcards are allowed), from the stream's
// leader, so that it is never older than what any writer was told. After a refused expectation (10071) "not found" may
// pass: read again with backoff.
func Newest(ctx context.Context, js jetstream.JetStream, stream, family string) (Message, bool, error) {
	return read(ctx, js, stream, query{LastBySubject: family})
}

// Get reads one message by its sequence from the stream's leader; not found: it was never there or is purged.
func Get(ctx context.Context, js jetstream.JetStream, stream string, seq uint64) (Message, bool, error) {
	if seq == 0 {
		return Message{}, false, nil
	}
	return read(ctx, js, stream, query{Seq: seq})
}

// Next reads the first message at or above a sequence whose subject matches the filter, from the stream's leader.
func Next(ctx context.Context, js jetstream.JetStream, stream string, seq uint64, filter string) (Message, bool, error) {
	return read(ctx, js, stream, query{Seq: max(seq, 1), NextBySubject: filter, NoHeaders: true})
}

// LastSequence tells a stream's last and first sequence and when it was created, from its leader. An empty stream's first
// sequence is its last plus one.
func LastSequence(ctx context.Context, js jetstream.JetStream, stream string) (last, first uint64, created time.Time, err error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, 0, time.Time{}, fmt.Errorf("reading the state of stream %s: %w", stream, err)
	}
	info := s.CachedInfo()
	return info.State.LastSeq, info.State.FirstSeq, info.Created, nil
}

// query is a request of the JetStream API STREAM.MSG.GET, which a stream's leader alone answers.
type query struct {
	Seq           uint64 `json:"seq,omitempty"`
	LastBySubject string `json:"last_by_subj,omitempty"`
	NextBySubject string `json:"next_by_subj,omitempty"`
	NoHeaders     bool   `json:"no_hdr,omitempty"`
	// StartTime begins at the first message that was stored then or later.
	StartTime *time.Time `json:"start_time,omitempty"`
}

// stored is the answer to a query.
type stored struct {
	Error   *jetstream.APIError `json:"error"`
	Message *struct {
		Subject string    `json:"subject"`
		Seq     uint64    `json:"seq"`
		Header  []byte    `json:"hdrs"`
		Data    []byte    `json:"data"`
		Time    time.Time `json:"time"`
	} `json:"message"`
}

func read(ctx context.Context, js jetstream.JetStream, stream string, q query) (Message, bool, error) {
	ctx, cancel := bounded(ctx, readTimeout)
	defer cancel()
	body, err := json.Marshal(q)
	if err != nil {
		return Message{}, false, fmt.Errorf("asking stream %s: %w", stream, err)
	}
	answer, err := js.Conn().RequestWithContext(ctx, apiPrefix(js)+"STREAM.MSG.GET."+stream, body)
	if err != nil {
		return Message{}, false, fmt.Errorf("asking stream %s: %w", stream, err)
	}
	var s stored
	if err := json.Unmarshal(answer.Data, &s); err != nil {
		return Message{}, false, fmt.Errorf("reading the answer of stream %s: %w", stream, err)
	}
	return s.message(stream)
}

func (s stored) message(stream string) (Message, bool, error) {
	switch {
	case s.Error != nil && s.Error.ErrorCode == codeNoMessage:
		return Message{}, false, nil
	case s.Error != nil:
		return Message{}, false, fmt.Errorf("asking stream %s: %w", stream, s.Error)
	case s.Message == nil:
		return Message{}, false, fmt.Errorf("reading the answer of stream %s: it has neither message nor error", stream)
	}
	m := Message{Subject: s.Message.Subject, Seq: s.Message.Seq, Data: s.Message.Data, Time: s.Message.Time}
	if len(s.Message.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(s.Message.Header)
		if err != nil {
			return Message{}, false, fmt.Errorf("reading the headers of message %d of stream %s: %w", m.Seq, stream, err)
		}
		m.Header = h
	}
	return m, true, nil
}

// apiPrefix is what subjects of the JetStream API begin with on this connection.
func apiPrefix(js jetstream.JetStream) string {
	o := js.Options()
	switch {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
}

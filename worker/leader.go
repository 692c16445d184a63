package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
)

// Leader reads streams from their leader: never by direct get, which a lagging follower may answer.
type Leader struct {
	JS jetstream.JetStream
	// Timeout bounds one question (default 5 s).
	Timeout time.Duration
}

// Message is one message as a stream has it.
type Message struct {
	Subject string
	Seq     uint64
	Header  nats.Header
	Data    []byte
	// Time is when the stream's leader stored it.
	Time time.Time
}

// Newest is the newest state of a family.
type Newest struct {
	messages.Address
	Message
}

// Token is the random token of the publication.
func (n *Newest) Token() string { return n.Header.Get(messages.HeaderToken) }

// WorkStream names the WORK stream of a partition.
func WorkStream(p int) string { return fmt.Sprintf("FLOWGATE_WORK_%d", p) }

// Names of the other streams.
const (
	IngressStream = "FLOWGATE_INGRESS"
	EventsStream  = "FLOWGATE_EVENTS"
)

// Newest reads the newest state of a request; found is false where the family is empty. After a refused expectation (10071)
// "not found" may pass: read again with backoff.
func (l *Leader) Newest(ctx context.Context, p int, key messages.Key) (n *Newest, found bool, err error) {
	return l.newest(ctx, WorkStream(p), messages.Family(p, key))
}

// Submitted reads a request that still stands in the ingress stream.
func (l *Leader) Submitted(ctx context.Context, key messages.Key) (n *Newest, found bool, err error) {
	for _, class := range messages.Classes() {
		n, found, err = l.newest(ctx, IngressStream, messages.RequestSubject(class, key))
		if found || err != nil {
			return n, found, err
		}
	}
	return nil, false, nil
}

func (l *Leader) newest(ctx context.Context, stream, subject string) (*Newest, bool, error) {
	m, found, err := l.Last(ctx, stream, subject)
	if err != nil || !found {
		return nil, false, err
	}
	n := &Newest{Message: m}
	n.Address, err = messages.ParseSubject(m.Subject)
	return n, err == nil, err
}

// Last reads the newest message of a stream whose subject matches (wildcards are allowed), so that it is never older than
// what any writer was told.
func (l *Leader) Last(ctx context.Context, stream, subject string) (Message, bool, error) {
	return l.read(ctx, stream, query{LastBySubject: subject})
}

// Get reads one message by its sequence; not found: it was never there or is purged.
func (l *Leader) Get(ctx context.Context, stream string, seq uint64) (Message, bool, error) {
	if seq == 0 {
		return Message{}, false, nil
	}
	return l.read(ctx, stream, query{Seq: seq})
}

// Next reads the first message at or above a sequence whose subject matches the filter, without its headers.
func (l *Leader) Next(ctx context.Context, stream string, seq uint64, filter string) (Message, bool, error) {
	return l.read(ctx, stream, query{Seq: max(seq, 1), NextBySubject: filter, NoHeaders: true})
}

// Since reads the first message that was stored at a time or later, without its headers. The server searches by itself.
func (l *Leader) Since(ctx context.Context, stream string, at time.Time) (Message, bool, error) {
	return l.read(ctx, stream, query{StartTime: &at, NextBySubject: ">", NoHeaders: true})
}

// Bounds are a stream's first and last sequence and when it was created. An empty stream's first is its last plus one.
type Bounds struct {
	First, Last uint64
	Created     time.Time
	// Now is what the server's clock said.
	Now time.Time
}

// Incarnation names one life of a stream by its creation time.
func (b Bounds) Incarnation() string { return b.Created.UTC().Format(time.RFC3339Nano) }

// ErrLeaderless says that a stream has no leader right now: whoever answers for it may lag behind what was acknowledged.
var ErrLeaderless = errors.New("it has no leader right now")

// Bounds asks for a stream's bounds. While a cluster elects a leader every server answers for itself; that is ErrLeaderless.
func (l *Leader) Bounds(ctx context.Context, stream string) (Bounds, error) {
	var reply struct {
		Error   *jetstream.APIError `json:"error"`
		Created time.Time           `json:"created"`
		Now     time.Time           `json:"ts"`
		State   struct {
			First uint64 `json:"first_seq"`
			Last  uint64 `json:"last_seq"`
		} `json:"state"`
		Cluster *struct {
			Leader string `json:"leader"`
		} `json:"cluster"` // of a server that is in none: not there
	}
	err := l.Ask(ctx, "STREAM.INFO."+stream, nil, &reply)
	switch {
	case err != nil:
	case reply.Error != nil:
		err = reply.Error
	case reply.Cluster != nil && reply.Cluster.Leader == "":
		err = ErrLeaderless
	}
	if err != nil {
		return Bounds{}, fmt.Errorf("reading the bounds of stream %s: %w", stream, err)
	}
	return Bounds{First: reply.State.First, Last: reply.State.Last, Created: reply.Created, Now: reply.Now}, nil
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

// codeNoMessage is the JetStream API's "no message found".
const codeNoMessage jetstream.ErrorCode = 10037

func (l *Leader) read(ctx context.Context, stream string, q query) (Message, bool, error) {
	var s stored
	if err := l.Ask(ctx, "STREAM.MSG.GET."+stream, q, &s); err != nil {
		return Message{}, false, fmt.Errorf("reading from stream %s: %w", stream, err)
	}
	switch {
	case s.Error != nil && s.Error.ErrorCode == codeNoMessage:
		return Message{}, false, nil
	case s.Error != nil:
		return Message{}, false, fmt.Errorf("reading from stream %s: %w", stream, s.Error)
	case s.Message == nil:
		return Message{}, false, fmt.Errorf("reading from stream %s: the answer has neither message nor error", stream)
	}
	m := Message{Subject: s.Message.Subject, Seq: s.Message.Seq, Data: s.Message.Data, Time: s.Message.Time}
	if len(s.Message.Header) > 0 {
		header, err := nats.DecodeHeadersMsg(s.Message.Header)
		if err != nil {
			return Message{}, false, fmt.Errorf("reading the headers of message %d of stream %s: %w", m.Seq, stream, err)
		}
		m.Header = header
	}
	return m, true, nil
}

// Ask asks the JetStream API, such as "STREAM.INFO.NAME"; an error in the answer is the caller's to read.
func (l *Leader) Ask(ctx context.Context, call string, question, reply any) error {
	var body []byte
	if question != nil {
		var err error
		if body, err = json.Marshal(question); err != nil {
			return fmt.Errorf("encoding a question: %w", err)
		}
	}
	timeout := l.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := l.JS.Conn().RequestWithContext(ctx, apiPrefix(l.JS)+call, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer.Data, reply); err != nil {
		return fmt.Errorf("decoding the answer: %w", err)
	}
	return nil
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

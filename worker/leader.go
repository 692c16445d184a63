package worker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
)

// Leader reads streams from their leader: never by direct get, which a lagging follower may answer.
type Leader struct {
	Conn *nats.Conn
	// Timeout bounds one question.
	Timeout time.Duration
}

// Newest is the newest state of a family.
type Newest struct {
	messages.Address

	Seq    uint64
	Header nats.Header
	Data   []byte
	Time   time.Time
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

// Newest reads the newest state of a request; found is false where the family is empty.
func (l *Leader) Newest(ctx context.Context, p int, key messages.Key) (n *Newest, found bool, err error) {
	return l.last(ctx, WorkStream(p), messages.Family(p, key))
}

// Submitted reads a request that still stands in the ingress stream.
func (l *Leader) Submitted(ctx context.Context, key messages.Key) (n *Newest, found bool, err error) {
	for _, class := range messages.Classes() {
		n, found, err = l.last(ctx, IngressStream, messages.RequestSubject(class, key))
		if found || err != nil {
			return n, found, err
		}
	}
	return nil, false, nil
}

func (l *Leader) last(ctx context.Context, stream, subject string) (*Newest, bool, error) {
	var reply struct {
		Error   *apiError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Hdrs    string    `json:"hdrs"`
			Data    string    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	question := map[string]string{"last_by_subj": subject}
	if err := l.ask(ctx, "$JS.API.STREAM.MSG.GET."+stream, question, &reply); err != nil {
		return nil, false, fmt.Errorf("reading the newest state of %s: %w", subject, err)
	}
	if reply.Error != nil {
		if reply.Error.Code == 404 && reply.Error.ErrCode == codeNoMessage {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("reading the newest state of %s: %w", subject, reply.Error)
	}
	if reply.Message == nil {
		return nil, false, fmt.Errorf("reading the newest state of %s: empty answer", subject)
	}
	m := reply.Message
	n := &Newest{Seq: m.Seq, Time: m.Time}
	var err error
	if n.Data, err = base64.StdEncoding.DecodeString(m.Data); err != nil {
		return nil, false, fmt.Errorf("reading the newest state of %s: %w", subject, err)
	}
	raw, err := base64.StdEncoding.DecodeString(m.Hdrs)
	if err != nil {
		return nil, false, fmt.Errorf("reading the newest state of %s: %w", subject, err)
	}
	if len(raw) > 0 {
		if n.Header, err = nats.DecodeHeadersMsg(raw); err != nil {
			return nil, false, fmt.Errorf("reading the newest state of %s: %w", subject, err)
		}
	}
	if n.Address, err = messages.ParseSubject(m.Subject); err != nil {
		return nil, false, err
	}
	return n, true, nil
}

// Bounds are a stream's first and last sequence.
type Bounds struct {
	First, Last uint64
	Created     time.Time
}

// Bounds asks for a stream's bounds.
func (l *Leader) Bounds(ctx context.Context, stream string) (Bounds, error) {
	var reply struct {
		Error   *apiError `json:"error"`
		Created time.Time `json:"created"`
		State   struct {
			First uint64 `json:"first_seq"`
			Last  uint64 `json:"last_seq"`
		} `json:"state"`
	}
	if err := l.ask(ctx, "$JS.API.STREAM.INFO."+stream, nil, &reply); err != nil {
		return Bounds{}, fmt.Errorf("reading the bounds of %s: %w", stream, err)
	}
	if reply.Error != nil {
		return Bounds{}, fmt.Errorf("reading the bounds of %s: %w", stream, reply.Error)
	}
	return Bounds{First: reply.State.First, Last: reply.State.Last, Created: reply.Created}, nil
}

// Incarnation names one life of a stream by its creation time.
func (b Bounds) Incarnation() string { return b.Created.UTC().Format(time.RFC3339Nano) }

const codeNoMessage = 10037

type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

func (l *Leader) ask(ctx context.Context, subject string, question, reply any) error {
	var body []byte
	if question != nil {
		var err error
		if body, err = json.Marshal(question); err != nil {
			return fmt.Errorf("encoding a question: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout())
	defer cancel()
	msg, err := l.Conn.RequestWithContext(ctx, subject, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(msg.Data, reply); err != nil {
		return errors.Join(errors.New("undecodable answer"), err)
	}
	return nil
}

func (l *Leader) timeout() time.Duration {
	if l.Timeout <= 0 {
		return 5 * time.Second
	}
	return l.Timeout
}

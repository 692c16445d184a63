package postgres

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"flowgate/worker"
)

// intentArrays are the parameters of flowgate.record_intents.
type intentArrays struct {
	tenant, id, class, kind, user, department, model, audit, price, policy, names []string

	epoch, p, refs                []int32
	seq, ingress, bound, reserved []int64
	at                            []time.Time
	submitted                     []*time.Time
	sha                           [][]byte
}

func (a *intentArrays) add(in *worker.Intent) {
	c := &in.Corporate
	a.tenant, a.id, a.class = append(a.tenant, in.Tenant), append(a.id, in.ID), append(a.class, string(in.Class))
	a.epoch, a.p = append(a.epoch, int32(in.Epoch)), append(a.p, int32(in.P))                //nolint:gosec // small
	a.seq, a.ingress = append(a.seq, int64(in.Seq)), append(a.ingress, int64(in.IngressSeq)) //nolint:gosec // sequences
	a.at, a.submitted = append(a.at, in.At), append(a.submitted, orNull(in.SubmittedAt))
	a.sha, a.kind = append(a.sha, digest(in.RequestSHA256)), append(a.kind, string(in.Kind))
	a.user, a.department = append(a.user, clean(c.UserID)), append(a.department, clean(c.Department))
	a.model, a.audit = append(a.model, clean(c.Model)), append(a.audit, clean(c.AuditReason))
	a.price, a.policy = append(a.price, clean(c.PriceVersion)), append(a.policy, clean(c.PolicyVersion))
	a.bound, a.reserved = append(a.bound, c.BoundMicroUSD), append(a.reserved, c.ReservedMicroUSD)
	a.names = append(a.names, c.Scopes...)
	a.refs = append(a.refs, int32(len(a.names))) //nolint:gosec // bounded by the batch
}

func (a *intentArrays) args() []any {
	return []any{
		a.tenant, a.id, a.epoch, a.class, a.p, a.seq, a.at, a.ingress, a.sha, a.kind, a.submitted, a.user, a.department,
		a.model, a.audit, a.price, a.policy, a.bound, a.reserved, a.refs, filled(a.names),
	}
}

// eventArrays are the parameters of flowgate.record_events.
type eventArrays struct {
	seq                                    []int64
	stored                                 []time.Time
	at                                     []*time.Time
	epoch                                  []int32
	kind, tenant, id, worker, detail, body []string
}

func (a *eventArrays) add(e *worker.EventRecord) {
	body, err := json.Marshal(e.Event)
	if err != nil { // no event that was decoded can have this
		body = []byte("null")
	}
	a.row(e.Seq, e.At, e.Event.At, e.Epoch, string(e.Kind), e.Tenant, e.ID)
	a.worker, a.detail, a.body = append(a.worker, clean(e.Worker)), append(a.detail, clean(e.Detail)), append(a.body, clean(string(body)))
}

func (a *eventArrays) addSecond(o *worker.Outcome) {
	a.row(o.Seq, o.At, o.End.FinishedAt, o.Epoch, eventSecond, o.Tenant, o.ID)
	a.worker, a.body = append(a.worker, ""), append(a.body, "null")
	a.detail = append(a.detail, string(o.End.Status)+": "+clean(string(o.End.Reason)))
}

func (a *eventArrays) row(seq uint64, stored, at time.Time, epoch int, kind, tenant, id string) {
	a.seq, a.stored, a.at = append(a.seq, int64(seq)), append(a.stored, stored), append(a.at, orNull(at)) //nolint:gosec // a sequence
	a.epoch, a.kind = append(a.epoch, int32(epoch)), append(a.kind, clean(kind))                          //nolint:gosec // small
	a.tenant, a.id = append(a.tenant, clean(tenant)), append(a.id, clean(id))
}

func (a *eventArrays) args(stream string) []any {
	return []any{stream, a.seq, a.stored, a.at, a.epoch, a.kind, a.tenant, a.id, a.worker, a.detail, a.body}
}

// clean makes text that Postgres stores: UTF-8 without zero bytes, each fault replaced by U+FFFD.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

// digest reads a hexadecimal digest; anything else is kept as its bytes.
func digest(s string) []byte {
	sum, err := hex.DecodeString(s)
	if err != nil {
		return []byte(s)
	}
	return sum
}

// quoted is s where it is JSON, else s as a JSON string.
func quoted(s string) string {
	if s == "" || json.Valid([]byte(s)) {
		return s
	}
	q, err := json.Marshal(s)
	if err != nil { // strings always have an encoding
		return "null"
	}
	return string(q)
}

// filled is s, never nil: an empty array instead of NULL.
func filled[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

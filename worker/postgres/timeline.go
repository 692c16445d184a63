package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
)

// Timeline is everything that is recorded about a request.
type Timeline struct {
	messages.Key

	Epochs []EpochTimeline `json:"epochs"`
	// Events are those of no epoch that is known.
	Events []Event `json:"events,omitempty"`
}

// EpochTimeline is everything that is recorded about one epoch.
type EpochTimeline struct {
	Epoch      int             `json:"epoch"`
	Admission  *Admission      `json:"admission,omitempty"`
	Intent     *Intent         `json:"intent,omitempty"`
	Attempts   []Attempt       `json:"attempts,omitempty"`
	Outcome    *Outcome        `json:"outcome,omitempty"`
	Layers     []OutcomeLayer  `json:"layers,omitempty"`
	DeadLetter *DeadLetterInfo `json:"dead_letter,omitempty"`
	Events     []Event         `json:"events,omitempty"`
	// Steps are all of these in one line each, in order of time.
	Steps []Step `json:"steps"`
}

// Step is one line of a timeline.
type Step struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	Text string    `json:"text,omitempty"`
	// Layer is whose record it is, and Reason the one that it has; empty where it has none.
	Layer  string `json:"layer,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Stream and Seq are where the message stands that the record is of; empty and 0 of what has none of its own.
	Stream string `json:"stream,omitempty"`
	Seq    int64  `json:"seq,omitempty"`
}

// Admission is the first decision on an epoch.
type Admission struct {
	Epoch         int        `json:"epoch"`
	State         string     `json:"state"`
	Reason        string     `json:"reason,omitempty"`
	Class         string     `json:"class"`
	P             int        `json:"p"`
	AdmittedAt    time.Time  `json:"admitted_at"`
	DecidedAt     time.Time  `json:"decided_at"`
	IngressStream string     `json:"ingress_stream"`
	IngressSeq    int64      `json:"ingress_seq"`
	RequestSHA256 string     `json:"request_sha256"`
	Reserved      int64      `json:"reserved_microusd"`
	Scopes        []string   `json:"scopes,omitempty"`
	IntentSeq     *int64     `json:"intent_seq,omitempty"`
	OutcomeSeq    *int64     `json:"outcome_seq,omitempty"`
	OutcomeAt     *time.Time `json:"outcome_at,omitempty"`
}

// Intent is what was on record before any byte reached a model.
type Intent struct {
	Epoch         int        `json:"epoch"`
	Seq           int64      `json:"seq"`
	StoredAt      time.Time  `json:"stored_at"`
	SubmittedAt   *time.Time `json:"submitted_at,omitempty"`
	Kind          string     `json:"kind"`
	UserID        string     `json:"user_id"`
	Department    string     `json:"department"`
	Model         string     `json:"model,omitempty"`
	AuditReason   string     `json:"audit_reason"`
	Bound         int64      `json:"bound_microusd"`
	Reserved      int64      `json:"reserved_microusd"`
	PriceVersion  string     `json:"price_version,omitempty"`
	PolicyVersion string     `json:"policy_version"`
	RequestSHA256 string     `json:"request_sha256"`
}

// Attempt is one try at a backend with what it is charged.
type Attempt struct {
	Epoch      int       `json:"epoch"`
	K          int       `json:"k"`
	At         time.Time `json:"at"`
	DurationMS int64     `json:"duration_ms"`
	Backend    string    `json:"backend"`
	Model      string    `json:"model"`
	Class      string    `json:"class,omitempty"`
	// Code and Detail are what the backend said, once the epoch has ended.
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Billing is known, none, in_doubt, or calling while nothing but the call's start is recorded.
	Billing string `json:"billing"`
	Bound   int64  `json:"bound_microusd"`
	Charged int64  `json:"charged_microusd"`
	Cost    *int64 `json:"cost_microusd,omitempty"`
	// Stated is what the outcome says of it; null where the outcome does not list it.
	Stated *int64 `json:"stated_microusd,omitempty"`
}

// OutcomeLayer is a layer's section of an outcome.
type OutcomeLayer struct {
	Epoch      int             `json:"epoch"`
	Layer      string          `json:"layer"`
	Verdict    string          `json:"verdict"`
	Reason     *string         `json:"reason,omitempty"`
	StartedAt  *time.Time      `json:"started_at,omitempty"`
	FinishedAt *time.Time      `json:"finished_at,omitempty"`
	Section    json.RawMessage `json:"section"`
}

// DeadLetterInfo tells that an epoch has a dead letter.
type DeadLetterInfo struct {
	Epoch    int       `json:"epoch"`
	StoredAt time.Time `json:"stored_at"`
	Bytes    int       `json:"bytes"`
}

// Event is something recorded beside the states of a request.
type Event struct {
	Epoch    int        `json:"epoch"`
	Kind     string     `json:"kind"`
	StoredAt time.Time  `json:"stored_at"`
	At       *time.Time `json:"at,omitempty"`
	Stream   string     `json:"stream"`
	Seq      int64      `json:"seq"`
	Worker   string     `json:"worker,omitempty"`
	Detail   string     `json:"detail,omitempty"`
}

// Each has the key as its parameters and is ordered by epoch, then time.
const (
	admissionsSQL = `SELECT epoch, state, reason, class, p, admitted_at, decided_at, ingress_stream, ingress_seq,
encode(request_sha256, 'hex') AS request_sha256, reserved,
ARRAY(SELECT s.name FROM scope s WHERE s.id = ANY (a.scopes) ORDER BY s.name) AS scopes, intent_seq, outcome_seq, outcome_at
FROM admission a WHERE tenant = $1 AND id = $2 ORDER BY epoch`
	intentsOfSQL = `SELECT epoch, seq, stored_at, submitted_at, kind, user_id, department, model, audit_reason, bound, reserved,
price_version, policy_version, encode(request_sha256, 'hex') AS request_sha256
FROM intent WHERE tenant = $1 AND id = $2 ORDER BY epoch`
	attemptsOfSQL = `SELECT a.epoch, a.k, a.at, a.duration_ms, a.backend, a.model, a.class, coalesce(h.code, '') AS code, coalesce(h.detail, '') AS detail,
a.billing, a.bound, a.charged, a.cost, a.stated
FROM attempt a LEFT JOIN LATERAL (
    SELECT e ->> 'code' AS code, e ->> 'detail' AS detail FROM outcome o, json_array_elements(o.sections -> 'history') AS e
    WHERE o.tenant = a.tenant AND o.id = a.id AND o.epoch = a.epoch AND e ->> 'k' = a.k::text LIMIT 1
) h ON true
WHERE a.tenant = $1 AND a.id = $2 ORDER BY a.epoch, a.k`
	outcomesOfSQL = `SELECT ` + outcomeColumns + ` FROM outcome o WHERE o.tenant = $1 AND o.id = $2 ORDER BY o.epoch`
	layersOfSQL   = `SELECT epoch, layer, coalesce(verdict, '') AS verdict, reason, started_at, finished_at, section
FROM outcome_layer WHERE tenant = $1 AND id = $2 ORDER BY epoch`
	lettersOfSQL = `SELECT epoch, stored_at, octet_length(body) AS bytes FROM dead_letter WHERE tenant = $1 AND id = $2 ORDER BY epoch`
	eventsOfSQL  = `SELECT epoch, kind, stored_at, at, stream, seq, worker, detail FROM event
WHERE tenant = $1 AND id = $2 AND id <> '' ORDER BY epoch, stored_at`
)

// Timeline reads everything that is recorded about a request, or gives worker.ErrNotFound.
func (db *DB) Timeline(ctx context.Context, key messages.Key) (Timeline, error) {
	b := timelineBuilder{epochs: make(map[int]*EpochTimeline)}
	err := db.snapshot(ctx, func(tx pgx.Tx) error { return b.read(ctx, tx, key) })
	if err == nil && len(b.epochs) == 0 && len(b.events) == 0 {
		err = worker.ErrNotFound
	}
	if err != nil {
		return Timeline{}, fmt.Errorf("reading the timeline of %s: %w", key, err)
	}
	return b.timeline(key), nil
}

type timelineBuilder struct {
	epochs map[int]*EpochTimeline
	events []Event
}

func (b *timelineBuilder) epoch(n int) *EpochTimeline {
	e := b.epochs[n]
	if e == nil {
		e = &EpochTimeline{Epoch: n}
		b.epochs[n] = e
	}
	return e
}

func (b *timelineBuilder) read(ctx context.Context, tx pgx.Tx, key messages.Key) error {
	return firstFault(
		func() error {
			return each(ctx, tx, key, admissionsSQL, func(r Admission) { b.epoch(r.Epoch).Admission = &r })
		},
		func() error { return each(ctx, tx, key, intentsOfSQL, func(r Intent) { b.epoch(r.Epoch).Intent = &r }) },
		func() error {
			return each(ctx, tx, key, attemptsOfSQL, func(r Attempt) { e := b.epoch(r.Epoch); e.Attempts = append(e.Attempts, r) })
		},
		func() error {
			return each(ctx, tx, key, outcomesOfSQL, func(r Outcome) { b.epoch(r.Epoch).Outcome = &r })
		},
		func() error {
			return each(ctx, tx, key, layersOfSQL, func(r OutcomeLayer) { e := b.epoch(r.Epoch); e.Layers = append(e.Layers, r) })
		},
		func() error {
			return each(ctx, tx, key, lettersOfSQL, func(r DeadLetterInfo) { b.epoch(r.Epoch).DeadLetter = &r })
		},
		func() error { return each(ctx, tx, key, eventsOfSQL, func(r Event) { b.events = append(b.events, r) }) },
	)
}

// firstFault does the steps in order until one fails.
func firstFault(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func each[T any](ctx context.Context, tx pgx.Tx, key messages.Key, sql string, take func(T)) error {
	rows, err := tx.Query(ctx, sql, key.Tenant, key.ID)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
	for i := range all {
		take(all[i])
	}
	return err
}

func (b *timelineBuilder) timeline(key messages.Key) Timeline {
	t := Timeline{Key: key, Epochs: make([]EpochTimeline, 0, len(b.epochs))}
	for _, event := range b.events {
		if e := b.epochs[event.Epoch]; e != nil {
			e.Events = append(e.Events, event)
		} else {
			t.Events = append(t.Events, event)
		}
	}
	for _, e := range b.epochs {
		e.Steps = e.steps()
		t.Epochs = append(t.Epochs, *e)
	}
	slices.SortFunc(t.Epochs, func(x, y EpochTimeline) int { return x.Epoch - y.Epoch })
	return t
}

// snapshot reads several times from one state of the database.
func (db *DB) snapshot(ctx context.Context, read func(pgx.Tx) error) error {
	return db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, read)
	})
}

// shortDigest is how much of a digest a line shows.
func shortDigest(hexadecimal string) string {
	const most = 12
	if _, err := hex.DecodeString(hexadecimal); err != nil || len(hexadecimal) <= most {
		return hexadecimal
	}
	return hexadecimal[:most]
}

package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
)

const (
	beginSQL   = `SELECT record_begin($1, $2, $3, $4, $5, $6, $7)`
	intentsSQL = `SELECT record_intents($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`
	returnSQL  = `SELECT return_tokens($1, $2, $3, $4, $5, $6)`
	eventsSQL  = `SELECT record_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
)

// Position implements worker.RecordStore.
func (db *DB) Position(ctx context.Context, stream string) (worker.Position, error) {
	position := worker.Position{Stream: stream}
	err := db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT incarnation, seq, stored_ns FROM recorder_position WHERE stream = $1", stream).
			Scan(&position.Incarnation, &position.Seq, &position.StoredNS)
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return worker.Position{}, fmt.Errorf("reading the recorder's position in %s: %w", stream, err)
	}
	return position, nil
}

// Commit implements worker.RecordStore. Its statements go out together and are one transaction; each works on whole arrays.
// A document that is no JSON is kept as a JSON string rather than holding up the stream.
func (db *DB) Commit(ctx context.Context, batch worker.RecordBatch) (worker.Committed, error) {
	r := newRecords(&batch)
	var committed worker.Committed
	commit := func() (err error) {
		committed, err = db.commitOnce(ctx, r)
		return err
	}
	err := withRetries(ctx, commit)
	if state := sqlState(err); state == stateBadText || state == stateBadJSON {
		r.quoteBadJSON()
		err = withRetries(ctx, commit)
	}
	if sqlState(err) == statePosition {
		return worker.Committed{}, fmt.Errorf("recording %s after %d: %w", batch.To.Stream, batch.From.Seq, worker.ErrPositionMoved)
	}
	if err != nil {
		return worker.Committed{}, fmt.Errorf("recording %s from %d to %d: %w", batch.To.Stream, batch.From.Seq, batch.To.Seq, err)
	}
	return committed, nil
}

func (db *DB) commitOnce(ctx context.Context, r *records) (worker.Committed, error) {
	committed := worker.Committed{Second: r.repeated()}
	var b pgx.Batch
	from, to := r.batch.From, r.batch.To
	b.Queue(beginSQL, to.Stream, from.Incarnation, int64(from.Seq), to.Incarnation, int64(to.Seq), int64(r.batch.GapTo), to.StoredNS) //nolint:gosec // sequences
	if len(r.intents.id) > 0 {
		b.Queue(intentsSQL, r.intents.args()...)
	}
	if len(r.events.seq) > 0 {
		b.Queue(eventsSQL, r.events.args(to.Stream)...)
	}
	if len(r.correlations.id) > 0 {
		b.Queue(correlationsSQL, r.correlations.args()...)
	}
	if len(r.alerts.seq) > 0 {
		b.Queue(alertsSQL, r.alerts.args(to.Stream)...)
	}
	if len(r.outcomes.id) > 0 || len(r.attempts.id) > 0 {
		b.Queue(outcomesSQL, append(append([]any{to.Stream}, r.attempts.args()...), r.outcomes.args()...)...).
			QueryRow(func(row pgx.Row) error {
				var news []int32
				if err := row.Scan(&news, &committed.Freed); err != nil {
					return err
				}
				for i, n := range news {
					if n == newsSecond {
						committed.Second = append(committed.Second, messages.Key{Tenant: r.outcomes.tenant[i], ID: r.outcomes.id[i]})
					}
				}
				return nil
			})
	}
	if len(r.returned.id) > 0 {
		b.Queue(returnSQL, r.returned.args()...).QueryRow(func(row pgx.Row) error {
			var freed []string
			err := row.Scan(&freed)
			committed.Freed = append(committed.Freed, freed...)
			return err
		})
	}
	err := db.pool.with(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.SendBatch(ctx, &b).Close() })
	return committed, err
}

// records is a batch as arrays.
type records struct {
	batch    *worker.RecordBatch
	intents  intentArrays
	attempts attemptArrays
	outcomes outcomeArrays
	returned returnArrays
	events   eventArrays
	alerts   alertArrays
	// correlations are of intents and outcomes alike: of what was refused there is no intent.
	correlations correlationArrays
}

// epochKey names one epoch of a request.
type epochKey struct {
	messages.Key
	epoch int
}

func newRecords(batch *worker.RecordBatch) *records {
	r := &records{batch: batch}
	seen := make(map[epochKey]bool, len(batch.Intents))
	for i := range batch.Intents {
		in := &batch.Intents[i]
		if key := (epochKey{in.Key, in.Epoch}); !seen[key] {
			seen[key] = true
			r.intents.add(in)
			r.correlations.add(&in.Stored, &in.Corporate)
		}
	}
	ends := make(map[epochKey]int32, len(batch.Outcomes)) // index from 1, as in SQL
	for i := range batch.Outcomes {
		o := &batch.Outcomes[i]
		key := epochKey{o.Key, o.Epoch}
		if ends[key] > 0 {
			continue // the first in stream order counts
		}
		r.outcomes.add(o)
		r.correlations.add(&o.Stored, o.Corporate)
		r.returned.add(o)
		ends[key] = int32(len(r.outcomes.id)) //nolint:gosec // bounded by the batch
	}
	r.attempts.merge(batch, ends)
	for i := range batch.Events {
		if e := &batch.Events[i]; isAlert(e) {
			r.alerts.add(e)
		} else {
			r.events.add(e)
		}
	}
	for _, o := range r.secondOutcomes() {
		r.events.addSecond(o)
	}
	return r
}

// secondOutcomes are the outcomes of epochs that have another one before them in the same batch.
func (r *records) secondOutcomes() []*worker.Outcome {
	var second []*worker.Outcome
	seen := make(map[epochKey]uint64, len(r.batch.Outcomes))
	for i := range r.batch.Outcomes {
		o := &r.batch.Outcomes[i]
		key := epochKey{o.Key, o.Epoch}
		if first, ok := seen[key]; !ok {
			seen[key] = o.Seq
		} else if first != o.Seq {
			second = append(second, o)
		}
	}
	return second
}

func (r *records) repeated() []messages.Key {
	var keys []messages.Key
	for _, o := range r.secondOutcomes() {
		keys = append(keys, o.Key)
	}
	return keys
}

// quoteBadJSON makes what is no JSON a JSON string.
func (r *records) quoteBadJSON() {
	for i, s := range r.outcomes.sections {
		r.outcomes.sections[i] = quoted(s)
	}
	for i, s := range r.events.body {
		r.events.body[i] = quoted(s)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"flowgate/configs"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/doctor"
	"flowgate/worker/postgres"
	"flowgate/worker/sessions"
)

// Looks at fleet and queues for one board, and the time between them.
const (
	boardLooks   = 2
	boardBetween = 700 * time.Millisecond
)

// executionsSince is how far back a board counts executions of agreements.
const executionsSince = time.Hour

// reporter gathers what boards show. Connections are kept from one board to the next while they answer.
type reporter struct {
	g        *globals
	settings configs.Settings
	timeout  time.Duration
	client   client
}

// boardFacts are what a board is made of. What could not be asked is nil, and in Unreachable.
type boardFacts struct {
	doctor.Facts

	// Away is why the broker cannot be reached; empty: it can.
	Away    string
	Sight   *sight
	Counts  []postgres.ExecutionCount
	Letters *postgres.LetterCount
	Charged *postgres.Charged
	Held    *int64
}

func (r *reporter) close() {
	r.client.close()
	r.client = client{}
}

// look asks everybody and makes a board of what they say. The database is connected to while the broker is asked: neither waits for the
// other.
func (r *reporter) look(ctx context.Context) *board {
	known, _ := readSettings(r.g)
	f := boardFacts{Facts: known}
	f.Agreements = nil // those of the file are none that decide
	var all sync.WaitGroup
	told := make(chan doctor.Silence, boardQuestions)
	db := r.database(ctx, &all)
	f.ask(ctx, r, db, &all, told)
	r.broker(ctx, &f)
	sources := doctor.Sources{JS: r.client.js, DB: db, Timeout: r.timeout, Looks: boardLooks, Between: boardBetween}
	sources.Agreements = func(ctx context.Context) ([]flow.Entry, error) {
		opened, err := db.get(ctx)
		if err != nil {
			return nil, err
		}
		every, err := opened.Agreements(ctx)
		return flow.Governing(every), err
	}
	var err error
	if sources.Topology, err = topologyOf(r.settings); err != nil {
		f.silent("topology", err)
	}
	gathered := doctor.Gather(ctx, sources, f.Facts)
	all.Wait()
	close(told)
	f.Facts = gathered
	r.client.db = db.db
	f.unanswered(told)
	r.services(ctx, &f)
	r.forget(&f)
	return boardOf(&f)
}

// silentDatabase is the silence of a database that answers nothing, and silentClock that of its clock, the least that can be asked.
const (
	silentDatabase = "database"
	silentClock    = "Postgres' clock"
)

// unanswered takes over what the database did not answer. Where it answered nothing, not even what time it is, that is one silence, and
// its questions say no more.
func (f *boardFacts) unanswered(told <-chan doctor.Silence) {
	var all []doctor.Silence
	for s := range told {
		all = append(all, s)
	}
	if len(all) < boardQuestions || !f.lacks(silentClock) {
		f.Unreachable = append(f.Unreachable, all...)
		return
	}
	asked := []string{"agreements", "record", silentClock}
	f.Unreachable = slices.DeleteFunc(f.Unreachable, func(s doctor.Silence) bool { return slices.Contains(asked, s.What) })
	f.Unreachable = append(f.Unreachable, doctor.Silence{What: silentDatabase, Why: all[0].Why})
}

// late says of an error that is the end of the time for an answer how long that was.
func (r *reporter) late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", r.timeout)
	}
	return err
}

func (f *boardFacts) silent(what string, err error) {
	f.Unreachable = append(f.Unreachable, doctor.Silence{What: what, Why: err.Error()})
}

// broker reaches the broker where it is not reached yet.
func (r *reporter) broker(ctx context.Context, f *boardFacts) {
	if r.client.conn == nil {
		ctx, cancel := r.bounded(ctx)
		defer cancel()
		conn, err := r.g.reachBroker(ctx, r.settings)
		if err == nil {
			if r.client.js, err = newJetStream(conn); err != nil {
				conn.Close()
			}
		}
		if err != nil {
			f.Away = sessions.Printable(r.late(err))
			f.silent("broker", r.late(err))
			return
		}
		r.client.conn = conn
	}
	f.Broker.Version = r.client.conn.ConnectedServerVersion()
}

// opening is a database that is being connected to. db and err may be read when ready is closed.
type opening struct {
	ready chan struct{}
	db    *postgres.DB
	err   error
}

// get waits for the connection.
func (o *opening) get(ctx context.Context) (*postgres.DB, error) {
	select {
	case <-o.ready:
		return o.db, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Position makes it a doctor.Database.
func (o *opening) Position(ctx context.Context, stream string) (worker.Position, error) {
	db, err := o.get(ctx)
	if err != nil {
		return worker.Position{}, err
	}
	return db.Position(ctx, stream)
}

// Clock makes it a doctor.Database.
func (o *opening) Clock(ctx context.Context) (time.Time, error) {
	db, err := o.get(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return db.Clock(ctx)
}

// database is the one of the board before, or one that is being connected to; all waits until that has ended.
func (r *reporter) database(ctx context.Context, all *sync.WaitGroup) *opening {
	o := &opening{ready: make(chan struct{}), db: r.client.db}
	if o.db != nil {
		close(o.ready)
		return o
	}
	all.Go(func() {
		defer close(o.ready)
		ctx, cancel := r.bounded(ctx)
		defer cancel()
		o.db, o.err = r.g.reachDatabase(ctx, r.settings)
	})
	return o
}

// What a board asks the database beside the doctor's questions.
const (
	askExecutions = "executions"
	askLetters    = "dead letters"
	askCharged    = "money of today"
	askHeld       = "money in reserve"

	boardQuestions = 4
)

// ask asks the database side by side; all waits for the answers, and what is not answered is told.
func (f *boardFacts) ask(ctx context.Context, r *reporter, from *opening, all *sync.WaitGroup, told chan<- doctor.Silence) {
	question := func(what string, put func(context.Context, *postgres.DB) error) {
		all.Go(func() {
			ctx, cancel := r.bounded(ctx)
			defer cancel()
			db, err := from.get(ctx)
			if err == nil {
				err = put(ctx, db)
			}
			if err != nil {
				told <- doctor.Silence{What: what, Why: r.late(err).Error()}
			}
		})
	}
	now := time.Now()
	question(askExecutions, func(ctx context.Context, db *postgres.DB) (err error) {
		f.Counts, err = db.ExecutionCounts(ctx, "", now.Add(-executionsSince))
		return err
	})
	question(askLetters, func(ctx context.Context, db *postgres.DB) error {
		n, err := db.CountDeadLetters(ctx)
		return answered(&f.Letters, n, err)
	})
	question(askCharged, func(ctx context.Context, db *postgres.DB) error {
		today := dayOf(now.In(r.settings.Flowgate.Location()))
		n, err := db.ChargedSince(ctx, today.from, today.suffix)
		return answered(&f.Charged, n, err)
	})
	question(askHeld, func(ctx context.Context, db *postgres.DB) error {
		n, err := db.Held(ctx)
		return answered(&f.Held, n, err)
	})
}

// answered keeps an answer, where there is one.
func answered[T any](to **T, answer T, err error) error {
	if err == nil {
		*to = &answer
	}
	return err
}

// services tells how the services are: as the processes say, or where none answers as they answer themselves.
func (r *reporter) services(ctx context.Context, f *boardFacts) {
	a := &asker{settings: r.settings, why: "no process answers at this broker"}
	if len(f.Fleet.Answers) > 0 {
		seen := a.ofFleet(f.Fleet)
		f.Sight = &seen
		return
	}
	var reached *client
	if r.client.conn != nil {
		reached = &r.client
	} else {
		a.why = f.Away
	}
	direct, err := newDirect(r.settings, reached, os.LookupEnv)
	if err != nil {
		f.silent("services", err)
		return
	}
	defer direct.close()
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	seen := newSight("settings", a.why, []view{{Health: a.chosen(direct.monitor.Once(ctx))}})
	f.Sight = &seen
}

// forget drops connections that do not answer: the next board makes new ones, perhaps to what was started elsewhere meanwhile.
func (r *reporter) forget(f *boardFacts) {
	if r.client.conn != nil && !r.client.conn.IsConnected() {
		lost := errors.New("the connection is lost")
		f.Away = lost.Error()
		asked := []string{"topology", "control bucket", "fleet and queues", "broker's clock", "JetStream's storage", "record"}
		f.Unreachable = slices.DeleteFunc(f.Unreachable, func(s doctor.Silence) bool { return slices.Contains(asked, s.What) })
		f.silent("broker", lost)
		r.client.conn.Close()
		r.client.conn, r.client.js = nil, nil
	}
	if r.client.db != nil && f.lacks(silentDatabase) { // one that answers slowly is kept: its pool makes broken connections anew
		r.client.db.Close()
		r.client.db = nil
	}
}

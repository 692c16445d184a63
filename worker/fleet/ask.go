package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/worker/statistics"
)

// Patience is how long Ask waits for answers: how many processes there are is not known beforehand.
const Patience = 500 * time.Millisecond

// maxSkips bounds how many answers that were not believed are told one by one.
const maxSkips = 16

// Answer is the report of one process and when it was asked for and came, by our clock.
type Answer struct {
	Report

	AskedAt time.Time `json:"-"`
	HeardAt time.Time `json:"-"`
}

// Offset is how far the process's clock is ahead of ours, and how far that may be wrong: half of the time that the answer
// took.
func (a *Answer) Offset() (ahead, within time.Duration) {
	within = a.HeardAt.Sub(a.AskedAt) / 2
	return a.Clock.Sub(a.AskedAt.Add(within)), within
}

// Fleet is every process that answered, by name.
type Fleet struct {
	Answers []Answer
	// Skipped says of answers that were not believed why not; there were SkippedCount of them.
	Skipped      []string
	SkippedCount int
}

// Statistics adds what all processes counted.
func (f *Fleet) Statistics() statistics.Snapshot {
	sum := statistics.Snapshot{}
	for i := range f.Answers {
		sum.Merge(&f.Answers[i].Statistics)
	}
	return sum
}

// Merge adds the answers of another round: of a process that answered in both, the later one counts.
func (f *Fleet) Merge(o Fleet) {
	for _, a := range o.Answers {
		at := slices.IndexFunc(f.Answers, func(b Answer) bool { return b.Worker == a.Worker })
		if at < 0 {
			f.Answers = append(f.Answers, a)
		} else {
			f.Answers[at] = a
		}
	}
	slices.SortFunc(f.Answers, byWorker)
	f.Skipped, f.SkippedCount = o.Skipped, o.SkippedCount
}

func byWorker(a, b Answer) int { return cmp.Compare(a.Worker, b.Worker) }

// Ask asks every process and waits for Patience. A fleet of nobody is no error.
func Ask(ctx context.Context, conn *nats.Conn) (Fleet, error) { return AskFor(ctx, conn, Patience, 0) }

// AskFor is Ask with a patience of the caller's, and ends as soon as so many have answered as are enough; 0: never before.
func AskFor(ctx context.Context, conn *nats.Conn, patience time.Duration, enough int) (f Fleet, err error) {
	answers := make(chan *nats.Msg, MaxReports)
	inbox := conn.NewInbox()
	sub, err := conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return f, fmt.Errorf("asking the fleet: %w", err)
	}
	defer func() { err = errors.Join(err, sub.Unsubscribe()) }()
	asked := time.Now()
	if err := conn.PublishRequest(Subject, inbox, nil); err != nil {
		return f, fmt.Errorf("asking the fleet: %w", err)
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	defer func() { slices.SortFunc(f.Answers, byWorker) }()
	for range MaxReports {
		select {
		case msg := <-answers:
			if msg.Header.Get("Status") == "503" { // nobody listens
				return f, nil
			}
			f.hear(msg.Data, asked, time.Now())
			if enough > 0 && len(f.Answers) >= enough {
				return f, nil
			}
		case <-late.C:
			return f, nil
		case <-ctx.Done():
			return f, fmt.Errorf("asking the fleet: %w", ctx.Err())
		}
	}
	return f, nil
}

// hear takes an answer, or says why it was not believed.
func (f *Fleet) hear(data []byte, asked, heard time.Time) {
	r, err := decode(data)
	if err == nil && slices.ContainsFunc(f.Answers, func(a Answer) bool { return a.Worker == r.Worker }) {
		err = fmt.Errorf("%s answered twice", r.Worker)
	}
	if err == nil {
		f.Answers = append(f.Answers, Answer{Report: r, AskedAt: asked, HeardAt: heard})
		return
	}
	f.SkippedCount++
	if len(f.Skipped) < maxSkips {
		f.Skipped = append(f.Skipped, err.Error())
	}
}

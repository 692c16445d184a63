package worker

import "context"

// firstSequence tells the first sequence of a stream as it is after the question: an answer that was on its way when the
// question came is too old. Questions that come meanwhile share the next answer.
type firstSequence struct {
	leader *Leader
	asked  chan question
}

type question struct {
	stream string
	answer chan<- bounds
}

type bounds struct {
	first uint64
	err   error
}

func newFirstSequence(leader *Leader) *firstSequence {
	return &firstSequence{leader: leader, asked: make(chan question, 256)}
}

func (f *firstSequence) after(ctx context.Context, stream string) (uint64, error) {
	answer := make(chan bounds, 1)
	select {
	case f.asked <- question{stream, answer}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case b := <-answer:
		return b.first, b.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run answers until ctx ends.
func (f *firstSequence) run(ctx context.Context) {
	for {
		var waiting []question
		select {
		case q := <-f.asked:
			waiting = append(waiting, q)
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			select {
			case q := <-f.asked:
				waiting = append(waiting, q)
			default:
				more = false
			}
		}
		known := make(map[string]bounds, 1)
		for _, q := range waiting {
			b, ok := known[q.stream]
			if !ok {
				read, err := f.leader.Bounds(ctx, q.stream)
				b = bounds{read.First, err}
				known[q.stream] = b
			}
			q.answer <- b
		}
	}
}

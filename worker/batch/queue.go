package batch

import "slices"

// queue is first in, first out, without a bound. It never holds more than a few entries a line of the file.
type queue[T any] struct {
	in, out []T // out is taken from its end
}

func (q *queue[T]) push(v T) { q.in = append(q.in, v) }

func (q *queue[T]) first() (v T, has bool) {
	if len(q.out) == 0 {
		for _, v := range slices.Backward(q.in) {
			q.out = append(q.out, v)
		}
		q.in = q.in[:0]
	}
	if len(q.out) == 0 {
		return v, false
	}
	return q.out[len(q.out)-1], true
}

func (q *queue[T]) pop() {
	if _, has := q.first(); has {
		q.out = q.out[:len(q.out)-1]
	}
}

// offer gives what a select needs to hand the first entry over: no channel while the queue is empty.
func (q *queue[T]) offer(to chan<- T) (chan<- T, T) {
	first, has := q.first()
	if !has {
		return nil, first
	}
	return to, first
}

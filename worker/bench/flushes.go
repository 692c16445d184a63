package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/trace"
	"strings"

	reader "golang.org/x/exp/trace"
)

// Flushes are the broker's flushes to disk a request, by what they were for. They are counted in the execution trace of this
// process, in which every system call has its stack: flushes of Postgres are not among them.
type Flushes struct {
	// Publications are of single messages, Batches of atomic ones: their staging, and the one flush of all members.
	Publications float64 `json:"publications"`
	Batches      float64 `json:"batches"`
	// ConsumerState is what consumers have delivered and what was acknowledged; written about ten times a second each.
	ConsumerState float64 `json:"consumer_state"`
	// Removals are the janitor's purges.
	Removals float64 `json:"removals"`
	Other    float64 `json:"other"`
}

// Functions by which the stack of a flush is known.
const (
	fnStore  = "github.com/nats-io/nats-server/v2/server."
	fnFlush  = "os.(*File).Sync"
	fnWrite  = "os.(*File).Write"
	fnSynced = fnStore + "writeAtomicallyWithTemp" // opens with O_SYNC where the server flushes always
)

// cause is the field to which a system call's stack, innermost function first, counts; nil: it flushes nothing.
func (f *Flushes) cause(stack []string) *float64 {
	var flushes, written, store bool
	found := &f.Other
	for _, name := range stack {
		switch {
		case name == fnFlush, name == fnSynced && written:
			flushes = true
		case name == fnWrite:
			written = true
		}
		method, ok := strings.CutPrefix(name, fnStore)
		if !ok {
			continue
		}
		store = true
		switch {
		case strings.HasPrefix(method, "(*consumerFileStore)."):
			found = &f.ConsumerState
		case strings.HasPrefix(method, "(*stream).processJetStreamAtomicBatchMsg"), strings.HasPrefix(method, "(*atomicBatch)."):
			found = &f.Batches
		case strings.HasPrefix(method, "(*stream).processJetStreamMsg") && found == &f.Other:
			found = &f.Publications
		case strings.HasPrefix(method, "(*fileStore).Purge"), strings.HasPrefix(method, "(*fileStore).Compact"), strings.HasPrefix(method, "(*fileStore).RemoveMsg"):
			found = &f.Removals
		}
	}
	if !flushes || !store {
		return nil
	}
	return found
}

// per divides by the number of requests.
func (f Flushes) per(requests int) Flushes {
	for _, v := range []*float64{&f.Publications, &f.Batches, &f.ConsumerState, &f.Removals, &f.Other} {
		*v = rounded(*v/float64(max(requests, 1)), 2)
	}
	return f
}

// flushesOf counts the flushes of an execution trace.
func flushesOf(r io.Reader) (f Flushes, err error) {
	events, err := reader.NewReader(r)
	if err != nil {
		return f, fmt.Errorf("reading the execution trace: %w", err)
	}
	var stack []string
	for {
		e, err := events.ReadEvent()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, fmt.Errorf("reading the execution trace: %w", err)
		}
		if e.Kind() != reader.EventStateTransition || e.StateTransition().Resource.Kind != reader.ResourceGoroutine {
			continue
		}
		if _, to := e.StateTransition().Goroutine(); to != reader.GoSyscall {
			continue
		}
		stack = stack[:0]
		for frame := range e.Stack().Frames() {
			stack = append(stack, frame.Func)
		}
		if n := f.cause(stack); n != nil {
			*n++
		}
	}
}

// traced runs f under the execution tracer and counts the flushes meanwhile. The trace lies in a file: it is large.
func traced(f func() error) (flushes Flushes, err error) {
	file, err := os.CreateTemp("", "flowgate-bench-trace-")
	if err != nil {
		return flushes, fmt.Errorf("making a file for the execution trace: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if err := trace.Start(file); err != nil {
		return flushes, fmt.Errorf("starting the execution trace: %w", err)
	}
	err = f()
	trace.Stop()
	if err != nil {
		return flushes, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return flushes, fmt.Errorf("reading the execution trace: %w", err)
	}
	return flushesOf(file)
}

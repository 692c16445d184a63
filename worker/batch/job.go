package batch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
)

// DefaultWindow is how many publications are in flight at once.
const DefaultWindow = 256

// maxBatchID leaves room in a request id for the longest line number.
const maxBatchID = 128 - len("-50000")

// Job is one batch. Running it again with the same file, BatchID and paths goes on where it was left.
type Job struct {
	// Conn MUST reconnect for ever (nats.MaxReconnects(-1)) if the run is to outlive a restart of the broker.
	Conn *nats.Conn
	JS   jetstream.JetStream
	File *File
	// BatchID makes the request ids: <BatchID>-<line number>. Two files MUST NOT share one.
	BatchID string
	Tenant  string
	// Output and Errors are the paths of the two result files.
	Output, Errors string
	// Window is how many publications are in flight at most; 0: DefaultWindow.
	Window int
	// Patience is after how much time without any request having ended Run stops with ErrStalled; 0: never.
	Patience time.Duration
	// Intake tells whether the deployment takes submissions of a class; while it does not, the run waits. nil: it always does.
	Intake func(ctx context.Context, class messages.Class) (messages.Intake, error)
	// Progress is called a few times a second and at the end, never twice at once; it MUST return quickly. May be nil.
	Progress func(Progress)

	pace pace
}

// pace is how often things are done; tests hurry.
type pace struct {
	// ack is how long an answer of the broker is awaited before a publication is repeated.
	ack time.Duration
	// again is after how long a request is asked for although nothing woke it, and how often such requests are looked for.
	again time.Duration
	// flush is how often results are written to the files, report how often progress is told.
	flush, report time.Duration
	// delays are those between repeated publications.
	delays worker.Delays
	// slice is how many requests are asked for at a time without a wake-up.
	slice int
	// intake is for how long an answer about submissions counts, refused how long a refused run waits at most.
	intake, refused time.Duration
}

func defaultPace() pace {
	return pace{
		ack: 5 * time.Second, again: 5 * time.Second, flush: time.Second, report: 200 * time.Millisecond,
		delays: worker.DefaultDelays(), slice: 1000,
		intake: time.Second, refused: 10 * time.Second,
	}
}

// validate reports every fault at once and fills in defaults.
func (j *Job) validate() error {
	var faults []error
	if j.Conn == nil || j.JS == nil {
		faults = append(faults, errors.New("conn and js are required"))
	}
	if j.File == nil {
		faults = append(faults, errors.New("file is required"))
	} else if j.Tenant != j.File.options.Tenant {
		faults = append(faults, fmt.Errorf("tenant is %q, but the file was checked for %q", j.Tenant, j.File.options.Tenant))
	}
	if err := messages.CheckID(j.BatchID); err != nil || len(j.BatchID) > maxBatchID {
		faults = append(faults, fmt.Errorf("batch id must be 1 to %d characters of A-Z, a-z, 0-9, _ and -", maxBatchID))
	}
	if j.Output == "" || j.Errors == "" || filepath.Clean(j.Output) == filepath.Clean(j.Errors) {
		faults = append(faults, errors.New("output and errors must be two different files"))
	}
	if j.Window < 0 {
		faults = append(faults, fmt.Errorf("window is %d, must be at least 1", j.Window))
	}
	if j.Patience < 0 {
		faults = append(faults, fmt.Errorf("patience is %s, must not be negative", j.Patience))
	}
	if j.Window == 0 {
		j.Window = DefaultWindow
	}
	if j.pace == (pace{}) {
		j.pace = defaultPace()
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("preparing the batch: %w", err)
	}
	return j.fits()
}

// fits tells whether the broker takes the largest request at all.
func (j *Job) fits() error {
	most := j.Conn.MaxPayload()
	l := j.File.largest()
	if most <= 0 || int64(l.published) <= most {
		return nil
	}
	return &LineError{
		Line: l.Number, CustomID: l.CustomID, Field: document, Rule: fmt.Sprintf("must be at most %d bytes, the broker's maximum", most),
		Got: fmt.Sprintf("%d bytes", l.published), Reason: messages.ReasonMalformed,
	}
}

func (j *Job) key(line int) messages.Key {
	return messages.Key{Tenant: j.Tenant, ID: RequestID(j.BatchID, line)}
}

package gate

import (
	"fmt"
	"time"

	"flowgate/messages"
)

// Marks are over which nothing more is taken.
type Marks struct {
	// Lag is how old the oldest message may be that is not recorded.
	Lag time.Duration
	// Free is how many bytes must be left of a disk.
	Free uint64
	// Full is how full a stream that has a bound, or the broker's storage, may be, in percent.
	Full int
	// Backlog is how many requests of a class may wait to be admitted.
	Backlog uint64
}

// Facts are what the gate looks at.
type Facts struct {
	// Lag is how far the record of each stream is behind.
	Lag map[string]time.Duration
	// Disks and Streams are how much of what there is is used; the broker's storage is one of Streams.
	Disks, Streams []Space
	// Backlog is how many requests of each class wait to be admitted.
	Backlog map[messages.Class]uint64
}

// Space is a place and how full it is.
type Space struct {
	What        string
	Used, Total uint64
}

// When to come back, by the reason: a disk is seldom freed within a minute, a backlog often.
const (
	afterBacklog  = 15 * time.Second
	afterStream   = time.Minute
	afterRecorder = time.Minute
	afterDisk     = 5 * time.Minute
)

// Judge tells whether submissions of a class are taken. What endangers what was accepted comes first.
func Judge(f Facts, m Marks, class messages.Class) messages.Intake {
	for _, s := range f.Disks {
		if s.free() < m.Free {
			return closed(messages.IntakeDisk, afterDisk, "%s has %d MB left, the mark is %d MB", s.What, s.free()>>20, m.Free>>20)
		}
	}
	for _, s := range f.Streams {
		if s.Total > 0 && s.percent() >= m.Full {
			return closed(messages.IntakeStream, afterStream, "%s is %d %% full, the mark is %d %%", s.What, s.percent(), m.Full)
		}
	}
	stream, lag := slowest(f.Lag)
	if lag > m.Lag {
		return closed(messages.IntakeRecorder, afterRecorder, "the record of %s is %s behind, the mark is %s", stream, lag.Round(time.Second), m.Lag)
	}
	if n := f.Backlog[class]; n > m.Backlog {
		return closed(messages.IntakeBacklog, afterBacklog, "%d requests of class %s wait to be admitted, the mark is %d", n, class, m.Backlog)
	}
	return messages.Intake{V: messages.Version, Open: true}
}

func closed(why messages.IntakeReason, after time.Duration, format string, args ...any) messages.Intake {
	return messages.Intake{V: messages.Version, Reason: why, Detail: fmt.Sprintf(format, args...), RetryAfter: int(after / time.Second)}
}

func (s Space) free() uint64 { return s.Total - min(s.Used, s.Total) }

func (s Space) percent() int { return int(float64(s.Used) / float64(s.Total) * 100) }

func slowest(lags map[string]time.Duration) (stream string, most time.Duration) {
	for s, lag := range lags {
		if lag > most || lag == most && s < stream {
			stream, most = s, lag
		}
	}
	return stream, most
}

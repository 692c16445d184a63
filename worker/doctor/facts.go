// Package doctor finds what is wrong with a deployment: it gathers facts from every part, each with a bound of time, and
// judges them. What could not be asked is a finding of its own, never silence.
//
// Read codes.go (what it can find), judge.go (when it finds it), gather.go (where the facts come from), request.go (the
// request through all layers).
package doctor

import (
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/fleet"
	"flowgate/worker/postgres"
)

// Facts are what was found out. A part that could not be asked is in Unreachable, and its facts are empty.
type Facts struct {
	// Now is this machine's clock.
	Now time.Time
	// Unreachable says what could not be asked, and why.
	Unreachable []Silence

	// Settings is what is wrong with the settings; empty where they can be read. SettingsCount counts those that have an
	// effect, Warnings are about keys that do not do what their author may expect.
	Settings      string
	SettingsCount int
	Warnings      int

	// Cache is how the response cache of this state folder stands; nil where it was not asked.
	Cache *CacheFacts

	Broker BrokerFacts
	// Schema is how far the database is migrated; nil where it was not asked.
	Schema *postgres.Status
	// Fleet is every process that answered in one of the looks; Gateways is how they stand.
	Fleet    fleet.Fleet
	Gateways []fleet.Gateway
	Queues   []Queue
	Pauses   []worker.Pause
	// Records are the streams that are recorded.
	Records []Record
	Disks   []Space
	Clocks  []Clock
	// Agreements are those that decide about requests, in the versions that the database has; where it was not asked, of the file of
	// settings. Seeds are those of a file that settings name.
	Agreements []flow.Entry
	Seeds      []flow.Agreement
	Drift      []broker.Difference
}

// CacheFacts is how the response cache of a state folder stands.
type CacheFacts struct {
	// Off: settings switch it off. Fault is why it could not be looked at.
	Off   bool
	Fault string
	// Families have Files of so many Bytes; HitRate is of all that was looked for (Asked).
	Families, Files int
	Bytes, Asked    int64
	HitRate         float64
}

// Silence is a part that could not be asked.
type Silence struct{ What, Why string }

// BrokerFacts are what the broker says of itself. TooOld says which version is needed; empty: none newer.
type BrokerFacts struct {
	Version string
	TooOld  string
}

// Queue is a durable consumer over several looks.
type Queue struct {
	Stream, Consumer string
	Layer            messages.LayerName
	Class            messages.Class
	// Hold marks the queue of requests that wait on purpose.
	Hold bool
	// Looks are what was seen, in order.
	Looks []Look
	// Oldest is when the oldest message was stored that was delivered to nobody; zero where there is none.
	Oldest time.Time
	// MaxUnanswered is the broker's bound on unanswered deliveries.
	MaxUnanswered int
}

// Look is one look at a consumer.
type Look struct {
	// Undelivered are messages that nobody got yet, Unanswered those that somebody has or that are parked, Waiting the
	// pulls that wait at the broker.
	Undelivered uint64
	Unanswered  int
	Waiting     int
	// Delivered and Answered are stream sequences: the last delivery, and the floor up to which all are answered.
	Delivered, Answered uint64
	// PausedAtBroker is true where the consumer was paused at the broker.
	PausedAtBroker bool
}

// Record is how far the record of a stream is behind.
type Record struct {
	Stream string
	Lag    time.Duration
}

// Space is room for data.
type Space struct {
	// What names it in words: a folder, JetStream, a stream.
	What        string
	Free, Total uint64
}

// Clock is how far somebody's clock is ahead of this machine's, give or take Within.
type Clock struct {
	Whose  string
	Ahead  time.Duration
	Within time.Duration
}

// Marks are from where on a fact is a finding.
type Marks struct {
	// Age is how long a message may wait before somebody takes it up, by class.
	Age map[messages.Class]time.Duration
	// Lag is how far the record may be behind, Skew how far clocks may disagree.
	Lag, Skew time.Duration
	// Free is the share of a space that should be free, FreeBytes how much is enough of a large one.
	Free      float64
	FreeBytes uint64
	// Idle is for how long a layer that answers may take nothing from a queue that has work.
	Idle time.Duration
}

// DefaultMarks are those of `flowgate doctor`.
func DefaultMarks() Marks {
	return Marks{
		Age: map[messages.Class]time.Duration{messages.ClassRT: time.Minute, messages.ClassStd: 5 * time.Minute, messages.ClassBatch: time.Hour},
		Lag: 30 * time.Second, Skew: 2 * time.Second, Free: 0.1, FreeBytes: 20 << 30, Idle: time.Minute,
	}
}

// Finding is one thing that is wrong.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// About names the thing: a queue, a disk, an agreement.
	About string `json:"about"`
	// Seen says with figures what was seen, Remedy what to do.
	Seen   string `json:"seen"`
	Remedy string `json:"remedy"`
}

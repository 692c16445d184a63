// Package fleet asks every process of a deployment what it is, what it runs and how it fares, and puts their answers
// together. Each answers by itself over NATS: nothing is stored, so nothing can be stale, and who does not answer is not
// there.
//
// Read report.go, then ask.go; gateways.go tells from the answers how each gateway stands.
package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode"

	"flowgate/messages"
	"flowgate/worker/sessions"
	"flowgate/worker/statistics"
)

// Subject is where every process is asked. It is none of a producer's.
const Subject = "flowgate.fleet.report"

// Version is the report's: it grows by addition, so an older reader takes a newer report for what it knows of it.
const Version = 1

// Bounds of what is answered, and of what is believed.
const (
	// MaxReport is the most bytes of one report, MaxReports the most that are read.
	MaxReport  = 512 << 10
	MaxReports = 512
	maxText    = 256
	maxList    = 256
)

// Report is what one process says of itself.
type Report struct {
	V int `json:"v"`
	// Worker names the process, in records too.
	Worker    string    `json:"worker"`
	PID       int       `json:"pid"`
	Host      string    `json:"host"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	// Layers are the gateways that it runs, Parts what else it does (recorder, results, chores), Queues the consumers from
	// which it pulls.
	Layers []messages.LayerName `json:"layers"`
	Parts  []string             `json:"parts,omitempty"`
	Queues []string             `json:"queues,omitempty"`
	// SettingsVersion is the digest of its settings: processes of one deployment should agree.
	SettingsVersion string   `json:"settings_version"`
	Backends        []string `json:"backends,omitempty"`
	// BackendStates are all backends in the order in which they are tried, also those that it does not use; empty without layer 2.
	BackendStates []Backend `json:"backend_states,omitempty"`
	// Statistics are what it counted.
	Statistics statistics.Snapshot `json:"statistics"`
	// Health is how it sees the services that it uses.
	Health []sessions.Health `json:"health,omitempty"`
	// Disk is where its state folder lies.
	Disk *Disk `json:"disk,omitempty"`
	// Clock is its clock at the moment of the answer.
	Clock time.Time `json:"clock"`
	// Cut is true where the report would have been too long: it lacks statistics, health and states of backends then.
	Cut bool `json:"cut,omitempty"`
}

// Disk is the space of a file system.
type Disk struct {
	Path       string `json:"path"`
	FreeBytes  uint64 `json:"free_bytes"`
	TotalBytes uint64 `json:"total_bytes"`
}

// encode writes a report within its bounds.
func (r Report) encode() ([]byte, error) {
	r.V, r.BackendStates = Version, bounded(r.BackendStates)
	data, err := json.Marshal(r)
	if err == nil && len(data) > MaxReport {
		r.Statistics, r.Health, r.BackendStates, r.Cut = statistics.Snapshot{}, nil, nil, true
		data, err = json.Marshal(r)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding a report: %w", err)
	}
	return data, nil
}

// decode reads what somebody answered and refuses what no process of ours can have said.
func decode(data []byte) (r Report, err error) {
	if len(data) > MaxReport {
		return r, fmt.Errorf("it has %d bytes, more than %d", len(data), MaxReport)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("it is no report: %w", err)
	}
	return r, r.check()
}

func (r *Report) check() error {
	switch {
	case r.V < 1:
		return errors.New("v: is missing")
	case !word(r.Worker):
		return errors.New("worker: must be one line")
	case r.Clock.IsZero() || r.StartedAt.IsZero():
		return errors.New("clock, started_at: are required")
	case len(r.Layers) > maxList || len(r.Parts) > maxList || len(r.Queues) > maxList || len(r.Backends) > maxList || len(r.Health) > maxList || len(r.BackendStates) > maxList:
		return errors.New("a list is too long")
	}
	words := append([]string{r.Worker}, r.Parts...)
	words = append(append(words, r.Queues...), r.Backends...)
	for _, l := range r.Layers {
		words = append(words, string(l))
	}
	for _, w := range words {
		if !word(w) {
			return errors.New("a name is not one short line")
		}
	}
	for _, w := range []string{r.Host, r.Version, r.SettingsVersion} {
		if w != "" && !word(w) {
			return errors.New("host, version, settings_version: must be short lines")
		}
	}
	for i := range r.BackendStates {
		if err := r.BackendStates[i].check(); err != nil {
			return err
		}
	}
	if err := r.Statistics.Check(); err != nil {
		return fmt.Errorf("statistics: %w", err)
	}
	return nil
}

// word tells whether a text is one short line that a terminal can show.
func word(s string) bool {
	if s == "" || len(s) > maxText {
		return false
	}
	for _, c := range s {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return false
		}
	}
	return true
}

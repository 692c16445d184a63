package bench

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strings"

	"github.com/google/pprof/profile"
)

// part is what a sample of the CPU profile is counted to.
type part int

const (
	partOther part = iota
	partBroker
	partCodec
	partPostgres
	partRecorder
	parts
)

// shares are the parts of a profile; they add up to 1.
type shares [parts]float64

// Packages and functions by which a stack is known.
const (
	pkgNATS     = "github.com/nats-io/"
	pkgPgx      = "github.com/jackc/"
	pkgOwn      = "flowgate/"
	pkgRecorder = "flowgate/worker/recorder."
	pkgMessages = "flowgate/messages."
	commit      = "flowgate/worker/postgres.(*DB).Commit"
)

// attribute decides what a stack, innermost function first, is counted to:
//
//   - recorder: the recorder, or the commit of its records, is on it: its reading, decoding and database client included;
//   - else codec: encoding/json called by flowgate, or a function of package messages that encodes or decodes, is on it.
//     JSON that server and client library write among themselves (acknowledgements of publications) is the broker's;
//   - else broker: nats-server or nats.go is on it, the load's publications included;
//   - else postgres: the database client is on it. The Postgres processes' own CPU comes on top (Report.CPUSplitUS);
//   - else other: layers, the load, the Go runtime's garbage collection and scheduling.
func attribute(stack []string) part {
	for _, f := range stack {
		if strings.HasPrefix(f, pkgRecorder) || strings.HasPrefix(f, commit) {
			return partRecorder
		}
	}
	found, json := partOther, false
	for _, f := range stack {
		switch {
		case strings.HasPrefix(f, "encoding/json"):
			json = true
		case codes(f), json && strings.HasPrefix(f, pkgOwn):
			return partCodec
		case strings.HasPrefix(f, pkgNATS):
			found, json = partBroker, false
		case strings.HasPrefix(f, pkgPgx) && found == partOther && !json:
			found = partPostgres
		}
	}
	if json {
		return partCodec
	}
	return found
}

// codes tells whether a function of package messages, or a method of its types, encodes or decodes.
func codes(function string) bool {
	name, ok := strings.CutPrefix(function, pkgMessages)
	if !ok {
		return false
	}
	name = name[strings.LastIndex(name, ").")+1:]
	name = strings.ToLower(strings.TrimPrefix(name, "."))
	for _, verb := range []string{"encode", "decode", "marshal", "unmarshal", "append"} {
		if strings.HasPrefix(name, verb) {
			return true
		}
	}
	return false
}

// sharesOf attributes every sample of a CPU profile.
func sharesOf(p *profile.Profile) (shares, error) {
	var s shares
	value := -1
	for i, t := range p.SampleType {
		if t.Type == "cpu" {
			value = i
		}
	}
	if value < 0 {
		return s, fmt.Errorf("reading a CPU profile: it has no values of type cpu")
	}
	var sum float64
	for _, sample := range p.Sample {
		v := float64(sample.Value[value])
		s[attribute(functions(sample))] += v
		sum += v
	}
	if sum == 0 {
		s[partOther] = 1 // too short for a single sample
		return s, nil
	}
	for i := range s {
		s[i] /= sum
	}
	return s, nil
}

// functions names a sample's stack, innermost first, inlined functions too.
func functions(sample *profile.Sample) []string {
	var stack []string
	for _, location := range sample.Location {
		for _, line := range location.Line {
			if line.Function != nil {
				stack = append(stack, line.Function.Name)
			}
		}
	}
	return stack
}

// profiled runs f under the CPU profiler and attributes what it used.
func profiled(f func() error) (shares, error) {
	var buffer bytes.Buffer
	if err := pprof.StartCPUProfile(&buffer); err != nil {
		return shares{}, fmt.Errorf("starting the CPU profile: %w", err)
	}
	err := f()
	pprof.StopCPUProfile()
	if err != nil {
		return shares{}, err
	}
	p, err := profile.Parse(&buffer)
	if err != nil {
		return shares{}, fmt.Errorf("reading the CPU profile: %w", err)
	}
	return sharesOf(p)
}

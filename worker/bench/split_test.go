package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

func TestASampleBelongsToOnePart(t *testing.T) {
	const (
		decoder = "encoding/json.(*decodeState).value"
		client  = "github.com/nats-io/nats.go.(*Conn).readLoop"
		server  = "github.com/nats-io/nats-server/v2/server.(*stream).processJetStreamMsg"
		pgx     = "github.com/jackc/pgx/v5/pgconn.(*PgConn).peekMessage"
	)
	for name, tt := range map[string]struct {
		stack []string // innermost first
		want  part
	}{
		"the recorder's decoding":          {[]string{decoder, "flowgate/messages.DecodeEnvelope", "flowgate/worker/recorder.(*Recorder).state"}, partRecorder},
		"the recorder's commit":            {[]string{pgx, "flowgate/worker/postgres.(*DB).Commit"}, partRecorder},
		"a layer's envelope":               {[]string{decoder, "flowgate/messages.DecodeEnvelope", "flowgate/worker.(*Runtime).screen"}, partCodec},
		"an encoder without encoding/json": {[]string{"flowgate/messages.(*Envelope).MarshalJSON", "flowgate/worker.(*Task).advance"}, partCodec},
		"a document decoded in a callback": {[]string{decoder, "flowgate/worker.freedScopes.func1", client}, partCodec},
		"the broker's own JSON":            {[]string{decoder, "encoding/json.Unmarshal", "github.com/nats-io/nats.go/jetstream.(*jetStream).handleAsyncReply", client}, partBroker},
		"the server":                       {[]string{"runtime.mallocgc", server}, partBroker},
		"a publication":                    {[]string{"syscall.write", client, "flowgate/worker.(*Hop).round"}, partBroker},
		"a subject's parsing":              {[]string{"strings.Split", "flowgate/messages.ParseSubject", "flowgate/worker.newDelivery"}, partOther},
		"the database client":              {[]string{"syscall.read", pgx, "flowgate/worker/postgres.(*DB).Admit"}, partPostgres},
		"json of a database parameter":     {[]string{decoder, "encoding/json.Marshal", "github.com/jackc/pgx/v5/pgtype.JSONCodec", "flowgate/worker/postgres.(*DB).Admit"}, partCodec},
		"garbage collection":               {[]string{"runtime.scanobject", "runtime.gcBgMarkWorker"}, partOther},
		"nothing":                          {nil, partOther},
	} {
		if got := attribute(tt.stack); got != tt.want {
			t.Errorf("%s: part %d, want %d", name, got, tt.want)
		}
	}
}

func TestSharesWeighSamplesByTheirTime(t *testing.T) {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	add := func(ns int64, stack ...string) {
		s := &profile.Sample{Value: []int64{1, ns}}
		for _, name := range stack {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}})
		}
		p.Sample = append(p.Sample, s)
	}
	add(60, "github.com/nats-io/nats.go.(*Conn).publish", "flowgate/worker.(*Hop).round")
	add(30, "flowgate/worker/recorder.(*Recorder).batch")
	add(10, "runtime.futex")
	got, err := sharesOf(p)
	if err != nil || got != (shares{partBroker: 0.6, partRecorder: 0.3, partOther: 0.1}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := sharesOf(&profile.Profile{SampleType: []*profile.ValueType{{Type: "alloc"}}}); err == nil {
		t.Error("a profile of something else was taken for one of CPU")
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	values := make([]time.Duration, 100)
	for i := range values {
		values[len(values)-1-i] = time.Duration(i + 1)
	}
	for p, want := range map[float64]time.Duration{0: 1, 1: 1, 50: 50, 99: 99, 100: 100} {
		if got := percentile(values, p); got != want {
			t.Errorf("p%v is %d, want %d", p, got, want)
		}
	}
	if percentile(nil, 50) != 0 || percentile(values[:1], 99) != 100 || median([]float64{3, 1, 2}) != 2 || median([]float64{4, 1}) != 2.5 || median(nil) != 0 {
		t.Error("the edges are wrong")
	}
}

func TestCPUOfAProcessTree(t *testing.T) {
	proc := t.TempDir()
	write := func(pid int, stat string) {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	//           state parent pgrp session tty tpgid flags faults(4)  utime stime cutime cstime
	write(10, "10 (postgres) S 1 10 10 0 -1 0 0 0 0 0 1 2 30 40 20 0 1 0")
	write(11, "11 (postgres: a) b) S 10 10 10 0 -1 0 0 0 0 0 100 200 0 0 20 0 1 0")
	write(12, "12 (worker) S 11 10 10 0 -1 0 0 0 0 0 1000 0 0 0 20 0 1 0")
	write(13, "13 (stranger) S 1 10 10 0 -1 0 0 0 0 0 5000 0 0 0 20 0 1 0")
	write(14, "14 nonsense")
	if got, err := treeCPU(proc, 10); err != nil || got != 1373*tick {
		t.Errorf("got %s, %v, want %s", got, err, 1373*tick)
	}
	if _, err := treeCPU(proc, 99); err == nil {
		t.Error("a process that is not there was counted")
	}
}

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
)

func TestRunReportsBothChains(t *testing.T) {
	f := setup(t)
	g := &governor{status: messages.StatusSuccess}
	g.govern(t, f)
	o := f.options(g)
	o.Sync, o.Group = SyncAlways, &worker.Group{}
	var told []string
	o.Progress = func(s string) { told = append(told, s) }
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.GovernedRPS <= 0 || r.BareRPS <= 0 || r.Ratio <= 0 || r.UnloadedP50MS <= 0 || r.BareP99MS < r.BareP50MS || r.CPUUSPerRequest <= 0 ||
		r.BareCPUUSPerRequest <= 0 || r.AllocBytesPerRequest <= 0 || r.Requests < 1 || r.BareRequests < 1 || len(r.BareRoundsRPS) != 1 {
		t.Errorf("a figure is missing: %+v", r)
	}
	if d := r.Durable; d == nil || d.DurableRPS != r.GovernedRPS || d.BareSerialDurableRPS != r.BareRPS || d.DurableSinglyRPS <= 0 || d.GroupGain <= 0 {
		t.Errorf("what durability costs is missing: %+v", d)
	}
	s := r.CPUSplitUS
	if sum := s.Broker + s.Codec + s.Postgres + s.Recorder + s.Other; math.Abs(sum-r.CPUUSPerRequest) > 1 {
		t.Errorf("the split adds up to %f, not to %f", sum, r.CPUUSPerRequest)
	}
	if n := g.malformed.Load(); n > 0 {
		t.Errorf("%d requests were no valid documents of %d bytes", n, bodyBytes)
	}
	if len(told) < 7 {
		t.Errorf("progress was told %d times", len(told))
	}
	f.nothingLeft(t)
}

func TestRunSaysWhyAFigureWouldMeanNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		governor *governor
		want     string
	}{
		"a request is refused":       {&governor{status: messages.StatusDenied}, "denied"},
		"a request is repeated":      {&governor{status: messages.StatusSuccess, copies: 2}, "repeated"},
		"the record is out of reach": {&governor{status: messages.StatusSuccess}, "no database"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			tt.governor.govern(t, f)
			o := f.options(tt.governor)
			if tt.want == "no database" {
				o.Committed = func(context.Context) (uint64, error) { return 0, errors.New(tt.want) }
			}
			if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			f.nothingLeft(t)
		})
	}
}

func TestRunEndsWithItsContextAndTidiesUp(t *testing.T) {
	f := setup(t)
	g := &governor{status: messages.StatusSuccess}
	g.govern(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := f.options(g)
	o.RoundTime = time.Hour
	o.Progress = func(string) { cancel() } // after the first warm-up
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	f.nothingLeft(t)
}

func TestALoadWithoutEndsSaysSo(t *testing.T) {
	f := setup(t)
	l := f.load(t, 5)
	l.patience = time.Second // time enough to begin them
	nobody := governedTarget("bench", func(context.Context) (uint64, error) { return 0, nil })
	_, err := l.drive(t.Context(), nobody, bounds{outstanding: 5, requests: 10}, &meter{})
	if err == nil || !strings.Contains(err.Error(), "5 are still under way") {
		t.Errorf("got %v, want an error that counts what is under way", err)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	err := Options{Concurrency: -1, PostgresPID: -1}.Validate()
	for _, want := range []string{"conn", "tenant", "sync", "rounds", "outstanding", "unloaded_requests", "micro_batch", "lanes", "concurrency", "round_time"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a fault about %s", err, want)
		}
	}
}

func TestAStrangersStreamIsLeftAlone(t *testing.T) {
	f := setup(t)
	if _, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: bareIngress}); err != nil {
		t.Fatal(err)
	}
	g := &governor{status: messages.StatusSuccess}
	if _, err := Run(t.Context(), f.options(g)); err == nil || !strings.Contains(err.Error(), bareIngress) {
		t.Errorf("got %v, want an error that names %s", err, bareIngress)
	}
	if _, err := f.js.Stream(t.Context(), bareIngress); err != nil {
		t.Errorf("the stream is gone: %v", err)
	}
}

// nothingLeft fails where a measurement left streams behind.
func (f fixture) nothingLeft(t *testing.T) {
	t.Helper()
	for _, name := range []string{bareIngress, broker.WorkStream(barePartition)} {
		if _, err := f.js.Stream(t.Context(), name); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("stream %s is still there: %v", name, err)
		}
	}
}

func TestReportHasTheAgreedKeys(t *testing.T) {
	r := Report{Sync: SyncAlways, GovernedRoundsRPS: []float64{1, 2}, BareRoundsRPS: []float64{3}, Durable: &Durable{DurableRPS: 1234}}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]any{}
	if err := json.Unmarshal(data, &have); err != nil {
		t.Fatal(err)
	}
	keys := slices.Sorted(maps.Keys(have))
	for key := range strings.FieldsSeq("governed_rps bare_rps ratio unloaded_p50_ms unloaded_p99_ms bare_p50_ms bare_p99_ms " +
		"cpu_us_per_request cpu_split_us alloc_bytes_per_request sync rounds seconds_per_round requests " +
		"durable_rps bare_serial_durable_rps durable_singly_rps group_gain flushes_per_request") {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is missing in %v", key, keys)
		}
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil || !strings.Contains(out.String(), "sync always") || !strings.Contains(out.String(), "1 2") || !strings.Contains(out.String(), "1234") {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

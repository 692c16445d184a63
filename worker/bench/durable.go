package bench

import (
	"context"
	"fmt"
	"io"
	"time"

	"flowgate/worker"
)

// Durable is what it costs to flush before every acknowledgement. Rates are medians of rounds, as those of the Report.
type Durable struct {
	// DurableRPS is the governed chain's, as it runs; DurableSinglyRPS with every publication a flush of its own; 0 where the
	// node never publishes together. GroupGain is the first by the second.
	DurableRPS       float64 `json:"durable_rps"`
	DurableSinglyRPS float64 `json:"durable_singly_rps"`
	GroupGain        float64 `json:"group_gain"`
	// BareSerialDurableRPS is the bare chain's, whose publications are a flush each.
	BareSerialDurableRPS float64 `json:"bare_serial_durable_rps"`
	// GroupMembers is how many publications an atomic batch had on average; GroupRefused counts batches that went out singly.
	GroupMembers float64 `json:"group_members"`
	GroupRefused uint64  `json:"group_refused"`
	// FlushesPerRequest are of a governed round as it runs, FlushesPerRequestSingly of one with single publications alone.
	FlushesPerRequest       Flushes `json:"flushes_per_request"`
	FlushesPerRequestSingly Flushes `json:"flushes_per_request_singly"`
}

// tracedTime bounds the rounds in which flushes are counted: their traces are large.
const tracedTime = 3 * time.Second

func (b *bench) grouped() bool { return b.opts.Sync == SyncAlways && b.opts.Group != nil }

// singly is a governed round in which every publication goes by itself.
func (b *bench) singly(ctx context.Context, n int, length time.Duration) (sample, error) {
	b.opts.Group.Switch(false)
	defer b.opts.Group.Switch(true)
	t := b.governed()
	t.name = "governed, singly"
	return b.round(ctx, t, n, length)
}

// durable reports on the rounds and counts flushes in one more, or two.
func (b *bench) durable(ctx context.Context, governed, singly, bare []sample, did worker.GroupCounts) (*Durable, error) {
	d := &Durable{
		DurableRPS: median(rates(governed)), DurableSinglyRPS: median(rates(singly)), BareSerialDurableRPS: median(rates(bare)),
		GroupRefused: did.Refused,
	}
	if d.DurableSinglyRPS > 0 {
		d.GroupGain = rounded(d.DurableRPS/d.DurableSinglyRPS, 2)
	}
	if did.Batches > 0 {
		d.GroupMembers = rounded(float64(did.Members)/float64(did.Batches), 1)
	}
	length := min(tracedTime, b.opts.RoundTime)
	b.opts.Progress("flushes are counted")
	var err error
	if d.FlushesPerRequest, err = flushes(func() (sample, error) { return b.round(ctx, b.governed(), 0, length) }); err != nil {
		return nil, err
	}
	if b.grouped() {
		d.FlushesPerRequestSingly, err = flushes(func() (sample, error) { return b.singly(ctx, 0, length) })
	}
	return d, err
}

// flushes counts those of a round.
func flushes(round func() (sample, error)) (Flushes, error) {
	var s sample
	f, err := traced(func() (err error) { s, err = round(); return err })
	return f.per(s.requests), err
}

// print adds rows to the report's table, the last column of which is the bare chain's.
func (d *Durable) print(w io.Writer) error {
	if d == nil {
		return nil
	}
	rows := [][]any{{"durable requests/s", round(d.DurableRPS), round(d.BareSerialDurableRPS)}}
	together, alone := d.FlushesPerRequest, d.FlushesPerRequestSingly
	if d.DurableSinglyRPS > 0 {
		rows = append(rows, []any{"  published singly", round(d.DurableSinglyRPS), ""}, []any{"  gained by publishing together", "x " + two(d.GroupGain), ""},
			[]any{"  together on average", round(d.GroupMembers), ""}, []any{"flushes a request", "together", "singly"})
	} else {
		rows = append(rows, []any{"flushes a request", "", ""})
		together, alone = alone, d.FlushesPerRequest
	}
	for _, of := range []struct {
		what            string
		together, alone float64
	}{
		{"publications", together.Publications, alone.Publications},
		{"batches", together.Batches, alone.Batches},
		{"consumer state", together.ConsumerState, alone.ConsumerState},
		{"removals", together.Removals, alone.Removals},
		{"other", together.Other, alone.Other},
	} {
		rows = append(rows, []any{"  " + of.what, two(of.together), two(of.alone)})
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "%v\t%v\t%v\n", row...); err != nil {
			return fmt.Errorf("printing the report: %w", err)
		}
	}
	return nil
}

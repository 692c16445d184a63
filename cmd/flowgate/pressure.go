package main

import (
	"context"
	"errors"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker/broker"
	"flowgate/worker/fleet"
	"flowgate/worker/gate"
)

// gaugeEvery is how often a process looks at what waits: a layer overshoots its mark by what it does in that time.
const gaugeEvery = 250 * time.Millisecond

// startPressure begins to look at what waits and, where there is a database, at what must not run full.
func (n *node) startPressure(parts context.Context) error {
	gauge := broker.NewGauge(n.js, n.topology.Consumers, gaugeEvery, n.log)
	n.waits = gauge.Waits
	n.parts.Go(func() { gauge.Run(parts) })
	if !n.roles.database() {
		return nil
	}
	var err error
	if n.gate, err = gate.New(gate.Options{Marks: marks(n.settings), Look: n.lookAround, Logger: n.log}); err != nil {
		return err
	}
	n.parts.Go(func() { n.gate.Run(parts) })
	return nil
}

// marks are those of the gate out of settings.
func marks(s configs.Settings) gate.Marks {
	m := s.Flowgate.Marks
	return gate.Marks{Lag: m.RecorderLag, Free: uint64(m.DiskFreeMB) << 20, Full: m.StreamPercent, Backlog: uint64(m.Backlog)} //nolint:gosec // validated
}

// lookAround gathers what the gate judges. What is not known is left out, beside the error.
func (n *node) lookAround(ctx context.Context) (gate.Facts, error) {
	f := gate.Facts{Backlog: make(map[messages.Class]uint64)}
	disk, err := fleet.DiskOf(n.folder.Dir())
	if err == nil {
		f.Disks = append(f.Disks, gate.Space{What: "the disk of " + disk.Path, Used: disk.TotalBytes - disk.FreeBytes, Total: disk.TotalBytes})
	}
	faults := []error{err}
	if n.broker != nil {
		account, err := n.js.AccountInfo(ctx)
		if err == nil && account.Limits.MaxStore > 0 {
			f.Streams = append(f.Streams, gate.Space{What: "the broker's storage", Used: account.Store, Total: uint64(account.Limits.MaxStore)})
		}
		faults = append(faults, err)
	}
	for _, s := range n.topology.Streams {
		stream, err := n.js.Stream(ctx, s.Name)
		if err == nil && stream.CachedInfo().Config.MaxBytes > 0 {
			info := stream.CachedInfo()
			f.Streams = append(f.Streams, gate.Space{What: "stream " + s.Name, Used: info.State.Bytes, Total: uint64(info.Config.MaxBytes)})
		}
		faults = append(faults, err)
	}
	lag, err := n.askLag(ctx)
	if err == nil {
		f.Lag = lag
	}
	for _, class := range messages.Classes() {
		for _, q := range pipelines.Chain()[0].Queues {
			if q.State == "" {
				f.Backlog[class] += n.waits(broker.LayerQueue{Name: q.Name}.Consumer(class, 0))
			}
		}
	}
	return f, errors.Join(append(faults, err)...)
}

// fullBehind tells a queue when nothing is to be taken from it: the next layer has more of its class than the mark, or, for
// what would be admitted, nothing more is. Requests that wait at layer 1 are let go on: they are in the stream already.
func (n *node) fullBehind(link int, state messages.State, class messages.Class) func() bool {
	chain := pipelines.Chain()
	next := ""
	if link+1 < len(chain) && state != messages.StateHold {
		q := chain[link+1].Queues[0]
		next = broker.LayerQueue{Name: q.Name, State: q.State}.Consumer(class, 0)
	}
	mark := uint64(n.settings.Flowgate.Marks.NextLayer) //nolint:gosec // validated
	return func() bool {
		if state == "" && n.gate != nil && n.gate.Closed() {
			return true
		}
		return next != "" && n.waits(next) > mark
	}
}

// intake answers who asks whether submissions are taken.
func (n *node) intake(class messages.Class) messages.Intake { return n.gate.Intake(class) }

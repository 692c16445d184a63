package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker/broker"
)

// openTopology makes streams, buckets and consumers where this process may, and refuses what breaks the protocol's rules
// afterwards. Sizes and copies are an administrator's: where they differ from the settings, that is a warning.
func (n *node) openTopology(ctx context.Context) error {
	var err error
	if n.topology, err = topologyOf(n.settings); err != nil {
		return err
	}
	if err := samePartitions(ctx, n.js, 1); err != nil {
		return environmentError{err}
	}
	if err := n.applyTopology(ctx); err != nil {
		return environmentError{err}
	}
	differences, err := broker.Check(ctx, n.js, n.topology)
	if err != nil {
		return environmentError{err}
	}
	for _, d := range differences {
		switch {
		case d.Missing():
			err = errors.Join(err, errors.New(d.String()))
		case d.Breaks():
			err = errors.Join(err, fmt.Errorf("%s: %s", d, d.Remedy()))
		default:
			n.log.Warn("the topology differs from the settings", zap.String("thing", d.Thing), zap.String("field", d.Field),
				zap.String("have", d.Have), zap.String("want", d.Want), zap.String("remedy", d.Remedy()))
		}
	}
	if err != nil {
		if slices.ContainsFunc(differences, broker.Difference.Missing) {
			err = fmt.Errorf("%w\nAn administrator makes what is missing: run `flowgate topology apply`", err)
		}
		return environmentError{fmt.Errorf("checking the topology: %w", err)}
	}
	n.claims, err = broker.OpenClaims(ctx, n.js)
	return err
}

// applyTopology makes what is missing: all of it on a broker of our own, on another what the protocol needs, if this user may.
func (n *node) applyTopology(ctx context.Context) error {
	switch {
	case !n.own:
		return nil
	case n.broker != nil:
		return broker.Apply(ctx, n.js, n.topology)
	}
	err := broker.Ensure(ctx, n.js, n.topology)
	if errors.Is(err, nats.ErrPermissionViolation) {
		n.log.Warn("the broker lets this user make no streams: what is there is used", zap.Error(err))
		return nil
	}
	return err
}

// topologyOf is what must exist in JetStream by the settings.
func topologyOf(s configs.Settings) (broker.Topology, error) {
	options := broker.DefaultTopologyOptions()
	options.AckWait = s.Flowgate.AckWait
	options.Replicas = s.Flowgate.Replicas
	cache, _ := s.CacheInForce()
	options.CacheTTL, options.CacheMaxBytes = max(cache.LongestTTL(), time.Second), int64(cache.Shared.MaxSizeMB)<<20
	return broker.NewTopology(options, layerQueues())
}

// samePartitions refuses another number of partitions than the one that requests were spread over before: their states and
// results would be looked for where they are not.
func samePartitions(ctx context.Context, js jetstream.JetStream, want int) error {
	found, err := broker.PartitionsFound(ctx, js)
	if err == nil && found != 0 && found != want {
		err = fmt.Errorf("the broker has %d partitions (%s is the last), this build works with %d: the number cannot be changed after the first start",
			found, broker.WorkStream(found-1), want)
	}
	return err
}

func layerQueues() []broker.LayerQueue {
	var queues []broker.LayerQueue
	for _, layer := range pipelines.Chain() {
		queues = append(queues, queuesOf(layer)...)
	}
	return queues
}

func queuesOf(layer pipelines.Layer) []broker.LayerQueue {
	var queues []broker.LayerQueue
	for _, q := range layer.Queues {
		queues = append(queues, broker.LayerQueue{Name: q.Name, State: q.State})
	}
	return queues
}

// duty is what the broker must permit to a process with these roles. A layer reads its queues, and publishes their states
// again (retries), every later one, and hold, for what a purge has overtaken; calls are announced by the layer that makes them.
func (rs roles) duty() broker.Duty {
	d := broker.Duty{Records: rs.has(roleRecorder), Wakes: rs.layer(messages.LayerCorporate), Agrees: rs.database(), Caches: rs.layer(messages.LayerAI), Submits: rs.has(roleActions)}
	for _, layer := range pipelines.Chain() {
		if !rs.layer(layer.Name) {
			continue
		}
		d.Queues = append(d.Queues, queuesOf(layer)...)
		first := slices.Index(messages.States(), layer.Queues[len(layer.Queues)-1].State)
		for i, state := range messages.States() {
			if state == messages.StateHold || i >= first && (state != messages.StateCalling || layer.Name == messages.LayerAI) {
				d.States = append(d.States, state)
			}
		}
	}
	return d
}

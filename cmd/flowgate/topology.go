package main

import (
	"context"
	"errors"
	"fmt"

	"flowgate/pipelines"
	"flowgate/worker/broker"
)

// openTopology makes streams, buckets and consumers where this process may, and refuses what differs afterwards.
func (n *node) openTopology(ctx context.Context) error {
	options := broker.DefaultTopologyOptions()
	options.AckWait = n.settings.Flowgate.AckWait
	var err error
	if n.topology, err = broker.NewTopology(options, layerQueues()); err != nil {
		return err
	}
	if n.own {
		if err := broker.Apply(ctx, n.js, n.topology); err != nil {
			return err
		}
	}
	differences, err := broker.Check(ctx, n.js, n.topology)
	if err != nil {
		return err
	}
	for _, d := range differences {
		err = errors.Join(err, errors.New(d.String()))
	}
	if err != nil {
		return environmentError{fmt.Errorf("checking the topology: %w", err)}
	}
	n.claims, err = broker.OpenClaims(ctx, n.js)
	return err
}

func layerQueues() []broker.LayerQueue {
	var queues []broker.LayerQueue
	for _, layer := range pipelines.Chain() {
		for _, q := range layer.Queues {
			queues = append(queues, broker.LayerQueue{Name: q.Name, State: q.State})
		}
	}
	return queues
}

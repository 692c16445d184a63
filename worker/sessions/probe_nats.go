package sessions

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Consumer names a consumer of a stream.
type Consumer struct{ Stream, Name string }

// NATSProbe sends a ping through the connection that everyone uses and asks how far the consumers are behind.
type NATSProbe struct {
	Conn *nats.Conn
	JS   jetstream.JetStream
	// Consumers are asked for their backlog.
	Consumers []Consumer
	// Source says where the address comes from.
	Source string
}

// Name makes it a Probe.
func (p NATSProbe) Name() string { return "nats" }

// Check makes it a Probe; ctx MUST have a deadline. A backlog is no fault of the broker, so it is told and not judged.
func (p NATSProbe) Check(ctx context.Context) (Finding, error) {
	f := Finding{Source: p.Source}
	if !p.Conn.IsConnected() {
		return f, fmt.Errorf("the connection is %s", p.Conn.Status())
	}
	if err := p.Conn.FlushWithContext(ctx); err != nil {
		return f, fmt.Errorf("no answer to a ping: %w", err)
	}
	largest, of := uint64(0), Consumer{}
	for _, c := range p.Consumers {
		consumer, err := p.JS.Consumer(ctx, c.Stream, c.Name)
		if err != nil {
			return f, fmt.Errorf("asking for consumer %s of %s: %w", c.Name, c.Stream, err)
		}
		info := consumer.CachedInfo()
		if behind := info.NumPending + uint64(max(0, info.NumAckPending)); behind > largest {
			largest, of = behind, c
		}
	}
	f.Detail = "nats-server " + p.Conn.ConnectedServerVersion()
	switch {
	case largest > 0:
		f.Detail += fmt.Sprintf(", largest backlog %d (%s)", largest, of.Name)
	case len(p.Consumers) > 0:
		f.Detail += ", no backlog"
	}
	return f, nil
}

package pace

import (
	"context"

	"github.com/nats-io/nats.go"
)

// Loop is Run over another transport than NATS.
func (p *Pace) Loop(ctx context.Context, heard <-chan *nats.Msg, send func(data []byte) error) {
	p.loop(ctx, heard, send)
}

// Hear is what becomes of a message.
func (p *Pace) Hear(data []byte) error { return p.hear(data) }

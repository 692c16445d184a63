package pace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// backlog bounds what others told and was not read yet; more is dropped, and they tell it again.
const backlog = 1024

// Run tells the other workers and hears them until ctx ends. Nothing waits for it: while the broker is away each worker paces by what
// it hears itself.
func (p *Pace) Run(ctx context.Context) (err error) {
	var heard chan *nats.Msg
	if p.opts.Conn != nil {
		heard = make(chan *nats.Msg, backlog)
		sub, err := p.opts.Conn.ChanSubscribe(Subject, heard)
		if err != nil {
			return fmt.Errorf("hearing how others pace: %w", err)
		}
		defer func() {
			if stopped := sub.Unsubscribe(); stopped != nil && !p.opts.Conn.IsClosed() {
				err = errors.Join(err, fmt.Errorf("hearing how others pace: %w", stopped))
			}
		}()
	}
	p.loop(ctx, heard, func(data []byte) error {
		if p.opts.Conn == nil {
			return nil
		}
		return p.opts.Conn.Publish(Subject, data)
	})
	return nil
}

// loop hears and sends until ctx ends.
func (p *Pace) loop(ctx context.Context, heard <-chan *nats.Msg, send func(data []byte) error) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	var dropped int
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-heard:
			if err := p.hear(m.Data); err != nil {
				if dropped++; dropped&(dropped-1) == 0 { // the 1st, 2nd, 4th, 8th …
					p.log.Warn("a message on how others pace is dropped", zap.Int("dropped", dropped), zap.Error(err))
				}
			}
		case <-p.poke:
			p.publish(true, send)
		case <-tick.C:
			p.publish(false, send)
		}
	}
}

// hear takes what another worker told. Keys that nobody uses here are kept too: whoever begins to use them knows.
func (p *Pace) hear(data []byte) error {
	m, err := decode(data)
	if err != nil || m.Worker == p.opts.Worker {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, l := range m.Lines {
		if b := p.bucket(Key{Backend: l.Backend, Model: l.Model}, now); b != nil {
			b.merge(now, m.Worker, l, p.opts.LongestBlock)
			b.next()
		}
	}
	return nil
}

// publish tells the keys that changed, or all that were used of late. What is lost is told again soon.
func (p *Pace) publish(changed bool, send func(data []byte) error) {
	for part := range slices.Chunk(p.lines(changed), maxLines) {
		data, err := json.Marshal(message{V: Version, Worker: p.opts.Worker, Lines: part})
		if err == nil {
			err = send(data)
		}
		if err != nil {
			p.log.Debug("telling how this worker paces", zap.Error(err))
			return
		}
	}
}

func (p *Pace) lines(changed bool) (lines []line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !changed {
		p.forget(now)
	}
	for _, b := range p.buckets {
		if !word(b.key.Backend) || !word(b.key.Model) {
			continue
		}
		l := b.line(now)
		busy := l.Sent != b.told.Sent || l.Demand > 0.5 || now.Sub(b.toldAt) >= tellAnyway
		if b.changed || !changed && busy && now.Sub(b.used) < tellFor {
			lines = append(lines, l)
			b.told, b.toldAt = l, now
		}
		b.changed = false
	}
	return lines
}

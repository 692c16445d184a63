package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
)

// pullHeartbeat renews a pull that the server forgot.
const pullHeartbeat = 2 * time.Second

// lane takes deliveries of one hop until ctx ends. It returns the first error of the broker: a measurement with errors
// means nothing.
func (b *bare) lane(ctx context.Context, s stage, consumer jetstream.Consumer) error {
	var hands sync.WaitGroup
	defer hands.Wait()
	most := b.opts.microBatch
	if s.single {
		most = b.opts.concurrency
	}
	slots := make(chan struct{}, most)
	faults := make(chan error, 1)
	for {
		free := most
		if s.single {
			if free = acquire(ctx, slots); free == 0 {
				return nil
			}
		}
		pull, err := consumer.Fetch(free, jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(pullHeartbeat))
		if err != nil {
			return fmt.Errorf("fetching: %w", err)
		}
		if s.single {
			b.singles(ctx, s, pull, &hands, slots, free, faults)
		} else if err := b.batches(ctx, s, pull); err != nil {
			return err
		}
		select {
		case err := <-faults:
			return err
		case <-ctx.Done():
			return nil
		default:
		}
		if err := pull.Error(); err != nil && !errors.Is(err, jetstream.ErrNoHeartbeat) {
			return fmt.Errorf("fetching: %w", err)
		}
	}
}

// acquire waits for a free slot and takes every other free one with it; 0: ctx ended.
func acquire(ctx context.Context, slots chan struct{}) int {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	n := 1
	for n < cap(slots) {
		select {
		case slots <- struct{}{}:
			n++
		default:
			return n
		}
	}
	return n
}

// singles starts one hand a delivery, each of which gives its slot back, and gives back what the pull did not use.
func (b *bare) singles(ctx context.Context, s stage, pull jetstream.MessageBatch, hands *sync.WaitGroup, slots chan struct{}, free int, faults chan<- error) {
	for msg := range pull.Messages() {
		free--
		hands.Go(func() {
			defer func() { <-slots }()
			if err := b.advance(ctx, s, []jetstream.Msg{msg}); err != nil {
				select {
				case faults <- err:
				default:
				}
			}
		})
	}
	for range free {
		<-slots
	}
}

// batches makes micro-batches of what is there: it waits for the first delivery only.
func (b *bare) batches(ctx context.Context, s stage, pull jetstream.MessageBatch) error {
	messages := pull.Messages()
	for first := range messages {
		batch := []jetstream.Msg{first}
		for more := true; more && len(batch) < b.opts.microBatch; {
			select {
			case msg, open := <-messages:
				if more = open; open {
					batch = append(batch, msg)
				}
			default:
				more = false
			}
		}
		if err := b.advance(ctx, s, batch); err != nil {
			return err
		}
	}
	return nil
}

// advance publishes the next state of a micro-batch under the law and acknowledges what is stored, or was moved before.
func (b *bare) advance(ctx context.Context, s stage, batch []jetstream.Msg) error {
	pubs := make([]*worker.Publication, len(batch))
	for i, msg := range batch {
		p, err := s.publication(msg)
		if err != nil {
			return err
		}
		pubs[i] = p
	}
	for i, receipt := range b.hop.Publish(ctx, pubs) {
		if receipt.Fate == worker.FateUnknown {
			return fmt.Errorf("publishing: %w", receipt.Err)
		}
		if err := batch[i].Ack(); err != nil { //nolint:forbidigo // the bare chain has no worker that could answer
			return fmt.Errorf("acknowledging: %w", err)
		}
	}
	return nil
}

// publication is the next state with the same bytes. A request's own sequence is none of the WORK stream's: its family
// must be empty.
func (s stage) publication(msg jetstream.Msg) (*worker.Publication, error) {
	p := &worker.Publication{Data: msg.Data()}
	if key, ok := strings.CutPrefix(msg.Subject(), barePrefix+"request.std."); ok {
		tenant, id, _ := strings.Cut(key, ".")
		p.Address = messages.Address{Key: messages.Key{Tenant: tenant, ID: id}, Class: messages.ClassStd, P: barePartition}
	} else {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, fmt.Errorf("reading metadata of a delivery: %w", err)
		}
		if p.Address, err = messages.ParseSubject(msg.Subject()); err != nil {
			return nil, fmt.Errorf("reading a delivery: %w", err)
		}
		p.Expect = meta.Sequence.Stream
	}
	p.State = s.next
	return p, nil
}

package flights

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// retryEvery is how often a bucket that could not be watched is asked for again.
const retryEvery = 2 * time.Second

// Run hears of the flights of other workers and renews this one's until ctx ends. Without a bucket it only waits.
func (f *Flights) Run(ctx context.Context) {
	told := false
	for ctx.Err() == nil {
		if f.opts.JS == nil {
			<-ctx.Done()
			break
		}
		err := f.watch(ctx)
		if err != nil && ctx.Err() == nil && !told {
			f.opts.Logger.Warn("flights of other workers are not heard of; `flowgate topology apply` makes the bucket", zap.Error(err))
		}
		told = err != nil
		f.use(nil)
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
	f.use(nil)
}

// use makes the bucket the one that is asked; nil: none.
func (f *Flights) use(kv jetstream.KeyValue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kv = kv
}

// watch follows the bucket until ctx or the watch ends.
func (f *Flights) watch(ctx context.Context) error {
	kv, err := f.opts.JS.KeyValue(ctx, Bucket)
	if err != nil {
		return err
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }() // it ends with ctx
	f.use(kv)
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
			f.renew(ctx, kv)
			f.forget()
		case e, open := <-w.Updates():
			if !open {
				return nil
			}
			if e != nil {
				f.hear(e)
			}
		}
	}
}

// hear takes note of what somebody wrote.
func (f *Flights) hear(e jetstream.KeyValueEntry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := e.Key()
	if e.Operation() != jetstream.KeyValuePut {
		f.land(key)
		return
	}
	var said entry
	if json.Unmarshal(e.Value(), &said) != nil || said.Worker == f.opts.Worker {
		return
	}
	if said.Own {
		f.itself(key)
		f.land(key)
		return
	}
	known := f.others[key]
	switch {
	case known == nil && len(f.others) >= maxFlights:
		return
	case known == nil:
		known = &flight{landed: make(chan struct{})}
		f.others[key] = known
	}
	known.leader, known.heard = said.Leader, f.opts.Now()
}

// land ends another worker's flight, under the lock.
func (f *Flights) land(key string) {
	if known := f.others[key]; known != nil {
		delete(f.others, key)
		close(known.landed)
	}
}

// forget ends flights that nobody renews.
func (f *Flights) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, known := range f.others {
		if f.opts.Now().Sub(known.heard) >= Expiry {
			f.land(key)
		}
	}
	for key, until := range f.each {
		if !f.opts.Now().Before(until) {
			delete(f.each, key)
		}
	}
}

// renew keeps this worker's flights from expiring.
func (f *Flights) renew(ctx context.Context, kv jetstream.KeyValue) {
	type mine struct {
		key string
		own *flight
	}
	var all []mine
	f.mu.Lock()
	for key, own := range f.own {
		if own.revision != 0 {
			all = append(all, mine{key, own})
		}
	}
	f.mu.Unlock()
	for _, m := range all {
		value, err := json.Marshal(entry{Worker: f.opts.Worker, Leader: m.own.leader})
		if err != nil {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, patience)
		revision, err := kv.Update(asking, m.key, value, m.own.revision)
		cancel()
		f.mu.Lock()
		switch {
		case err == nil:
			m.own.revision = revision
		case coded(err):
			m.own.revision = 0 // it is another's by now
		}
		f.mu.Unlock()
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/worker"
	"flowgate/worker/chaos"
	"flowgate/worker/link"
)

// atOnce bounds the faults that are in force at the same time.
const atOnce = 2

// saboteur makes the faults of a schedule.
type saboteur struct {
	ground *drillGround
	c      *client
	say    func(format string, a ...any)

	mu     sync.Mutex
	struck []chaos.Struck
	// waiting are the faults that are healed and after which no result has come yet.
	waiting []int
	// targets are the processes that a fault has in hand.
	targets map[string]*sync.Mutex
}

// run makes each fault when as many requests were accepted as it says, and returns when all are healed.
func (s *saboteur) run(ctx context.Context, schedule []chaos.Fault, accepted func(ctx context.Context, n int) bool) {
	slots := make(chan struct{}, atOnce)
	var inForce sync.WaitGroup
	defer inForce.Wait()
	for _, f := range schedule {
		if !accepted(ctx, f.After) {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		inForce.Go(func() {
			defer func() { <-slots }()
			s.strike(ctx, f)
		})
	}
}

// strike makes one fault and heals it.
func (s *saboteur) strike(ctx context.Context, f chaos.Fault) {
	target, err := s.target(ctx, f)
	one := chaos.Struck{Fault: f, Hit: target, Began: time.Now()}
	if err == nil {
		busy := s.lock(target)
		busy.Lock()
		one.Began = time.Now()
		if f.Target == "" {
			s.say("  %4d accepted: %s: %s", f.After, f, one.Hit)
		} else {
			s.say("  %4d accepted: %s", f.After, f)
		}
		err = s.do(ctx, f, target)
		busy.Unlock()
	}
	one.Healed = time.Now()
	if err != nil && ctx.Err() == nil {
		one.Error = err.Error()
		s.say("  fault %d: %v", f.N, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, len(s.struck))
	s.struck = append(s.struck, one)
}

func (s *saboteur) lock(target string) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.targets[target] == nil {
		s.targets[target] = &sync.Mutex{}
	}
	return s.targets[target]
}

// result tells that a result has come: what was healed before has recovered.
func (s *saboteur) result(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.waiting {
		s.struck[i].RecoverySeconds = at.Sub(s.struck[i].Healed).Seconds()
	}
	s.waiting = nil
}

// target is the process that a fault hits.
func (s *saboteur) target(ctx context.Context, f chaos.Fault) (string, error) {
	switch f.Do { //nolint:exhaustive // the others name theirs
	case chaos.KillLeader, chaos.FreezeLeader:
		return s.leader(ctx)
	case chaos.Rolling:
		return "rolling", nil
	}
	return f.Target, nil
}

// leader is the server that leads the WORK stream.
func (s *saboteur) leader(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, drillGrace)
	defer cancel()
	for {
		info, err := s.stream(ctx, worker.WorkStream(0))
		if err == nil && info.Cluster != nil && info.Cluster.Leader != "" {
			return info.Cluster.Leader, nil
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return "", errors.Join(errors.New("asking who leads: nobody does"), err)
		}
	}
}

// drillGrace bounds the wait for what a fault needs: a leader, a process that is there.
const drillGrace = 30 * time.Second

// stream asks once how a stream stands.
func (s *saboteur) stream(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, ackPatience)
	defer cancel()
	stream, err := s.c.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("asking for stream %s: %w", name, err)
	}
	return stream.CachedInfo(), nil
}

// bound sets how many bytes a stream may have, and asks until it has: what has them in hand may be away.
func (s *saboteur) bound(ctx context.Context, config jetstream.StreamConfig, bytes int64) error {
	config.MaxBytes = bytes
	for {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackPatience)
		_, err := s.c.js.UpdateStream(asking, config)
		cancel()
		if err == nil || !sleep(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

func (s *saboteur) do(ctx context.Context, f chaos.Fault, target string) error {
	k := s.ground.keepers[target]
	wires := s.ground.lines[target]
	switch f.Do {
	case chaos.Kill, chaos.KillLeader:
		return s.end(ctx, k, f.Lasts, k.kill)
	case chaos.Restart:
		return s.end(ctx, k, f.Lasts, func(ctx context.Context) error { return k.drain(ctx, drainGrace) })
	case chaos.Freeze, chaos.FreezeLeader:
		thaw, err := k.freeze(ctx)
		if err != nil {
			return err
		}
		sleep(ctx, f.Lasts)
		return thaw()
	case chaos.CutBroker, chaos.CutDatabase:
		return s.disturb(ctx, wires, f, link.State{Cut: true})
	case chaos.FreezeBroker:
		return s.disturb(ctx, wires, f, link.State{Frozen: true})
	case chaos.SlowBroker, chaos.SlowDatabase:
		return s.disturb(ctx, wires, f, link.State{Delay: f.Delay})
	case chaos.Isolate:
		s.ground.isolate(target, link.State{Cut: true})
		sleep(ctx, f.Lasts)
		s.ground.isolate(target, link.State{})
		return nil
	case chaos.Fill:
		return s.fill(ctx, target, f.Lasts)
	case chaos.Rolling:
		return s.rolling(ctx)
	}
	return fmt.Errorf("fault %q is not known here", f.Do)
}

// end ends a process in some way, and has it started again after a while.
func (s *saboteur) end(ctx context.Context, k *keeper, lasts time.Duration, how func(context.Context) error) error {
	release := k.hold()
	defer release()
	if err := how(ctx); err != nil {
		return err
	}
	sleep(ctx, lasts)
	return nil
}

func (s *saboteur) disturb(ctx context.Context, l *network, f chaos.Fault, state link.State) error {
	database := f.Do == chaos.CutDatabase || f.Do == chaos.SlowDatabase
	l.set(database, state)
	sleep(ctx, f.Lasts)
	l.set(database, link.State{})
	return nil
}

// fillRoom is what a stream may still take while it is full.
const fillRoom = 16 << 10

// fill bounds a stream to what it has, and a little more.
func (s *saboteur) fill(ctx context.Context, name string, lasts time.Duration) error {
	var info *jetstream.StreamInfo
	for {
		var err error
		if info, err = s.stream(ctx, name); err == nil {
			break
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return err
		}
	}
	if err := s.bound(ctx, info.Config, int64(info.State.Bytes)+fillRoom); err != nil { //nolint:gosec // far from its bound
		return fmt.Errorf("filling the stream: %w", err)
	}
	sleep(ctx, lasts)
	return s.bound(ctx, info.Config, info.Config.MaxBytes)
}

// rolling restarts every NATS server, each once the one before is whole again.
func (s *saboteur) rolling(ctx context.Context) error {
	for _, b := range s.ground.brokers {
		k := s.ground.keepers[b.name]
		busy := s.lock(b.name)
		busy.Lock()
		err := s.end(ctx, k, 0, func(ctx context.Context) error { return k.drain(ctx, drainGrace) })
		busy.Unlock()
		if err == nil {
			err = s.ground.whole(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// kept is a process as a supervisor sees it.
type kept interface {
	// Done is closed when it has ended, PID is its process id and that of its group.
	Done() <-chan struct{}
	PID() int
}

// keeper is the supervisor of one process of a drill: it starts again what has ended, unless it is told to hold.
type keeper struct {
	name string
	log  *zap.Logger
	// start starts the process; one that fails is tried again.
	start func(ctx context.Context) (kept, error)
	// ask is the signal that asks it to end.
	ask syscall.Signal

	mu      sync.Mutex
	process kept
	held    chan struct{} // closed when it may be started again; nil: it may
	// unasked is how often it ended without being told to.
	unasked int
}

// startAgainAfter is how long a supervisor waits before it starts again what has ended.
const startAgainAfter = 100 * time.Millisecond

// run supervises until ctx ends; what runs then is left to run.
func (k *keeper) run(ctx context.Context) {
	for {
		process, _ := k.look()
		select {
		case <-ctx.Done():
			return
		case <-process.Done():
		}
		if !k.released(ctx) || !k.again(ctx) {
			return
		}
	}
}

// released waits until the process may be started again; false: ctx has ended.
func (k *keeper) released(ctx context.Context) bool {
	process, held := k.look()
	if held == nil {
		k.mu.Lock()
		k.unasked++
		k.mu.Unlock()
		k.log.Warn("a process of the drill ended by itself", zap.String("process", k.name), zap.String("said", fmt.Sprint(process)))
		return sleep(ctx, startAgainAfter)
	}
	select {
	case <-ctx.Done():
		return false
	case <-held:
		return true
	}
}

func (k *keeper) look() (kept, chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.process, k.held
}

// again starts the process anew; false: ctx has ended.
func (k *keeper) again(ctx context.Context) bool {
	for {
		process, err := k.start(ctx)
		if err == nil {
			k.mu.Lock()
			k.process = process
			k.mu.Unlock()
			return true
		}
		k.log.Warn("starting a process of the drill", zap.String("process", k.name), zap.Error(err))
		if !sleep(ctx, startAgainAfter) {
			return false
		}
	}
}

// hold keeps the supervisor from starting the process until release is called.
func (k *keeper) hold() (release func()) {
	held := make(chan struct{})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = held
	return sync.OnceFunc(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.held = nil
		close(held)
	})
}

// kill ends the process as a loss of the machine would, and waits until it has.
func (k *keeper) kill(ctx context.Context) error {
	process, err := k.signal(ctx, syscall.SIGKILL)
	if err != nil {
		return err
	}
	return k.gone(ctx, process)
}

// drain asks the process to end; one that does not within the grace is killed.
func (k *keeper) drain(ctx context.Context, grace time.Duration) error {
	process, _ := k.look()
	if err := syscall.Kill(process.PID(), k.ask); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping %s: %w", k.name, err)
	}
	soon, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if k.gone(soon, process) == nil {
		return nil
	}
	return k.kill(ctx)
}

func (k *keeper) gone(ctx context.Context, process kept) error {
	select {
	case <-process.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of %s: %w", k.name, ctx.Err())
	}
}

// freeze stops the process without ending it until thaw is called.
func (k *keeper) freeze(ctx context.Context) (thaw func() error, err error) {
	process, err := k.signal(ctx, syscall.SIGSTOP)
	if err != nil {
		return nil, err
	}
	return func() error { return signalAll(process, syscall.SIGCONT) }, nil
}

// signal signals the process; one that has just ended by itself has a successor soon.
func (k *keeper) signal(ctx context.Context, sig syscall.Signal) (kept, error) {
	ctx, cancel := context.WithTimeout(ctx, drillGrace)
	defer cancel()
	for {
		process, held := k.look()
		err := signalAll(process, sig)
		if err == nil || held != nil { // who holds it has it ended, and nobody starts it
			return process, nil
		}
		if !sleep(ctx, startAgainAfter) {
			return nil, fmt.Errorf("signalling %s: %w", k.name, err)
		}
	}
}

// signalAll signals a process and its group.
func signalAll(process kept, sig syscall.Signal) error {
	if err := syscall.Kill(-process.PID(), sig); err != nil {
		return syscall.Kill(process.PID(), sig)
	}
	return nil
}

// exits is how often the process ended without being told to.
func (k *keeper) exits() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.unasked
}

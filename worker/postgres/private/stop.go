package private

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// stopGrace is what a shutdown may take; it writes a checkpoint, which takes long on a slow disk.
const stopGrace = 30 * time.Second

// shutDown is Stop, once.
func (s *Server) shutDown() error {
	select {
	case <-s.child.done:
		s.watching.Wait()
		return fmt.Errorf("postgres had ended by itself: %w", ending(s.child.err))
	default:
	}
	for i, step := range politeFirst(s.grace) {
		if err := s.child.signal(step.signal); err != nil {
			return err
		}
		late := time.NewTimer(step.grace)
		select {
		case <-late.C:
			s.logger.Warn("postgres does not stop", zap.Stringer("signal", step.signal), zap.Duration("waited", step.grace))
			continue
		case <-s.child.done:
			late.Stop()
		}
		s.watching.Wait()
		s.removeMovedSocket()
		if i > 0 {
			return fmt.Errorf("postgres did not stop in %s and was ended with %s: its next start recovers", s.grace, step.signal)
		}
		if s.child.err != nil {
			return fmt.Errorf("stopping postgres: %w", s.child.err)
		}
		return nil
	}
	return fmt.Errorf("postgres, pid %d, does not end", s.PID())
}

// removeMovedSocket leaves no empty folder in the temporary directory.
func (s *Server) removeMovedSocket() {
	if dir := s.place.socket; filepath.Dir(dir) != s.place.root {
		_ = os.Remove(dir) // not empty after a crash: the next start takes it over
	}
}

// ending is how a process that had no business ending did.
func ending(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// step is one way to end a server and the time given to it.
type step struct {
	signal syscall.Signal
	grace  time.Duration
}

// politeFirst returns the ways to end a server: fast shutdown with a checkpoint; immediate shutdown, after which the
// next start recovers; the kill, whose children notice by themselves.
func politeFirst(grace time.Duration) []step {
	return []step{{syscall.SIGINT, grace}, {syscall.SIGQUIT, grace / 3}, {syscall.SIGKILL, stopGrace}}
}

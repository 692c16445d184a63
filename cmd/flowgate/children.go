package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process of this program that another one started: `flowgate cluster` is made of them.
type child struct {
	name  string
	cmd   *exec.Cmd
	said  *firstDocument
	noise *tail
	done  chan struct{} // closed when the process has been waited for
	err   error         // how it ended; valid after done
}

// startChild starts a program. It ends when this process does, however that ends (on Linux).
func startChild(name, exe string, env []string, args ...string) (*child, error) {
	c := &child{name: name, said: newFirstDocument(), noise: &tail{}, done: make(chan struct{})}
	c.cmd = exec.Command(exe, args...) //nolint:gosec // this very program, or one that a test built
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = env, c.said, c.noise
	c.cmd.SysProcAttr, c.cmd.WaitDelay = ownGroup(), time.Second
	started := make(chan error)
	go func() { // the death signal follows the thread that forked: it is kept until the child is gone
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.err = c.cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return c, nil
}

// Done is closed when the child has ended.
func (c *child) Done() <-chan struct{} { return c.done }

// PID is the child's process id, and that of its group.
func (c *child) PID() int { return c.cmd.Process.Pid }

// String is what the child wrote last to its standard error.
func (c *child) String() string { return c.noise.String() }

// ready waits for the first JSON document that the child prints and decodes it.
func (c *child) ready(ctx context.Context, into any) error {
	select {
	case <-c.said.whole:
		return json.Unmarshal(c.said.Bytes(), into)
	case <-c.done:
		return fmt.Errorf("%s ended before it was ready: %w: %s", c.name, errors.Join(c.err, io.EOF), c.noise)
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w: %s", c.name, ctx.Err(), c.noise)
	}
}

// finish waits for the end of a child that ends by itself.
func (c *child) finish(ctx context.Context) error {
	select {
	case <-c.done:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), c.stop(time.Second))
	}
	if c.err != nil {
		return fmt.Errorf("%s: %w: %s", c.name, c.err, c.noise)
	}
	return nil
}

// stop asks the child to drain; after the grace it is killed with its whole group, which is an error. A child that has ended
// before is an error too, unless it ended well.
func (c *child) stop(grace time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", c.name, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // it may have ended this very moment
		<-c.done
		return fmt.Errorf("%s did not drain within %s and was killed: %s", c.name, grace, c.noise)
	}
	if c.err != nil {
		return fmt.Errorf("%s ended badly: %w: %s", c.name, c.err, c.noise)
	}
	return nil
}

// firstDocument keeps what a child prints, up to maxSaid, and tells when that is one whole JSON document.
type firstDocument struct {
	whole chan struct{}

	mu     sync.Mutex
	text   bytes.Buffer
	closed bool
}

// maxSaid bounds what is kept of a child's standard output.
const maxSaid = 1 << 20

func newFirstDocument() *firstDocument { return &firstDocument{whole: make(chan struct{})} }

func (f *firstDocument) Write(data []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed && f.text.Len()+len(data) <= maxSaid {
		f.text.Write(data)
		if json.Valid(f.text.Bytes()) {
			f.closed = true
			close(f.whole)
		}
	}
	return len(data), nil
}

// Bytes is what was printed.
func (f *firstDocument) Bytes() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.text.Bytes())
}

// tail keeps the last bytes that a child wrote to its standard error.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, data...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(data), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

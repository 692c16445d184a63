package private

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// child is a process in a process group of its own, so that a terminal's interrupt does not reach it.
type child struct {
	process *os.Process
	done    chan struct{} // closed when the process has been waited for
	err     error         // how it ended; valid after done
}

// spawn starts command as id. The system sends the death signal when the *thread* that forked ends, not the process:
// one goroutine forks and waits and keeps its thread to itself until the child is gone.
func spawn(id identity, command *exec.Cmd) (*child, error) {
	attr, err := attributes(id)
	if err != nil {
		return nil, err
	}
	command.SysProcAttr = attr
	command.Env = environment(command.Environ(), libraries(filepath.Dir(command.Path)))
	command.WaitDelay = time.Second
	c := &child{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		c.process = command.Process
		started <- err
		if err != nil {
			return
		}
		c.err = command.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// wait returns when the child has ended or, after killing it with its whole group, when ctx has.
func (c *child) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		_ = syscall.Kill(-c.process.Pid, syscall.SIGKILL)
		<-c.done
		return ctx.Err()
	}
}

// signal is safe after the end of the child, when its number may be somebody else's.
func (c *child) signal(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to postgres: %w", sig, err)
	}
	return nil
}

// output runs a short program to its end and returns what it printed.
func output(ctx context.Context, id identity, program string, args ...string) (string, error) {
	var out bytes.Buffer
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = &out, &out
	c, err := spawn(id, command)
	if err != nil {
		return "", err
	}
	if err := c.wait(ctx); err != nil {
		return "", fmt.Errorf("running %s: %w: %s", program, err, strings.TrimSpace(out.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// environment drops what would change the server's mind and fixes locale and time zone. GMT is the one zone that Postgres
// knows on a machine without tzdata. Folders of libraries come before those that the environment names.
func environment(env, libraries []string) []string {
	const path = "LD_LIBRARY_PATH"
	kept := make([]string, 0, len(env)+3)
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") || name == "TZ" || name == "LANGUAGE" {
			continue
		}
		if name == path && len(libraries) > 0 {
			libraries = append(libraries, filepath.SplitList(entry[len(path)+1:])...)
			continue
		}
		kept = append(kept, entry)
	}
	if len(libraries) > 0 {
		kept = append(kept, path+"="+strings.Join(libraries, string(filepath.ListSeparator)))
	}
	return append(kept, "LC_ALL=C", "TZ=GMT")
}

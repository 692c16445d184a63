package link

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// echo is a server on a socket that answers each line with itself.
func echo(t *testing.T, network, address string) End {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return End{network, listener.Addr().String()}
}

func lay(t *testing.T, from, to End) *Link {
	t.Helper()
	l, err := New(from, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

type caller struct {
	net.Conn

	lines *bufio.Reader
}

func call(t *testing.T, l *Link) caller {
	t.Helper()
	conn, err := net.Dial(l.listener.Addr().Network(), l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return caller{conn, bufio.NewReader(conn)}
}

// say sends a line and returns what comes back.
func (c caller) say(line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	return c.lines.ReadString('\n')
}

func TestALinkCarriesUntilItIsCut(t *testing.T) {
	dir, err := os.MkdirTemp("", "link-") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, l := range map[string]*Link{
		"tcp":  lay(t, End{"tcp", "127.0.0.1:0"}, echo(t, "tcp", "127.0.0.1:0")),
		"unix": lay(t, End{"unix", filepath.Join(dir, "near")}, echo(t, "unix", filepath.Join(dir, "far"))),
	} {
		t.Run(name, func(t *testing.T) {
			c := call(t, l)
			if got, err := c.say("one"); err != nil || got != "one\n" {
				t.Errorf("%q, %v", got, err)
			}
			l.Set(State{Cut: true})
			if got, err := c.lines.ReadString('\n'); err == nil {
				t.Errorf("a cut link carries %q", got)
			}
			if _, err := call(t, l).say("two"); err == nil {
				t.Error("a cut link takes another connection")
			}
			l.Set(State{})
			if got, err := call(t, l).say("three"); err != nil || got != "three\n" {
				t.Errorf("after it was mended: %q, %v", got, err)
			}
		})
	}
}

func TestAFrozenLinkDeliversWhenItThaws(t *testing.T) {
	l := lay(t, End{"tcp", "127.0.0.1:0"}, echo(t, "tcp", "127.0.0.1:0"))
	c := call(t, l)
	if _, err := c.say("before"); err != nil {
		t.Fatal(err)
	}
	l.Set(State{Frozen: true})
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, err := c.say("kept back"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a frozen link carries %q, %v", got, err)
	}
	l.Set(State{Delay: time.Millisecond})
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.lines.ReadString('\n'); err != nil || got != "kept back\n" {
		t.Errorf("after the thaw: %q, %v", got, err)
	}
}

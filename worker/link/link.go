// Package link is a stretch of network that can be cut, frozen and slowed: a proxy between two parties of a drill, over TCP or
// over sockets of a file system (where Postgres of one's own listens, which known proxies of this kind do not speak).
package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// State is how a link carries.
type State struct {
	// Cut ends every connection and accepts none.
	Cut bool
	// Frozen carries nothing and ends nothing: what was sent is delivered when it thaws, as after a pause of the network.
	Frozen bool
	// Delay is what each piece takes in either direction.
	Delay time.Duration
}

// End is an address as net.Dial takes it.
type End struct{ Network, Address string }

// Link carries connections from its own address to another. Its methods may be called at any time, concurrently.
type Link struct {
	to       End
	listener net.Listener
	carrying sync.WaitGroup

	mu      sync.Mutex
	state   State
	changed chan struct{} // closed and replaced by each Set
	conns   map[net.Conn]struct{}
	closed  bool
}

// pieceBytes is how much is carried at a time.
const pieceBytes = 32 << 10

// New listens. The caller MUST call Close.
func New(from, to End) (*Link, error) {
	listener, err := net.Listen(from.Network, from.Address) //nolint:noctx // it does not wait
	if err != nil {
		return nil, fmt.Errorf("laying a link: %w", err)
	}
	l := &Link{to: to, listener: listener, changed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	l.carrying.Go(l.accept)
	return l, nil
}

// Address is where the link listens.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Set changes how the link carries, from now on.
func (l *Link) Set(s State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
	if s.Cut {
		l.drop()
	}
}

// drop ends every connection. It is called under the lock.
func (l *Link) drop() {
	for c := range l.conns {
		_ = c.Close() // it is cut off either way
	}
}

// Close ends the link and returns when nothing is carried any more.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	close(l.changed)
	l.changed = make(chan struct{})
	l.drop()
	l.mu.Unlock()
	err := l.listener.Close()
	l.carrying.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // the listener is closed
		}
		l.carrying.Go(func() { l.carry(conn) })
	}
}

// keep takes a connection into the books, or closes it where none is carried.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.state.Cut {
		_ = c.Close() // nobody is served
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) lose(c net.Conn) {
	_ = c.Close() // it may be closed already
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// carry carries one connection to its end.
func (l *Link) carry(near net.Conn) {
	if !l.keep(near) {
		return
	}
	defer l.lose(near)
	dialer := net.Dialer{Timeout: 10 * time.Second}
	far, err := dialer.DialContext(context.Background(), l.to.Network, l.to.Address)
	if err != nil {
		return // as refused as it is there
	}
	if !l.keep(far) {
		return
	}
	defer l.lose(far)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			l.copy(way[0], way[1])
			_ = way[0].Close() // one direction never outlives the other
			_ = way[1].Close()
		})
	}
	both.Wait()
}

func (l *Link) copy(from io.Reader, to io.Writer) {
	piece := make([]byte, pieceBytes)
	for {
		n, err := from.Read(piece)
		if n > 0 && l.pass() {
			_, werr := to.Write(piece[:n])
			err = errors.Join(err, werr)
		}
		if err != nil {
			return
		}
	}
}

// pass waits for as long as the link keeps a piece back; false: the link is closed or cut, nothing passes.
func (l *Link) pass() bool {
	for waited := false; ; {
		l.mu.Lock()
		s, changed, closed := l.state, l.changed, l.closed
		l.mu.Unlock()
		switch {
		case closed || s.Cut:
			return false
		case s.Frozen:
			<-changed
		case s.Delay > 0 && !waited:
			timer := time.NewTimer(s.Delay)
			select {
			case <-timer.C:
				waited = true
			case <-changed:
				timer.Stop()
			}
		default:
			return true
		}
	}
}

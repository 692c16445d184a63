package main

import (
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/worker/state"
)

// dialTimeout bounds one try to reach a broker on this machine.
const dialTimeout = 2 * time.Second

// lead leads a connection back to the flowgate of a state folder: one that was restarted has another password, and with
// port 0 another address.
type lead struct {
	dir string

	mu   sync.Mutex
	info state.Info
}

// options make a connection follow the lead. A refused password does not end it: the new one may not be announced yet.
func (l *lead) options() []nats.Option {
	return []nats.Option{nats.UserInfoHandler(l.credentials), nats.SetCustomDialer(l), nats.IgnoreAuthErrorAbort()}
}

func (l *lead) credentials() (user, password string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.info.OperatorUser, l.info.OperatorPassword
}

// Dial connects to where the broker is now, and to none whose password is not announced yet.
func (l *lead) Dial(network, _ string) (net.Conn, error) {
	running, err := state.Read(l.dir)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(running.NATSURL)
	if err != nil {
		return nil, fmt.Errorf("reading where the broker is: %w", err)
	}
	l.mu.Lock()
	l.info = running
	l.mu.Unlock()
	conn, err := net.DialTimeout(network, at.Host, dialTimeout)
	if err != nil {
		return nil, fmt.Errorf("reaching the broker: %w", err)
	}
	return conn, nil
}

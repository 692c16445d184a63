package link

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
)

// Ports of connections that leave begin at leaving where the system does not say otherwise; those under lowest are for services that
// are known by them.
const (
	leaving = 32768
	lowest  = 10240
)

// tries is how many ports are tried before the system chooses one.
const tries = 100

// Listen listens at a free TCP port of a host whose number stays free when the listener is closed: it is none of those that the system
// gives to connections that leave, of which it has thousands a minute in a drill. Where there is no such port it is any free one.
func Listen(host string) (net.Listener, error) {
	if above := firstLeaving() - lowest; above > tries {
		for range tries {
			port := lowest + rand.IntN(above) //nolint:gosec // no secret
			if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
				return l, nil
			}
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	return l, nil
}

// firstLeaving is the first port of connections that leave.
func firstLeaving() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return leaving
	}
	fields := bytes.Fields(text)
	if len(fields) != 2 {
		return leaving
	}
	first, err := strconv.Atoi(string(fields[0]))
	if err != nil {
		return leaving
	}
	return first
}

// FreePorts finds n free ports of loopback. Another program may take one before it is used: that is an error then.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := Listen("127.0.0.1")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // nobody was served
		address, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("looking for a free port: %s is no TCP address", l.Addr())
		}
		ports[i] = address.Port
	}
	return ports, nil
}

package link

import (
	"net"
	"testing"
)

// TestFreePortsAreNotThoseOfConnectionsThatLeave asks for more of them than chance would place there.
func TestFreePortsAreNotThoseOfConnectionsThatLeave(t *testing.T) {
	first := firstLeaving()
	if first-lowest <= tries {
		t.Skip("this system gives nearly every port to connections that leave")
	}
	ports, err := FreePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if port < lowest || port >= first || seen[port] {
			t.Errorf("%d, of %v", port, ports)
		}
		seen[port] = true
	}
}

func TestListenAtAHostThatIsNotOurs(t *testing.T) {
	if l, err := Listen("192.0.2.1"); err == nil { // RFC 5737: of documentation
		t.Error(l.Addr(), l.Close())
	}
	l, err := Listen("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if address := l.Addr().String(); l.Close() != nil {
		t.Error(address)
	} else if again, err := net.Listen("tcp", address); err != nil || again.Close() != nil {
		t.Error(address, err)
	}
}

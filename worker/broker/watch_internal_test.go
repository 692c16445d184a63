package broker

import (
	"errors"
	"testing"
)

// TestOnlyWhatStaysIsBelieved: streams that are made one after the other look lost one after the other.
func TestOnlyWhatStaysIsBelieved(t *testing.T) {
	var b belief
	one, other := errors.New("stream one is lost"), errors.New("stream other is lost")
	for range 3 {
		for _, why := range []error{one, one, one, one, other, other, nil, one, one, nil} {
			if b.grows(why) {
				t.Fatalf("%v is believed after %d looks", why, b.seen)
			}
		}
	}
	for n := 1; n <= looksToBelieve; n++ {
		if believed := b.grows(errors.New("stream one is lost")); believed != (n == looksToBelieve) {
			t.Errorf("after %d looks: %t", n, believed)
		}
	}
}

package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// TestAMessageThatItsStreamDoesNotShowIsNotAcknowledged: a leader that was just elected has not stored yet what was acknowledged,
// and shows an older state of the request, or none. Only what is purged is done with.
func TestAMessageThatItsStreamDoesNotShowIsNotAcknowledged(t *testing.T) {
	for name, before := range map[string]string{"an older state": "r1", "none": "another"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			older := b.put(before, messages.StateHold, 0, envelope())
			expect := older
			if before != "r1" {
				expect = 0
			}
			seq := b.put("r1", messages.StateAI, expect, envelope())
			stream, err := b.js.Stream(t.Context(), worker.WorkStream(0))
			if err != nil {
				t.Fatal(err)
			}
			var fetched atomic.Int32
			parking := func(_ context.Context, tasks []*worker.Task) []worker.Verdict {
				return []worker.Verdict{worker.Park(time.Now().Add(100*time.Millisecond), nil)}
			}
			b.start(&layer{handle: parking}, func(o *worker.Options) {
				o.Probe = func(step worker.Step, _ string, _ messages.Key) {
					if step != worker.StepFetched || fetched.Add(1) != 2 {
						return
					}
					if err := stream.DeleteMsg(context.Background(), seq); err != nil { // as it looks on such a leader
						t.Error(err)
					}
				}
			})
			for range 2 {
				_, said := b.hears(fmt.Sprintf("ack %d -NAK", seq))
				if strings.Contains(strings.Join(said, " "), "+ACK") {
					t.Fatalf("said %q", said)
				}
			}
		})
	}
}

package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/workertest"
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

// TestWhatIsRefusedOnAccountOfNothingIsPublishedAgain plays leaders that are being cut off, or were just elected: they refuse a
// publication because of what they have only proposed, or do not have yet. Such a refusal moves nothing, and whoever published
// MUST NOT take the request for somebody else's.
func TestWhatIsRefusedOnAccountOfNothingIsPublishedAgain(t *testing.T) {
	const (
		refused = `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 4"}}`
		stored  = `{"stream":"FLOWGATE_WORK_0","seq":9}`
		none    = `{"error":{"code":404,"err_code":10037,"description":"no message found"}}`
	)
	shows := func(seq int, state messages.State) string {
		return fmt.Sprintf(`{"message":{"subject":"flowgate.work.0.%s.std.acme.r1","seq":%d,"time":"2026-01-31T12:00:00Z"}}`, state, seq)
	}
	for name, c := range map[string]struct {
		expect    uint64
		published []string
		shown     []string // the last one for ever
		fate      worker.Fate
		newest    uint64
	}{
		"the input is still the newest":      {5, []string{refused, stored}, []string{shows(5, messages.StateAI)}, worker.FateStored, 0},
		"nothing is shown at first":          {5, []string{refused, stored}, []string{none, none, shows(5, messages.StateAI)}, worker.FateStored, 0},
		"the expected state is purged":       {5, []string{refused}, []string{none}, worker.FateMoved, 0},
		"it is refused for ever":             {5, slices.Repeat([]string{refused}, 10), []string{shows(5, messages.StateAI)}, worker.FateUnknown, 0},
		"an older state is shown":            {5, []string{refused, refused, stored}, []string{shows(3, messages.StateHold)}, worker.FateStored, 0},
		"nothing, and then somebody's call":  {5, []string{refused}, []string{none, shows(5, messages.StateAI), shows(7, messages.StateCalling)}, worker.FateMoved, 7},
		"a first state, and all are purged":  {0, []string{refused}, []string{none}, worker.FateMoved, 0},
		"a first state, and somebody's else": {0, []string{refused}, []string{none, shows(2, messages.StateAI)}, worker.FateMoved, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, _ := workertest.Conn(t, workertest.Server(t))
			js, err := jetstream.NewWithAPIPrefix(conn, "acted.API")
			if err != nil {
				t.Fatal(err)
			}
			left := answers(t, conn, "flowgate.work.0.calling.std.acme.r1", false, c.published...)
			answers(t, conn, "acted.API.STREAM.MSG.GET.FLOWGATE_WORK_0", true, c.shown...)
			hop := &worker.Hop{JS: js, Leader: &worker.Leader{JS: js}, Backoff: worker.Delays{Base: time.Millisecond, Max: time.Millisecond, Factor: 1}}
			receipt := hop.Publish(t.Context(), []*worker.Publication{{Address: address("r1", messages.StateCalling), Data: []byte("{}"), Expect: c.expect}})[0]
			if receipt.Fate != c.fate || len(left) != 0 || (receipt.Newest != nil) != (c.newest > 0) || c.newest > 0 && receipt.Newest.Seq != c.newest {
				t.Errorf("%+v, and %d answers are left", receipt, len(left))
			}
		})
	}
}

// answers gives answers one after the other to those who ask on a subject, the last one for ever where it lasts.
func answers(t *testing.T, conn *nats.Conn, subject string, lasts bool, all ...string) (left chan string) {
	t.Helper()
	left = make(chan string, len(all))
	for _, one := range all {
		left <- one
	}
	if _, err := conn.Subscribe(subject, func(m *nats.Msg) {
		answer := all[len(all)-1]
		if len(left) > 0 || !lasts {
			answer = <-left
		}
		if err := m.Respond([]byte(answer)); err != nil {
			t.Errorf("answering: %v", err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return left
}

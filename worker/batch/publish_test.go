package batch_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"flowgate/worker/batch"
)

// script answers publications of a request in place of the stream, which it removes first; "" is no answer. The last
// answer is given for ever.
func (s *stand) script(t *testing.T, answers ...string) (got func() int) {
	t.Helper()
	if err := s.js.DeleteStream(t.Context(), "FLOWGATE_INGRESS"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	conn, _ := s.connect(t)
	_, err := conn.Subscribe("flowgate.request.*.*.*", func(m *nats.Msg) {
		mu.Lock()
		answer := answers[min(n, len(answers)-1)]
		n++
		mu.Unlock()
		if len(m.Header[nats.MsgIdHdr]) > 0 {
			t.Error("a request was published with a message id")
		}
		if answer != "" {
			if err := m.Respond([]byte(answer)); err != nil {
				t.Errorf("answering: %v", err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// serve answers for the results of every request at once, the first unknown times with "unknown".
func (s *stand) serve(t *testing.T, unknown int) {
	t.Helper()
	conn, _ := s.connect(t)
	_, err := conn.Subscribe("flowgate.get.result.*.*", func(m *nats.Msg) { // one after the other
		tokens := strings.Split(m.Subject, ".")
		state := `"done","epoch":0,"status":"success","reason":"ok"`
		if unknown--; unknown >= 0 {
			state = `"unknown","epoch":0`
		}
		doc := `{"v":1,"tenant":"` + tokens[3] + `","id":"` + tokens[4] + `","state":` + state + `,"retry":false}`
		if err := m.Respond([]byte(doc)); err != nil {
			t.Errorf("answering: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

const (
	wireStored    = `{"stream":"FLOWGATE_INGRESS","seq":1}`
	wireDuplicate = `{"stream":"FLOWGATE_INGRESS","seq":1,"duplicate":true}`
	wireThere     = `{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"},"stream":"FLOWGATE_INGRESS","seq":0}`
	wireFull      = `{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"FLOWGATE_INGRESS","seq":0}`
	wireBusy      = `{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`
	wireTooLarge  = `{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}`
)

func TestThePublisherKnowsTheBrokersAnswers(t *testing.T) {
	for _, c := range []struct {
		name                      string
		answers                   []string
		published, there, unknown int
	}{
		{"stored", []string{wireStored}, 1, 0, 0},
		{"there already", []string{wireThere}, 0, 1, 0},
		{"a duplicate is no acceptance", []string{wireDuplicate, wireDuplicate, wireStored}, 1, 0, 0},
		{"full, then room", []string{wireFull, wireFull, wireStored}, 1, 0, 0},
		{"full, then there from somebody else", []string{wireFull, wireThere}, 0, 1, 0},
		{"busy", []string{wireBusy, wireStored}, 1, 0, 0},
		{"an answer that is lost", []string{"", wireThere}, 1, 0, 0},
		{"nonsense", []string{"{", wireStored}, 1, 0, 0},
		{"there already, which nobody shows", []string{wireThere, wireThere, wireStored}, 0, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup(t)
			got := s.script(t, c.answers...)
			s.serve(t, c.unknown)
			job := s.job(t, many(1)...)
			if sum := run(t, job); sum.Published != c.published || sum.AlreadyThere != c.there {
				t.Errorf("the summary is %+v", sum)
			}
			if got() != len(c.answers) {
				t.Errorf("the request was sent %d times, want %d", got(), len(c.answers))
			}
		})
	}
}

func TestARequestThatTheBrokerNeverTakesEndsTheRun(t *testing.T) {
	s := setup(t)
	s.script(t, wireTooLarge)
	job := s.job(t, many(1)...)
	_, err := batch.Run(t.Context(), job)
	if err == nil || !strings.Contains(err.Error(), "publishing line 1: ") || !strings.Contains(err.Error(), "message size exceeds") {
		t.Errorf("the error is %v", err)
	}
}

func TestTroubleIsTold(t *testing.T) {
	for _, c := range []struct{ name, answer, want string }{
		{"no answer", "", "the broker does not answer"},
		{"full", wireFull, "the queue is full (maximum bytes exceeded)"},
		{"no workers", wireStored, "no worker answers for results"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup(t)
			s.script(t, c.answer)
			job := s.job(t, many(1)...)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var trouble string
			job.Progress = func(p batch.Progress) {
				if p.Trouble != "" {
					trouble = p.Trouble
					cancel()
				}
			}
			if _, err := batch.Run(ctx, job); err == nil || trouble != c.want {
				t.Errorf("the trouble is %q, want %q (%v)", trouble, c.want, err)
			}
		})
	}
}

func TestAClosedConnectionEndsTheRun(t *testing.T) {
	s := setup(t)
	job := s.job(t, many(1)...)
	job.Progress = func(p batch.Progress) {
		if p.Published == 1 {
			s.conn.Close()
		}
	}
	if _, err := batch.Run(t.Context(), job); err == nil || !strings.Contains(err.Error(), nats.ErrConnectionClosed.Error()) {
		t.Errorf("the error is %v", err)
	}
	if got := lines(t, job.Output+batch.Partial); len(got) != 0 {
		t.Errorf("the output has %q", got)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/worker/actions"
)

// wanted is how a line of the user's requests ends.
type wanted struct{ class, status, reason, backend, model string }

const (
	sonnet = "anthropic.claude-3-sonnet-20240229-v1:0"
	haiku  = "anthropic.claude-3-haiku-20240307-v1:0"
)

// The producer here is anybody's: a NATS client without credentials, subjects and JSON as the README has them, nothing of
// this module.
func TestUsersRequestsEndRight(t *testing.T) {
	t.Parallel()
	path := filepath.Join(dataFolder(), "user", "requests.jsonl")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not there: name the folder of the users' data in FLOWGATE_DATA", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	answered := func(class, model string) wanted { return wanted{class, "success", "ok", "offline", model} }
	refused := wanted{"std", "denied", "not_available_yet", "", ""}
	wants := []wanted{
		answered("std", sonnet), answered("std", sonnet), answered("rt", sonnet), answered("std", sonnet), answered("std", haiku),
		refused, refused, refused,
		{"std", "success", "ok", "", ""},
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	if len(lines) != len(wants) {
		t.Fatalf("%s has %d lines, the test knows %d", path, len(lines), len(wants))
	}
	p := newStranger(t, start(t, stateFolder(t)))
	for i, line := range lines {
		p.publish(fmt.Sprintf("flowgate.request.%s.default.user-%d", wants[i].class, i+1), line)
	}
	for i, want := range wants {
		r := p.result(fmt.Sprintf("user-%d", i+1))
		got := wanted{want.class, r.Status, r.Reason, r.Metadata.Backend, r.Metadata.Model}
		if got != want {
			t.Errorf("line %d ended as %+v, want %+v\n%s", i+1, got, want, lines[i])
		}
		if offline := strings.HasPrefix(r.Answer, "[offline backend, no model]"); offline != (want.backend == "offline") {
			t.Errorf("line %d was answered %q", i+1, r.Answer)
		}
		if action := want.status == "success" && want.backend == ""; action && (r.Execution.Mode != "real" || r.Execution.Result.Failed != 0 || r.Execution.Result.Latency.P50 <= 0) {
			t.Errorf("line %d was carried out as %+v", i+1, r.Execution)
		}
	}
}

// stranger is a producer, a program of somebody else's.
type stranger struct {
	t     *testing.T
	conn  *nats.Conn
	wakes *nats.Subscription
}

// strangersResult is what it reads of a result.
type strangersResult struct {
	State, Status, Reason, Answer string
	Metadata                      struct{ Backend, Model string }
	Execution                     struct {
		Mode   string `json:"execution_mode"`
		Result actions.Step
	}
}

func newStranger(t *testing.T, up *instance) *stranger {
	t.Helper()
	p := &stranger{t: t, conn: up.Conn(t)}
	var err error
	if p.wakes, err = p.conn.SubscribeSync("flowgate.result.default.*"); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *stranger) ask(subject string, body []byte) []byte {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	reply, err := p.conn.RequestWithContext(ctx, subject, body)
	if err != nil {
		p.t.Fatalf("asking %s: %v", subject, err)
	}
	return reply.Data
}

// publish publishes and reads the broker's acknowledgement.
func (p *stranger) publish(subject string, document []byte) {
	p.t.Helper()
	var ack struct {
		Stream    string
		Seq       uint64
		Duplicate bool
		Error     json.RawMessage
	}
	reply := p.ask(subject, document)
	if err := json.Unmarshal(reply, &ack); err != nil || ack.Error != nil || ack.Duplicate || ack.Stream == "" || ack.Seq == 0 {
		p.t.Fatalf("publishing to %s was answered %s", subject, reply)
	}
}

// result asks for a result, and again after every wake-up and every second, until it is there.
func (p *stranger) result(id string) strangersResult {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		var r strangersResult
		reply := p.ask("flowgate.get.result.default."+id, nil)
		if err := json.Unmarshal(reply, &r); err != nil {
			p.t.Fatalf("the result of %s is %s", id, reply)
		}
		if r.State == "done" {
			return r
		}
		if _, err := p.wakes.NextMsg(time.Second); err != nil && !errors.Is(err, nats.ErrTimeout) {
			p.t.Fatal(err)
		}
	}
	p.t.Fatalf("%s has not ended within %s", id, patience)
	return strangersResult{}
}

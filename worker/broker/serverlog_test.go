package broker_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

func TestTheServersLogRepeatsNothingThatClientsWrote(t *testing.T) {
	core, logged := observer.New(zap.DebugLevel)
	srv := workertest.Server(t, func(o *broker.Options) { o.Log = zap.New(core) })
	const canary = "canary-4711"
	conn := workertest.Producer(t, srv, nats.Name(canary))
	for _, subject := range []string{"flowgate.work.0.done.std.acme." + canary, "$JS.API.STREAM.DELETE." + canary, "flowgate." + canary} {
		if err := conn.Publish(subject, []byte(canary)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		t.Fatal(err)
	}
	_, err := nats.Connect(srv.URL(), nats.UserInfo(canary, canary), nats.Name(canary))
	if err == nil {
		t.Error("a stranger's user is let in")
	}
	u, err := url.Parse(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, bytes := range []string{canary + "\r\n", "CONNECT {\"" + canary + "\"\r\n", "PUB " + canary + " " + canary + "\r\n", strings.Repeat(canary, 10_000)} {
		raw, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := fmt.Fprint(raw, bytes); err != nil {
			t.Log(err) // it may have hung up by then
		}
		_, _ = io.ReadAll(raw)
		_ = raw.Close()
	}
	lines := 0
	for _, e := range logged.All() {
		text := fmt.Sprint(e.Message, e.ContextMap())
		if strings.Contains(text, "canary") {
			t.Errorf("it says %s", text)
		}
		if strings.Contains(e.Message, "client 127.0.0.1:") {
			lines++
		}
	}
	if lines < 3 {
		t.Errorf("it says of clients only %v", logged.All())
	}
}

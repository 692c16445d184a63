package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/results"
	"flowgate/worker/workertest"
)

// canaries are what must come out nowhere but where it belongs.
const (
	canaryPrompt  = "canary-prompt-7f3a"
	canaryPerson  = "canary-person-91bc"
	canaryReason  = "canary-reason-22de"
	canaryHeader  = "canary-header-5b0c"
	canaryBytes   = "canary-bytes-c4d1"
	canaryKey     = "canary-key-0e88"
	canaryBroker  = "canary-broker-6a6a"
	canaryDB      = "canary-database-3c3c"
	canaryAnswer  = "canary-answer-8d8d"
	canarySetting = "canary-setting-1f1f"
)

func TestNothingLeaksFromARunningGateway(t *testing.T) {
	t.Parallel()
	server := workertest.Server(t, func(o *broker.Options) { o.Operator.Password = canaryBroker })
	model := workertest.NewOpenAI(t)
	model.Script("", func(call workertest.OpenAICall) workertest.OpenAIReply { return echoing(call) })
	receiver := newOTLPReceiver(t)
	g := newGround(t, quickSettings+"  backends: {openai: {api_key: "+canarySetting+"}}\n  transient_attempts: 1\n",
		"NATS_URL="+strings.Replace(server.URL(), "nats://", "nats://"+broker.OperatorUser+":"+canaryBroker+"@", 1),
		"DATABASE_URL="+withPassword(t, workertest.Database(t), canaryDB),
		"OPENAI_BASE_URL="+model.URL, "OPENAI_API_KEY="+canaryKey, "OTEL_EXPORTER_OTLP_ENDPOINT="+receiver.url)
	up := g.begin(g.command("up", "--json", "-v"), "")
	base := up.ready().HTTPURL
	conn := producerAs(t, server, canaryBroker)
	wakes := listen(t, conn)
	said := provoke(t, g, conn)
	shown := map[string]string{"standard error": "", "traces": ""}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		_, shown[path] = fetch(t, base, path, "")
	}
	for _, args := range [][]string{
		{"gateways", "show", "ai_processing", "--json"}, {"gateways", "stats", "--json"}, {"config", "show"}, {"health", "--json"}, {"doctor", "--json"},
	} {
		out := g.say(args...)
		shown[strings.Join(args, " ")] = out.stdout + out.stderr
	}
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", up.cmd.Process.Pid))
	if err != nil {
		t.Log(err) // not every system has it
	}
	shown["arguments"] = string(arguments)
	up.stop()
	shown["standard error"], shown["standard output"], shown["traces"] = up.err.String(), up.out.String(), string(receiver.raw)
	shown["wake-ups"] = wakes()
	if !strings.Contains(shown["standard error"], `"request_id":"failing"`) || len(receiver.spans) < 10 || !strings.Contains(shown["wake-ups"], "success") {
		t.Errorf("too little was said to judge it: %d spans, %s\n%s", len(receiver.spans), shown["wake-ups"], shown["standard error"])
	}
	for where, text := range shown {
		for _, canary := range allCanaries() {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("%s holds %s: …%s…", where, canary, text[max(at-200, 0):min(at+len(canary)+100, len(text))])
			}
		}
	}
	for where, text := range said {
		for _, secret := range []string{canaryKey, canaryBroker, canaryDB, canarySetting} {
			if strings.Contains(text, secret) {
				t.Errorf("what %s printed holds %s", where, secret)
			}
		}
	}
}

func allCanaries() []string {
	return []string{canaryPrompt, canaryPerson, canaryReason, canaryHeader, canaryBytes, canaryKey, canaryBroker, canaryDB, canaryAnswer, canarySetting}
}

// echoing answers as the request's id asks, and repeats prompt and key in every fault, as careless servers do.
func echoing(call workertest.OpenAICall) workertest.OpenAIReply {
	echo := call.Messages[0].Content[:min(len(call.Messages[0].Content), 200)] + " " + call.Header.Get("Authorization")
	switch id := call.RequestID; {
	case strings.Contains(id, "failing"):
		return workertest.ReplyError(http.StatusInternalServerError, echo, echo, echo)
	case strings.Contains(id, "refused"):
		return workertest.ReplyError(http.StatusBadRequest, canaryPrompt, canaryPrompt, echo)
	case strings.Contains(id, "unauthorised"):
		return workertest.ReplyError(http.StatusUnauthorized, "invalid_api_key", "invalid_api_key", echo)
	case strings.Contains(id, "broken"):
		return workertest.OpenAIReply{Status: http.StatusOK, Body: "{" + echo}
	}
	return workertest.ReplyAnswer(canaryAnswer)
}

// provoke sends one request of each kind and waits for their ends; it returns what commands said that show the record: that
// has persons and reasons, and no secret.
func provoke(t *testing.T, g *ground, conn *nats.Conn) map[string]string {
	t.Helper()
	said := map[string]string{}
	document := func(prompt, model string) string {
		data, err := json.Marshal(map[string]any{
			"prompt": prompt, "audit_reason": "for " + canaryReason, "user_id": canaryPerson, "department": canaryPerson, "model": model,
			"max_tokens": 16, "metadata": map[string]string{"who": canaryPerson},
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	const known = "claude-3-haiku"
	asking := func(id string) string { return document(canaryPrompt+" of "+id, known) } // none is another's question
	send := func(id, body string) {
		t.Helper()
		msg := nats.NewMsg(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "default", ID: id}))
		msg.Data = []byte(body)
		msg.Header["traceparent"], msg.Header["X-"+canaryHeader], msg.Header["tracestate"] = []string{canaryHeader}, []string{canaryHeader}, []string{canaryHeader}
		if err := conn.PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
	}
	ends := func(id string) {
		t.Helper()
		if r, err := results.Wait(t.Context(), conn, messages.Key{Tenant: "default", ID: id}, 0); err != nil || r.Status == "" {
			t.Errorf("%s ended as %+v: %v", id, r, err)
		}
	}
	many := map[string]string{
		"ok": asking("ok"), "denied": document(canaryPrompt, canaryPrompt), "failing": asking("failing"), "refused": asking("refused"), "broken": asking("broken"),
		"large": document(strings.Repeat(canaryPrompt+" ", 6000), known), "malformed": `{"` + canaryBytes + `":`,
		"stranger": `{"prompt":"x","audit_reason":"a canary test","` + canaryBytes + `":1}`, "empty": `{"prompt":"` + canaryPrompt + `"}`,
	}
	for id, body := range many {
		send(id, body)
	}
	// What is no name at all, in the subject.
	if err := conn.Publish("flowgate.request.std.default."+canaryBytes+"$", []byte(document(canaryPrompt, known))); err != nil {
		t.Fatal(err)
	}
	for id := range many {
		ends(id)
	}
	send("unauthorised", asking("unauthorised")) // after it the backend is asked nothing for a while
	ends("unauthorised")
	for _, args := range [][]string{
		{"dead", "list", "--json"}, {"audit", "show", "failing"}, {"replay", "one", "failing", "--reason", "trying " + canaryReason, "--wait"},
	} {
		out := g.say(args...)
		said[strings.Join(args[:2], " ")] = out.stdout + out.stderr
	}
	return said
}

// listen collects the headers of all wake-ups.
func listen(t *testing.T, conn *nats.Conn) (heard func() string) {
	t.Helper()
	var mu sync.Mutex
	var b strings.Builder
	_, err := conn.Subscribe("flowgate.result.>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(&b, m.Header, string(m.Data))
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
}

func producerAs(t *testing.T, server *broker.Server, password string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(server.URL(), nats.UserInfo(broker.OperatorUser, password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// withPassword puts a password into a URL of a server that asks for none.
func withPassword(t *testing.T, database, password string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

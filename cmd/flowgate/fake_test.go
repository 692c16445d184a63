package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"flowgate/messages"
	"flowgate/worker/provider"
)

// TestTheFakeProviderServesAFlowgate starts both as a user does, with the variables that the provider prints.
func TestTheFakeProviderServesAFlowgate(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings+"  backends: {allowed: [openai]}\n")
	fake, url := g.provided()
	g.up().ready()
	done := g.say("submit", "--id", "first-1", "--model", "gpt-4o-mini", "--json", "--wait", "--reason", "rehearsing with a fake provider", "Say OK")
	var result messages.Result
	done.read(t, &result)
	if m := result.Metadata; result.Status != messages.StatusSuccess || m == nil || m.Backend != "openai" {
		t.Errorf("%+v", done)
	}
	var totals provider.Totals
	if err := json.Unmarshal(fakeDoor(t, http.MethodGet, url+"/fake/calls?request=default/first-1", ""), &totals); err != nil || totals.Calls != 1 || totals.Billed != 1 {
		t.Errorf("%v %+v", err, totals)
	}
	var orders provider.Orders
	if err := json.Unmarshal(fakeDoor(t, http.MethodPut, url+"/fake/script", `{"faults":{"invalid":1}}`), &orders); err != nil || (*orders.Faults)[provider.Invalid] != 1 {
		t.Errorf("%v %+v", err, orders)
	}
	g.say("submit", "--id", "first-2", "--model", "gpt-4o-mini", "--wait", "--reason", "rehearsing with a fake provider", "Say no").wants(t, exitFailed)
	fake.signal(syscall.SIGTERM)
	fake.ended().wants(t, exitDone)
}

// provided starts a fake provider, and has what is started after it use it.
func (g *ground) provided(args ...string) (fake *process, url string) {
	g.t.Helper()
	fake = g.begin(g.command(append([]string{"fake-provider", "--json", "--listen", "127.0.0.1:0", "--latency", "0s"}, args...)...), "")
	var said struct {
		URL string
		Env map[string]string
	}
	if !fake.until("the provider serves", func() bool { return json.Unmarshal([]byte(fake.out.String()), &said) == nil }) {
		g.t.Fatal(fake.err)
	}
	for name, value := range said.Env {
		g.env = append(g.env, name+"="+value)
	}
	return fake, said.URL
}

func fakeDoor(t *testing.T, method, url, body string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %v %s", method, url, res.StatusCode, err, data)
	}
	return data
}

func TestFakeProviderRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--listen 0.0.0.0:0", exitUsage, "must be an address of loopback"},
		{"--listen nonsense", exitUsage, "must be host:port"},
		{"--fault failed", exitUsage, "must be a name and a probability"},
		{"--fault failed=often", exitUsage, "must be a name and a probability"},
		{"--fault failed=2", exitUsage, "must be 0 to 1"},
		{"--fault failed=NaN", exitUsage, "must be 0 to 1"},
		{"--fault sulking=0.5", exitUsage, "is not known; use one of"},
		{"--fault failed=0.5 --fault failed=0.1", exitUsage, "twice"},
		{"--fault failed=0.7 --fault half=0.7", exitUsage, "together"},
		{"--rate -1", exitUsage, "rate is -1"},
		{"--rate 1 --burst -1", exitUsage, "burst is -1"},
		{"--at-once -1", exitUsage, "at_once is -1"},
		{"--latency -1s", exitUsage, "latency is -1s"},
		{"--dead-after 1s", exitUsage, "needs --dead-for"},
		{"--dead-for 100h", exitUsage, "--dead-for is 100h"},
		{"surplus", exitUsage, "unknown command"},
	} {
		args := append([]string{"fake-provider"}, strings.Fields(c.args)...)
		if !strings.Contains(c.args, "--listen") {
			args = append(args, "--listen", "127.0.0.1:0")
		}
		if got := flowgate(t, dir, args...); got.code != c.code || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: code %d, %s", c.args, got.code, got.stderr)
		}
	}
	s, err := provider.New(provider.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	taken := strings.TrimPrefix(s.Root(), "http://")
	if got := flowgate(t, dir, "fake-provider", "--listen", taken); got.code != exitEnvironment {
		t.Errorf("a port that is taken: code %d, %s", got.code, got.stderr)
	}
}

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// sound is a request that nothing is wrong with.
const sound = `{"prompt":"Say OK","audit_reason":"a test of bad input","model":"claude-3-haiku","max_tokens":16}`

// sized is a sound request of exactly n bytes.
func sized(t *testing.T, n int) []byte {
	t.Helper()
	head, tail, _ := strings.Cut(sound, "Say OK")
	if n < len(sound) {
		t.Fatalf("a request of %d bytes is too small", n)
	}
	return []byte(head + strings.Repeat("x", n-len(head)-len(tail)) + tail)
}

func TestFaultsOfTheCallerAreNamed(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	file := func(name, text string) string { return g.file(name, []byte(text)) }
	reason := []string{"--reason", "a test of bad input"}
	submit := func(args ...string) []string { return append([]string{"submit"}, args...) }
	for _, c := range []struct {
		name  string
		args  []string
		code  int
		words []string
	}{
		{"malformed JSON", submit("-f", file("cut.json", `{"prompt": "x", `)), exitUsage, []string{"(document)", "JSON", "end too early"}},
		{"no object", submit("-f", file("array.json", `[]`)), exitUsage, []string{"(document)", "must be an object"}},
		{"no text", submit("-f", file("bytes.json", "\xff\xfe{")), exitUsage, []string{"UTF-8"}},
		{"a number as prompt", submit("-f", file("number.json", `{"prompt":5,"audit_reason":"a test of bad input"}`)), exitUsage, []string{"prompt", "string"}},
		{"an unknown field", submit("-f", file("field.json", `{"prompt":"x","audit_reason":"a test of bad input","promt":"x"}`)), exitUsage, []string{"promt"}},
		{"an empty file", submit("-f", file("empty.json", "")), exitUsage, []string{"empty.json", "is empty"}},
		{"a missing file", submit("-f", "missing.json"), exitUsage, []string{"missing.json", "no such file"}},
		{"a folder as file", submit("-f", g.dir), exitUsage, []string{g.dir, "directory"}},
		{"nothing at all", submit(), exitUsage, []string{"give a prompt"}},
		{"an id with a dot", submit(append(reason, "--id", "a.b", "x")...), exitUsage, []string{"field id", "A-Z, a-z, 0-9", "'.' as character 2"}},
		{"an id with a star", submit(append(reason, "--id", "a*", "x")...), exitUsage, []string{"field id", "'*' as character 2"}},
		{"an id in the document that differs", submit("--id", "a", "-f", file("id.json", `{"id":"b","prompt":"x","audit_reason":"a test of bad input"}`)), exitUsage, []string{"field id", `"a"`}},
		{"an unknown class", submit(append(reason, "--class", "slow", "x")...), exitUsage, []string{"slow", "rt, std, batch"}},
		{"an unknown tenant's name", submit(append(reason, "--tenant", "A/B", "x")...), exitUsage, []string{"field tenant"}},
		{"an unknown flag", submit("--nope"), exitUsage, []string{"--nope", "flowgate submit --help"}},
		{"two settings files", []string{"version", "--config", "a.yaml", "--config", "b.yaml"}, exitUsage, []string{"is given twice"}},
		{"an unknown command", []string{"nope"}, exitUsage, []string{"nope"}},
		{"too many arguments", submit("a", "b"), exitUsage, []string{"flowgate submit --help"}},
		{"no audit reason", submit("--wait", "x"), exitFailed, []string{"denied (audit_reason_missing)", "audit_reason"}},
		{"a blank audit reason", submit("--wait", "--reason", "   ", "x"), exitFailed, []string{"denied (audit_reason_missing)"}},
		{"an audit reason with a tab", submit("--reason", " \t", "x"), exitUsage, []string{"audit_reason", "control characters"}},
		{"a short audit reason", submit("--wait", "--reason", "because", "x"), exitFailed, []string{"denied (audit_reason_too_short)", "7 characters", "10"}},
		{"an unknown model", submit(append(reason, "--wait", "--model", "gpt-0", "x")...), exitFailed, []string{"denied (model_unknown)", "field     model"}},
		{"a deadline that has passed", submit(append(reason, "--wait", "--not-after", "2020-01-01T00:00:00Z", "x")...), exitFailed, []string{"timeout (deadline_passed)", "not_after"}},
		{"a time that is none", submit(append(reason, "--not-after", "tomorrow", "x")...), exitUsage, []string{"--not-after", "+10m"}},
		{"too dear", submit(append(reason, "--wait", "--model", "claude-sonnet-4-6", "--max-tokens", "200000", "x")...), exitFailed, []string{"denied (limit_request)", "max_tokens"}},
		{"a prompt of 5 MB", submit("-f", g.file("large.json", sized(t, 5<<20))), exitUsage, []string{"field prompt", strconv.Itoa(messages.MaxRequestBytes)}},
		{"one byte too many", submit("-f", g.file("over.json", sized(t, messages.MaxRequestBytes+1))), exitUsage, []string{"field prompt", strconv.Itoa(messages.MaxRequestBytes)}},
		{"too large with a flag", submit("--user", "bob", "-f", g.file("full.json", sized(t, messages.MaxRequestBytes))), exitUsage, []string{"field prompt"}},
		{"a result nobody knows", []string{"result", "nobody"}, exitFailed, []string{"no such request"}},
		{"an empty batch", []string{"batch", "submit", file("empty.jsonl", "")}, exitUsage, []string{"has no requests"}},
		{"a missing batch", []string{"batch", "submit", "missing.jsonl"}, exitUsage, []string{"missing.jsonl", "no such file"}},
	} {
		t.Run(c.name, func(t *testing.T) { g.say(c.args...).wants(t, c.code, c.words...) })
	}
	up.stop()
}

func TestLargePromptsGoThroughTheClaimCheck(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	for _, n := range []int{messages.InlineBytes + 1, 65 << 10, 200_000, 1_000_000, messages.MaxRequestBytes} {
		id := "large-" + strconv.Itoa(n)
		g.say("submit", "--id", id, "--wait", "-f", g.file("large.json", sized(t, n))).wants(t, exitDone, "success (ok)")
	}
	up.stop()
}

func TestABatchBrokenInTheMiddleSendsNothing(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	r := up.ready()
	conn := producer(t, r.NATSURL)
	results, err := conn.SubscribeSync(messages.ResultSubject(messages.Key{Tenant: "default", ID: "*"}))
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Repeat([]string{sound}, 30)
	lines[16] = `{"prompt": `
	path := g.file("broken.jsonl", []byte(strings.Join(lines, "\n")))
	g.say("batch", "submit", path).wants(t, exitUsage, "line 17", "JSON")
	// What follows it ends first: nothing was sent before.
	g.say("submit", "--id", "after", "--wait", "-f", g.file("after.json", []byte(sound))).wants(t, exitDone)
	first, err := results.NextMsg(patience)
	if err != nil || !strings.HasSuffix(first.Subject, ".after") {
		t.Errorf("heard %v, %v", first, err)
	}
	if left, _ := filepath.Glob(filepath.Join(g.dir, "broken.*")); len(left) != 1 {
		t.Errorf("files %v are left", left)
	}
	up.stop()
}

// ask publishes a request as a stranger does and returns the broker's answer.
func ask(t *testing.T, conn *nats.Conn, subject, body string) (ack struct {
	Seq   uint64 `json:"seq"`
	Error *struct {
		Code        int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
},
) {
	t.Helper()
	msg, err := conn.Request(subject, []byte(body), patience)
	if err != nil {
		t.Fatalf("publishing to %s: %v", subject, err)
	}
	if err := json.Unmarshal(msg.Data, &ack); err != nil {
		t.Fatal(err)
	}
	return ack
}

func TestStrangersCanPublishNonsense(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	conn := producer(t, up.ready().NATSURL)
	bad := func(name string) string {
		sum := sha256.Sum256([]byte(name))
		return "bad-" + hex.EncodeToString(sum[:16])
	}
	for _, c := range []struct {
		name, subject, body string
		id                  string
		status, reason      string
	}{
		{"a star as id", "flowgate.request.std.default.*", sound, bad("*"), "failure", string(messages.ReasonSubjectInvalid)},
		{"a long id", "flowgate.request.std.default." + strings.Repeat("a", 129), sound, bad(strings.Repeat("a", 129)), "failure", string(messages.ReasonSubjectInvalid)},
		{"another id in the body", "flowgate.request.std.default.mine", `{"id":"yours","prompt":"x","audit_reason":"a test of bad input"}`, "mine", "failure", string(messages.ReasonIDMismatch)},
		{"another class in the body", "flowgate.request.std.default.class", `{"class":"rt","prompt":"x","audit_reason":"a test of bad input"}`, "class", "failure", string(messages.ReasonIDMismatch)},
		{"nothing", "flowgate.request.batch.default.nothing", "", "nothing", "failure", string(messages.ReasonMalformed)},
		{"noise", "flowgate.request.rt.default.noise", "\x00\xff\x1b[31m", "noise", "failure", string(messages.ReasonMalformed)},
		{"deep", "flowgate.request.rt.default.deep", strings.Repeat(`{"metadata":`, 20_000), "deep", "failure", string(messages.ReasonMalformed)},
		{"a later version", "flowgate.request.rt.default.later", `{"v":99,"hello":1}`, "later", "failure", string(messages.ReasonUnsupportedVersion)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if ack := ask(t, conn, c.subject, c.body); ack.Error != nil {
				t.Fatalf("the broker refuses: %+v", ack.Error)
			}
			r := g.result(c.id)
			if string(r.Status) != c.status || string(r.Reason) != c.reason {
				t.Errorf("ended as %s (%s), want %s (%s)", r.Status, r.Reason, c.status, c.reason)
			}
		})
	}
	t.Run("a tenant of no form", func(t *testing.T) {
		ask(t, conn, "flowgate.request.std.NOBODY.x", sound)
		if r := g.result("x", "--tenant", bad("NOBODY")); r.Reason != messages.ReasonSubjectInvalid {
			t.Errorf("ended as %+v", r)
		}
	})
	t.Run("more than the broker takes", func(t *testing.T) {
		url := up.ready().NATSURL
		raw, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "nats://"), patience)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		body := sized(t, 5<<20)
		fmt.Fprintf(raw, "CONNECT {\"verbose\":false}\r\nPUB flowgate.request.std.default.large %d\r\n", len(body))
		_, _ = raw.Write(body) // the broker hangs up in the midst of it
		said, _ := io.ReadAll(raw)
		if !bytes.Contains(said, []byte("Maximum Payload")) {
			t.Errorf("the broker says %q", said)
		}
	})
	var check struct{ OK bool }
	eventually(t, "the record agrees", func() bool {
		g.say("audit", "check", "--json").read(t, &check)
		return check.OK
	})
	up.stop()
}

// duplicates counts the recorded events duplicate_id of a request.
func (g *ground) duplicates(id string) int {
	g.t.Helper()
	var timeline postgres.Timeline
	g.say("audit", "show", id, "--json").read(g.t, &timeline)
	n := 0
	events := timeline.Events
	for _, e := range timeline.Epochs {
		events = append(events, e.Events...)
	}
	for _, e := range events {
		if e.Kind == string(messages.EventDuplicateID) {
			n++
		}
	}
	return n
}

func TestAnIDCountsOnce(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	conn := producer(t, up.ready().NATSURL)
	subject := func(class messages.Class, id string) string {
		return messages.RequestSubject(class, messages.Key{Tenant: "default", ID: id})
	}
	var both sync.WaitGroup
	for range 2 { // at once
		both.Go(func() { ask(t, conn, subject(messages.ClassStd, "at-once"), sound) })
		for _, class := range messages.Classes()[:2] {
			both.Go(func() { ask(t, conn, subject(class, "two-classes"), sound) })
		}
	}
	both.Wait()
	document := g.file("sound.json", []byte(sound))
	g.say("submit", "--id", "named", "--wait", "-f", document).wants(t, exitDone)
	g.say("submit", "--id", "named", "--class", "rt", "-f", document).wants(t, exitDone, "was submitted before")
	up.stop()
	up = g.up()
	conn = producer(t, up.ready().NATSURL)
	if ack := ask(t, conn, subject(messages.ClassStd, "at-once"), sound); ack.Error == nil || ack.Error.Code != 10077 {
		t.Errorf("the broker answers %+v", ack)
	}
	g.say("submit", "--id", "at-once", "-f", document).wants(t, exitDone, "was submitted before", "success (ok)")
	ask(t, conn, subject(messages.ClassBatch, "named"), sound) // another class, after a restart
	for id, want := range map[string]int{"at-once": 0, "two-classes": 1, "named": 1} {
		if r := g.result(id); r.Status != messages.StatusSuccess || r.Epoch != 0 {
			t.Errorf("%s ended as %+v", id, r)
		}
		eventually(t, "the duplicates are recorded", func() bool { return g.duplicates(id) >= want })
		if n := g.duplicates(id); n != want {
			t.Errorf("%s has %d events duplicate_id, want %d", id, n, want)
		}
	}
	if outcomes := g.audited(3); len(outcomes) != 3 {
		t.Errorf("%d outcomes of three ids", len(outcomes))
	}
	up.stop()
}

func TestOneFolderOnePortOneProcess(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	address := strings.TrimPrefix(up.ready().NATSURL, "nats://")
	g.say("up").wants(t, exitEnvironment, "in use by process "+strconv.Itoa(up.cmd.Process.Pid), "flowgate", "FLOWGATE_STATE")
	other := newGround(t, quickSettings)
	other.say("up", "--listen", address).wants(t, exitEnvironment, address, "address already in use", "port 0")
	run := filepath.Join(g.state, "run.json")
	whole, err := os.ReadFile(run) //nolint:gosec // a file of the test
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"pid":`, "[]", "\x00\x00"} {
		if err := os.WriteFile(run, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g.say("submit", "--reason", "a test of bad input", "x").wants(t, exitEnvironment, "run.json")
	}
	if err := os.WriteFile(run, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	g.say("submit", "--reason", "a test of bad input", "--wait", "x").wants(t, exitDone)
	up.stop()
}

func TestWithoutUpEveryCommandSaysWhatToDo(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	path := g.file("one.jsonl", []byte(sound+"\n"))
	for _, args := range [][]string{
		{"submit", "--reason", "a test of bad input", "x"},
		{"result", "x"},
		{"batch", "submit", path},
		{"batch", "status"},
		{"dead", "list"},
		{"audit", "list"},
		{"audit", "show", "x"},
		{"audit", "check"},
	} {
		g.say(args...).wants(t, exitEnvironment, "flowgate up")
	}
}

func TestFaultsOfTheMachineAreNamed(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-of-the-test"
	for _, c := range []struct {
		name, env string
		words     []string
	}{
		{"no database", "DATABASE_URL=postgres://somebody:" + secret + "@127.0.0.1:1/flowgate", []string{"connecting to postgres", "127.0.0.1:1"}},
		{"no broker", "NATS_URL=nats://somebody:" + secret + "@127.0.0.1:1", []string{"NATS_URL"}},
		{"no postgres installed", "PG_BINDIR=/nowhere", []string{"/nowhere", "apt-get install postgresql", "PG_BINDIR"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGround(t, quickSettings, c.env)
			s := g.say("up")
			s.wants(t, exitEnvironment, c.words...)
			if strings.Contains(s.stdout+s.stderr, secret) {
				t.Errorf("the secret is told: %s", s.stderr)
			}
		})
	}
	t.Run("no place for the state", func(t *testing.T) {
		g := newGround(t, quickSettings)
		g.state = g.file("taken", nil)
		g.say("up").wants(t, exitEnvironment, g.state)
	})
	t.Run("an address of another machine", func(t *testing.T) {
		g := newGround(t, quickSettings)
		g.say("up", "--listen", "192.0.2.1:4222").wants(t, exitEnvironment, "192.0.2.1:4222", "cannot assign")
	})
}

func TestSettingsThatAreWrongAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		words      []string
	}{
		{"an unknown key", "flowgate:\n  ack_wait: 2s\n  wait_ack: 2s\n", []string{"settings.yaml:3", "wait_ack"}},
		{"a value of another type", "flowgate:\n  micro_batch: many\n", []string{"settings.yaml:2", "micro_batch"}},
		{"out of range", "flowgate:\n  ack_wait: 1ms\n", []string{"ack_wait"}},
		{"no YAML", "flowgate: [\n", []string{"settings.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGround(t, c.text)
			g.say("up").wants(t, exitUsage, c.words...)
			g.say("submit", "--reason", "a test of bad input", "x").wants(t, exitUsage, c.words...)
		})
	}
	t.Run("a file that is not there", func(t *testing.T) {
		g := newGround(t, "")
		g.settings = filepath.Join(g.dir, "missing.yaml")
		g.say("up").wants(t, exitUsage, "missing.yaml", "no such file")
	})
}

func TestInterruptedWaitsSayHowToGoOn(t *testing.T) {
	t.Parallel()
	server := workertest.NewOpenAI(t)
	gate := server.Block("")
	g := newGround(t, quickSettings, "OPENAI_BASE_URL="+server.URL)
	up := g.up()
	up.ready()
	waiting := g.begin(g.command("submit", "--id", "slow", "--wait", "-f", g.file("slow.json", []byte(sound))), "")
	<-gate.Arrived()
	waiting.signal(syscall.SIGINT)
	waiting.ended().wants(t, exitFailed, "slow is pending", "flowgate result slow --wait")
	gate.Release()
	if r := g.result("slow"); r.Status != messages.StatusSuccess {
		t.Errorf("it ended as %+v", r)
	}
	up.stop()
}

func TestABatchIsSubmittedOnceHoweverOftenItIsSubmitted(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	const n = 40
	slow := strings.Replace(sound, "{", `{"metadata":{"offline_latency_ms":300},`, 1)
	path := g.file("twice.jsonl", []byte(strings.Repeat(slow+"\n", n)))
	first := g.begin(g.command("batch", "submit", path), "")
	first.until("it writes", func() bool {
		_, err := os.Stat(filepath.Join(g.dir, "twice.output.jsonl"+".partial"))
		return err == nil
	})
	second := g.say("batch", "submit", path)
	first.ended().wants(t, exitDone, "success       40")
	if second.code != exitDone { // it came while the first was at work
		second.wants(t, exitFailed, "another process is writing it")
	}
	before := g.lines("twice.output.jsonl")
	g.say("batch", "submit", path).wants(t, exitDone, "submitted before", "--again")
	if after := g.lines("twice.output.jsonl"); len(before) != n || len(after) != n {
		t.Errorf("%d results, then %d, want %d", len(before), len(after), n)
	}
	g.audited(n)
	g.say("batch", "submit", path, "--again").wants(t, exitDone, "twice.run2.output.jsonl")
	if again := g.lines("twice.run2.output.jsonl"); len(again) != n {
		t.Errorf("%d results of the second run, want %d", len(again), n)
	}
	g.audited(2 * n)
	up.stop()
}

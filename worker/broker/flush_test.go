//go:build linux

package broker_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

var native = binary.NativeEndian

// What has the test binary be a broker: its folder, Options.Listen and Options.Sync.
const tracedDir, tracedListen, tracedSync = "FLOWGATE_TEST_BROKER", "FLOWGATE_TEST_BROKER_LISTEN", "FLOWGATE_TEST_BROKER_SYNC"

// TestBrokerThatIsTraced is no test but the program that others trace.
func TestBrokerThatIsTraced(t *testing.T) {
	dir := os.Getenv(tracedDir)
	if dir == "" {
		return
	}
	srv, err := broker.Start(t.Context(), broker.Options{
		Dir: dir, Listen: os.Getenv(tracedListen), Sync: os.Getenv(tracedSync) == "true",
		Operator: broker.Credentials{Password: workertest.OperatorPassword},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	fmt.Println(srv.URL())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // the end of the input is the end
}

// witness knows, of what a broker wrote, what a power failure would leave: only what was in a file when a flush of that
// file began that ended well.
type witness struct {
	now      int
	writing  map[int]chunk    // by thread
	flushing map[int][]string // by thread: what was in the file when it began
	dirty    map[string][]string
	// durable is when a token reached the disk; flushes counts those of the streams' messages, by path.
	durable map[string]int
	flushes map[string]int
	acks    []ack
	// handed is when a consumer was first handed a token.
	handed map[string]int
}

func newWitness() *witness {
	return &witness{
		writing: map[int]chunk{}, flushing: map[int][]string{}, dirty: map[string][]string{}, durable: map[string]int{}, flushes: map[string]int{},
		handed: map[string]int{},
	}
}

type chunk struct {
	path   string
	tokens []string
}

// ack is an acknowledgement on its way to a client: the messages before and up to seq, count of them.
type ack struct {
	at         int
	stream     string
	seq, count uint64
}

var (
	tokens = regexp.MustCompile(`token-[a-z]+-[0-9]+;`)
	ackOf  = regexp.MustCompile(`"stream":"([^"]+)", ?"seq":([0-9]+)(?:,"batch":"[^"]+","count":([0-9]+))?`)
)

func (w *witness) see(t *tracer, thread int, c call) {
	w.now++
	switch c.nr {
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		path := t.target(c.args[0])
		if c.entered {
			w.flushing[thread] = append([]string(nil), w.dirty[path]...)
		} else if c.result == 0 {
			w.flushes[stream(path)]++
			for _, token := range w.flushing[thread] {
				if w.durable[token] == 0 {
					w.durable[token] = w.now
				}
			}
		}
	case syscall.SYS_WRITE, syscall.SYS_PWRITE64, syscall.SYS_WRITEV, syscall.SYS_SENDTO:
		if !c.entered {
			done := w.writing[thread]
			w.dirty[done.path] = append(w.dirty[done.path], done.tokens...)
			return
		}
		w.writing[thread] = chunk{}
		switch path := t.target(c.args[0]); {
		case stream(path) != "":
			w.writing[thread] = chunk{path, tokens.FindAllString(string(t.written(c)), -1)}
		case strings.HasPrefix(path, "socket:"):
			data := string(t.written(c))
			for _, m := range ackOf.FindAllStringSubmatch(data, -1) {
				seq, _ := strconv.ParseUint(m[2], 10, 64)
				count, _ := strconv.ParseUint(m[3], 10, 64)
				w.acks = append(w.acks, ack{w.now, m[1], seq, max(count, 1)})
			}
			for _, token := range tokens.FindAllString(data, -1) {
				if w.handed[token] == 0 {
					w.handed[token] = w.now
				}
			}
		}
	}
}

// stream is whose messages a file holds; empty for every other file, the stores of batches that are not committed too.
func stream(path string) string {
	_, below, found := strings.Cut(path, "/streams/")
	name, file, _ := strings.Cut(below, "/")
	if found && strings.HasPrefix(file, "msgs/") && strings.HasSuffix(file, ".blk") {
		return name
	}
	return ""
}

// early tells which messages were acknowledged, or handed to a consumer, before they were on the disk, and how many were.
// sent names what each sequence holds.
func (w *witness) early(sent map[string]map[uint64]string) (early []string, acknowledged int) {
	for token, at := range w.handed {
		if w.durable[token] == 0 || w.durable[token] > at {
			early = append(early, token+" was handed on")
		}
	}
	for _, a := range w.acks {
		for seq := a.seq - a.count + 1; seq <= a.seq; seq++ {
			token, known := sent[a.stream][seq]
			if !known {
				continue // the control bucket's, say
			}
			acknowledged++
			if at := w.durable[token]; at == 0 || at > a.at {
				early = append(early, token+" was acknowledged")
			}
		}
	}
	return early, acknowledged
}

// TestAFlushPrecedesEachAcknowledgement: what a durable broker acknowledges, or hands to a consumer, is on the disk, of
// producers, of single hops and of hops that go together. The same witness sees that it is not where the broker flushes from time to time.
func TestAFlushPrecedesEachAcknowledgement(t *testing.T) {
	t.Run("always", func(t *testing.T) {
		w, sent := witnessed(t, true)
		early, n := w.early(sent)
		if len(early) > 0 || n != single+single+together || len(w.handed) != single+together {
			t.Errorf("of %d acknowledged and %d delivered messages %d were not on the disk: %v", n, len(w.handed), len(early), early)
		}
		t.Logf("flushes: %v", w.flushes)
		if work := w.flushes[broker.WorkStream(0)]; work < single || work >= single+together/4 {
			t.Errorf("%d flushes of %s for %d single messages and %d together", work, broker.WorkStream(0), single, together)
		}
	})
	t.Run("interval", func(t *testing.T) {
		w, sent := witnessed(t, false)
		if early, n := w.early(sent); n == 0 || len(early) != n+len(w.handed) {
			t.Errorf("of %d acknowledged and %d delivered messages only %d were not on the disk: the witness is blind", n, len(w.handed), len(early))
		}
	})
}

// single messages go to each of two streams one by one, together ones at once.
const single, together = 12, 64

// witnessed traces a broker under a little work and tells, by stream and sequence, what it was sent.
func witnessed(t *testing.T, sync bool) (*witness, map[string]map[uint64]string) {
	t.Helper()
	w := newWitness()
	url, stop := traced(t, &tracer{see: w.see}, t.TempDir(), "127.0.0.1:0", sync)
	defer stop()
	conn, err := nats.Connect(url, nats.UserInfo(broker.OperatorUser, workertest.OperatorPassword), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute), jetstream.WithPublishAsyncTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	workertest.Topology(t, js, nil)
	pull := fetching(t, js, single+together) // it stands while they are published
	sent := map[string]map[uint64]string{broker.StreamIngress: {}, broker.WorkStream(0): {}}
	for i := range single {
		token := fmt.Sprintf("token-submitted-%d;", i)
		ack, err := js.Publish(t.Context(), messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "acme", ID: strconv.Itoa(i)}), []byte(token))
		if err != nil {
			t.Fatal(err)
		}
		sent[broker.StreamIngress][ack.Sequence] = token
	}
	hop := worker.Hop{JS: js, Leader: leader(js), Group: &worker.Group{Patience: time.Minute}, Backoff: worker.DefaultDelays()}
	hops := func(name string, n, at int) {
		for from := 0; from < n; from += at {
			var pubs []*worker.Publication
			for i := from; i < from+at; i++ {
				a := messages.Address{Key: messages.Key{Tenant: "acme", ID: fmt.Sprint(name, i)}, Class: messages.ClassStd, State: messages.StateAI}
				pubs = append(pubs, &worker.Publication{Address: a, Data: fmt.Appendf(nil, "token-%s-%d;", name, i)})
			}
			for i, r := range hop.Publish(t.Context(), pubs) {
				if r.Fate != worker.FateStored {
					t.Fatalf("%+v", r)
				}
				sent[broker.WorkStream(0)][r.Seq] = string(pubs[i].Data)
			}
		}
	}
	hops("single", single, 1)
	hops("together", together, together)
	if n := received(pull); n != single+together {
		t.Errorf("the consumer was handed %d messages: %v", n, pull.Error())
	}
	if c := hop.Group.Counts(); c.Batches != 1 || c.Refused != 0 {
		t.Errorf("they did not go together: %+v", c)
	}
	return w, sent
}

// fetching asks for so many messages of the WORK stream.
func fetching(t *testing.T, js jetstream.JetStream, n int) jetstream.MessageBatch {
	t.Helper()
	consumer, err := js.CreateConsumer(t.Context(), broker.WorkStream(0), jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	if err != nil {
		t.Fatal(err)
	}
	pull, err := consumer.Fetch(n, jetstream.FetchMaxWait(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return pull
}

func received(pull jetstream.MessageBatch) (n int) {
	for range pull.Messages() {
		n++
	}
	return n
}

// traced starts a broker under the tracer. stop waits for its end, and MUST be called before what see wrote down is read.
func traced(t *testing.T, tr *tracer, dir, listen string, sync bool) (url string, stop func()) {
	t.Helper()
	fromChild, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, toChild, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan error, 1), make(chan error, 1)
	self := os.Args[0]
	attr := &os.ProcAttr{
		Env:   append(os.Environ(), tracedDir+"="+dir, tracedListen+"="+listen, tracedSync+"="+strconv.FormatBool(sync)),
		Files: []*os.File{stdin, stdout, os.Stderr},
	}
	go func() {
		ended <- tr.run(self, []string{self, "-test.run=^TestBrokerThatIsTraced$", "-test.count=1"}, attr, func(err error) { started <- err })
	}()
	err = <-started
	_, _ = stdin.Close(), stdout.Close()
	if err != nil {
		_, _ = toChild.Close(), fromChild.Close()
		t.Fatalf("NO WITNESS: this machine lets no process trace its child (%v), so that nothing is proven of what is on the disk. "+
			"Allow ptrace (kernel.yama.ptrace_scope below 3, no seccomp rule against it) or run the tests elsewhere", err)
	}
	lines := bufio.NewReader(fromChild)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Errorf("the traced broker said nothing: %v", err)
	}
	return strings.TrimSpace(line), func() {
		_ = toChild.Close()
		_, _ = lines.WriteTo(io.Discard)
		if err := <-ended; err != nil {
			t.Errorf("tracing: %v", err)
		}
		_ = fromChild.Close()
	}
}

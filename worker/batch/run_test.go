package batch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker/batch"
	"flowgate/worker/broker"
	"flowgate/worker/workertest"
)

func TestEveryRequestLeavesOneLine(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, many(200)...)
	var last batch.Progress
	job.Progress = func(p batch.Progress) { last = p }
	sum := run(t, job)
	if sum.Published != 200 || sum.AlreadyThere != 0 || sum.Outputs != 160 || sum.Errors != 40 || sum.Resumed != 0 {
		t.Errorf("the summary is %+v", sum)
	}
	if sum.ByStatus[messages.StatusPartial] != 20 || sum.ByStatus[messages.StatusDenied] != 20 || sum.ByReason[messages.ReasonInDoubt] != 20 {
		t.Errorf("the summary is %+v", sum)
	}
	if sum.CostMicroUSD != 180*17 || sum.TokensIn != 180*3 || sum.TokensOut != 180*5 {
		t.Errorf("the summary is %+v", sum)
	}
	if !last.Complete() || last.Trouble != "" {
		t.Errorf("the last progress is %+v", last)
	}
}

func TestARunThatIsRepeatedSendsNothing(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, many(50)...)
	first := run(t, job)
	stored, output := s.stored(t), read(t, job.Output)
	again := run(t, job)
	if again.Resumed != 50 || again.Published != 0 || again.AlreadyThere != 0 {
		t.Errorf("the second summary is %+v", again)
	}
	if again.CostMicroUSD != first.CostMicroUSD || again.TokensIn != first.TokensIn || again.TokensOut != first.TokensOut ||
		again.Outputs != first.Outputs || again.ByReason[messages.ReasonLimitRequest] != first.ByReason[messages.ReasonLimitRequest] {
		t.Errorf("the summaries differ: %+v, then %+v", first, again)
	}
	if s.stored(t) != stored || read(t, job.Output) != output {
		t.Error("the second run sent or wrote something")
	}
}

func TestAnotherRunOfTheSameBatchFindsWhatIsThere(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, many(50)...)
	run(t, job)
	stored := s.stored(t)
	job.Output, job.Errors = filepath.Join(s.folder, "other.jsonl"), filepath.Join(s.folder, "other-errors.jsonl")
	if sum := run(t, job); sum.AlreadyThere != 50 || sum.Published != 0 || sum.Resumed != 0 {
		t.Errorf("the summary is %+v", sum)
	}
	if s.stored(t) != stored {
		t.Error("the broker took a request twice")
	}
}

func TestAStoppedRunGoesOn(t *testing.T) {
	s := setup(t)
	job := s.job(t, many(100)...)
	job.Window = 4
	ctx, cancel := context.WithCancel(t.Context())
	job.Progress = func(p batch.Progress) {
		if p.Done() >= 10 {
			cancel()
		}
	}
	s.gateway.rest = 20
	s.gateway.open(t)
	sum, err := batch.Run(ctx, job)
	close(s.gateway.awake)
	if !errors.Is(err, context.Canceled) || sum.Done() < 10 {
		t.Fatalf("the run ended with %v after %d lines", err, sum.Done())
	}
	partial := len(lines(t, job.Output+batch.Partial)) + len(lines(t, job.Errors+batch.Partial))
	if partial != sum.Done() {
		t.Errorf("the summary counts %d lines, the files have %d", sum.Done(), partial)
	}
	job.Progress = nil
	if again := run(t, job); again.Resumed != partial {
		t.Errorf("%d lines were resumed, want %d", again.Resumed, partial)
	}
	if _, dropped := s.gateway.counts(); dropped != 0 {
		t.Errorf("%d requests were sent twice", dropped)
	}
}

func TestAFullQueueIsWaitedFor(t *testing.T) {
	s := setup(t)
	stream, err := s.js.Stream(t.Context(), broker.StreamIngress)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgs = 5
	if _, err := s.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s.gateway.purges = true
	job := s.job(t, many(60)...)
	full := make(chan string, 1)
	job.Progress = func(p batch.Progress) {
		if strings.Contains(p.Trouble, "full") {
			select {
			case full <- p.Trouble:
			default:
			}
		}
	}
	done := make(chan batch.Summary, 1)
	go func() {
		sum, err := batch.Run(t.Context(), job)
		if err != nil {
			t.Errorf("running the batch: %v", err)
		}
		done <- sum
	}()
	if why := <-full; why != "the queue is full (maximum messages exceeded)" {
		t.Errorf("the trouble is %q", why)
	}
	s.gateway.open(t)
	if sum := <-done; sum.Published != 60 || !sum.Complete() {
		t.Errorf("the summary is %+v", sum)
	}
	checkFiles(t, job)
	if ended, dropped := s.gateway.counts(); ended != 60 || dropped != 0 {
		t.Errorf("the gateway ended %d requests and dropped %d", ended, dropped)
	}
}

func TestABrokerThatIsRestartedIsWaitedFor(t *testing.T) {
	s := setup(t)
	job := s.job(t, many(400)...)
	job.Window = 8
	s.gateway.open(t)
	done := make(chan batch.Summary, 1)
	go func() {
		sum, err := batch.Run(t.Context(), job)
		if err != nil {
			t.Errorf("running the batch: %v", err)
		}
		done <- sum
	}()
	<-s.gateway.at(50)
	s.srv.Shutdown()
	s.start(t)
	sum := <-done
	if !sum.Complete() || sum.Published+sum.AlreadyThere != 400 {
		t.Errorf("the summary is %+v", sum)
	}
	checkFiles(t, job)
	if stored := s.stored(t); stored != 400 { // some may have been delivered twice, none was sent twice
		t.Errorf("the broker took %d requests, want 400", stored)
	}
}

func TestARequestThatNobodyKnowsIsPublishedAgain(t *testing.T) {
	s := setup(t)
	job := s.job(t, many(5)...)
	stream, err := s.js.Stream(t.Context(), broker.StreamIngress)
	if err != nil {
		t.Fatal(err)
	}
	lost := false
	job.Progress = func(p batch.Progress) {
		if p.Published == 5 && !lost {
			lost = true
			if err := stream.Purge(t.Context()); err != nil {
				t.Errorf("losing the requests: %v", err)
			}
			s.gateway.open(t)
		}
	}
	if sum := run(t, job); sum.Published != 5 || sum.Repeated == 0 {
		t.Errorf("the summary is %+v", sum)
	}
}

func TestAProducerWithoutRightsInJetStreamRunsABatch(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, many(20)...)
	job.Conn = workertest.Producer(t, s.srv)
	js, err := jetstream.New(job.Conn)
	if err != nil {
		t.Fatal(err)
	}
	job.JS = js
	run(t, job)
}

func TestNativeLinesChooseTheirClass(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t,
		`{"id":"mine: 1","prompt":"hello","audit_reason":"a test","priority":"high"}`,
		`{"prompt":"please fail","audit_reason":"a test"}`,
		`{"prompt":"hello","audit_reason":"a test","priority":"normal"}`)
	run(t, job)
	for line, want := range map[int]messages.Class{1: messages.ClassRT, 2: messages.ClassBatch, 3: messages.ClassStd} {
		key := messages.Key{Tenant: tenant, ID: batch.RequestID(job.BatchID, line)}
		if got := s.gateway.class(key); got != want {
			t.Errorf("line %d was of class %q, want %q", line, got, want)
		}
	}
	if got := lines(t, job.Errors); len(got) != 1 || !strings.Contains(got[0], `"line":2`) || !strings.Contains(got[0], `"status":"failure"`) {
		t.Errorf("the error file is %q", got)
	}
	if got := read(t, job.Output); !strings.Contains(got, `"line":1,"custom_id":"mine: 1"`) {
		t.Errorf("the output file is %q", got)
	}
	if sum := run(t, job); sum.Resumed != 3 {
		t.Errorf("the second summary is %+v", sum)
	}
}

func TestFaultyLinesAreSkippedWhereTheOptionSaysSo(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	path := filepath.Join(s.folder, "input.jsonl")
	write(t, path, strings.Join([]string{
		openAI("a", "hello"), strings.Replace(openAI("b", "hello"), `"max_tokens":9`, `"logprobs":1`, 1), "nonsense", "", openAI("a", "twice"),
	}, "\n"))
	f, err := batch.Open(path, batch.Options{Tenant: tenant, SkipInvalid: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, f)
	job := s.jobOf(f)
	if sum := run(t, job); sum.Total != 5 || sum.Invalid != 4 || sum.Published != 1 || sum.Errors != 4 || sum.ByReason[messages.ReasonMalformed] != 4 {
		t.Errorf("the summary is %+v", sum)
	}
	got := lines(t, job.Errors)
	want := `{"id":"batch_req_` + job.BatchID + `-2","custom_id":"b","response":null,"error":{"code":"malformed",` +
		`"message":"line 2: field logprobs: is not supported in a batch","param":"logprobs","line":2},"status":"failure",` +
		`"flowgate":{"status":"failure","reason":"malformed","cache_hit":false,"attempts":0,"cost_usd":0}}`
	if len(got) != 4 || got[0] != want {
		t.Errorf("the error file is\n%s\nits first line must be\n%s", strings.Join(got, "\n"), want)
	}
	if sum := run(t, job); sum.Resumed != 5 || sum.Published != 0 {
		t.Errorf("the second summary is %+v", sum)
	}
}

func TestAJobIsChecked(t *testing.T) {
	s := setup(t)
	job := s.job(t, many(1)...)
	job.Tenant, job.BatchID, job.Errors, job.Window = "other", "a.b", job.Output, -1
	_, err := batch.Run(t.Context(), job)
	for _, want := range []string{"tenant", "batch id", "two different files", "window"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error must be about %s: %v", want, err)
		}
	}
	if _, err := os.Stat(job.Output + batch.Partial); err == nil {
		t.Error("a job that is refused left a file behind")
	}
}

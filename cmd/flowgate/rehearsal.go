package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker"
	"flowgate/worker/backends"
	"flowgate/worker/batch"
	"flowgate/worker/postgres"
)

// rehearsal is one run of `flowgate cluster`.
type rehearsal struct {
	cmd *cobra.Command
	g   *globals
	// exe is the program that the processes run, next the one that replaces it; empty: the same.
	exe, next string
	dir       string
	servers   int
	// file holds the requests; empty: the sample. Only its first lines are sent, if lines is not 0.
	file  string
	lines int
	lasts time.Duration
	// everyone replaces every worker, not one of each kind.
	everyone bool
	// look, where it is not nil, is called when everything is recorded and still runs.
	look func()

	began time.Time
	d     *deployment
	c     *client
	path  string
	total int
	ended atomic.Int64
	// past are the processes that were replaced.
	past []*child
}

// Sizes of a rehearsal: small enough that a batch keeps every kind of worker busy for a while.
const (
	workersPerLayer = 2
	callsAtOnce     = 4
	smallBatch      = 5
)

// layerWords are the kinds of workers, in the order of the chain, and the recorder.
func layerWords() []string {
	var words []string
	for _, link := range pipelines.Chain() {
		words = append(words, link.Queues[0].Name)
	}
	return append(words, string(roleRecorder))
}

func (r *rehearsal) run(ctx context.Context) (err error) {
	r.began = time.Now()
	report, err := r.rehearse(ctx)
	if err != nil {
		return err
	}
	if r.g.json {
		err = printJSON(r.cmd.OutOrStdout(), report)
	} else {
		err = report.show(r.cmd.OutOrStdout(), r.g)
	}
	return verdict(err, report.OK)
}

// rehearse starts the deployment, works on it and ends it.
func (r *rehearsal) rehearse(ctx context.Context) (report *clusterReport, err error) {
	r.d = &deployment{exe: r.exe, dir: r.dir, servers: r.servers, log: r.g.logger(), settings: fmt.Sprintf(
		"  micro_batch: %d\n  concurrency: {ai: %d}\n  backends: {allowed: [offline]}\n", smallBatch, callsAtOnce)}
	defer func() { err = errors.Join(err, r.d.stop()) }()
	var layers []string
	for _, word := range layerWords() {
		layers = append(layers, word)
		if word != string(roleRecorder) {
			layers = append(layers, word)
		}
	}
	r.say("Starting %d NATS servers, a Postgres, %d workers in %s. The offline backend answers: it is no model.", r.servers, len(layers), r.dir)
	if err := r.d.start(ctx, layers...); err != nil {
		return nil, err
	}
	started := time.Since(r.began)
	if err := r.writeLines(); err != nil {
		return nil, err
	}
	if r.c, err = r.d.reach(ctx); err != nil {
		return nil, err
	}
	defer r.c.close()
	if report, err = r.work(ctx); err != nil {
		return nil, err
	}
	if r.look != nil {
		r.look()
	}
	report.Servers, report.Workers, report.Lines = r.servers, len(layers), r.total
	report.StartSeconds = started.Seconds()
	report.judge()
	report.Seconds = time.Since(r.began).Seconds()
	return report, nil
}

func (r *rehearsal) say(format string, a ...any) {
	if !r.g.json {
		fmt.Fprintf(r.cmd.OutOrStdout(), format+"\n", a...)
	}
}

// writeLines makes the batch's file of the sample.
func (r *rehearsal) writeLines() error {
	file, name, err := sampleFile(r.g.tenant, r.file)
	if err != nil {
		return err
	}
	defer file.Close()
	r.total = file.Len()
	if r.lines > 0 {
		r.total = min(r.lines, r.total)
	}
	r.path = filepath.Join(r.dir, "batch.jsonl")
	out, err := os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return environmentError{err}
	}
	latency := max(r.lasts*workersPerLayer*callsAtOnce/time.Duration(2*r.total), time.Millisecond) // half of the hands are free
	r.say("Sending %d lines of %s. Each call takes %s, as one of a model would; every second line waits for a time of its own.",
		r.total, name, latency.Round(time.Millisecond))
	lines, now := json.NewEncoder(out), time.Now()
	for i := range r.total {
		document, e := file.Document(i)
		if e == nil {
			document, e = r.line(document, i, latency, now)
		}
		if e == nil {
			e = lines.Encode(json.RawMessage(document))
		}
		err = errors.Join(err, e)
	}
	return errors.Join(err, out.Close())
}

// line gives a request a name, a time that its call takes, and, if it is an odd one, a time before which it waits at layer 1:
// so every kind of worker has work to do for as long as the batch is to last.
func (r *rehearsal) line(document []byte, i int, latency time.Duration, now time.Time) ([]byte, error) {
	var line map[string]any
	if err := json.Unmarshal(document, &line); err != nil {
		return nil, err
	}
	metadata, _ := line["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata[backends.MetadataLatency] = latency.Milliseconds()
	line["id"], line["metadata"] = fmt.Sprintf("line-%d", i+1), metadata
	if i%2 == 1 {
		line["not_before"] = now.Add(r.lasts * time.Duration(i) / time.Duration(r.total)).UTC()
	}
	return json.Marshal(line)
}

// work sends the batch, replaces workers meanwhile, and reads the record.
func (r *rehearsal) work(ctx context.Context) (*clusterReport, error) {
	began := make(chan struct{})
	before, err := r.c.db.Size(ctx)
	if err != nil {
		return nil, err
	}
	stop, err := r.watch(began)
	if err != nil {
		return nil, err
	}
	defer stop()
	report := &clusterReport{}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var replacing sync.WaitGroup
	replacing.Go(func() {
		select {
		case <-began:
		case <-ctx.Done():
			return
		}
		if err := r.replaceWorkers(ctx, report); err != nil {
			cancel(err)
		}
	})
	sent := time.Now()
	summary, err := r.submit(ctx)
	report.BatchSeconds = time.Since(sent).Seconds()
	if err != nil {
		cancel(err)
	}
	replacing.Wait()
	if cause := context.Cause(ctx); err != nil || cause != nil {
		return nil, errors.Join(err, cause)
	}
	report.Statuses, report.Reasons = summary.ByStatus, summary.ByReason
	if err := r.record(ctx, report); err != nil {
		return nil, err
	}
	return report, r.measure(ctx, report, before)
}

// watch counts the requests that have ended, by their wake-ups, and closes began when the first has left layer 1.
func (r *rehearsal) watch(began chan<- struct{}) (stop func(), err error) {
	first := sync.OnceFunc(func() { close(began) })
	work, err := r.c.conn.Subscribe("flowgate.work.>", func(*nats.Msg) { first() })
	if err != nil {
		return nil, fmt.Errorf("watching the batch: %w", err)
	}
	done, err := r.c.conn.Subscribe(messages.ResultSubject(messages.Key{Tenant: r.g.tenant, ID: "*"}), func(*nats.Msg) { r.ended.Add(1) })
	if err != nil {
		return nil, fmt.Errorf("watching the batch: %w", err)
	}
	return func() {
		_ = work.Unsubscribe() // the connection is closed soon anyway
		_ = done.Unsubscribe()
	}, r.c.conn.Flush()
}

func (r *rehearsal) open() int { return r.total - int(r.ended.Load()) }

// replaceWorkers stops and starts the first worker of each kind, or every worker, one after the other, when the batch has
// come a further step: not by the clock, so that each is replaced in the middle of it on a slow machine too.
func (r *rehearsal) replaceWorkers(ctx context.Context, report *clusterReport) error {
	exe, began := r.next, time.Now()
	if exe == "" {
		exe = r.exe
	}
	chosen := r.chosen()
	for i, w := range chosen {
		for r.ended.Load() < int64(r.total*i/(len(chosen)+1)) {
			if !sleep(ctx, 10*time.Millisecond) {
				return ctx.Err()
			}
		}
		after := time.Since(began)
		r.past = append(r.past, w.child)
		one, err := r.d.replace(ctx, w, exe, r.open)
		if err != nil {
			return err
		}
		one.AfterSeconds = after.Seconds()
		report.Replaced = append(report.Replaced, one)
		r.say("  %5.1f s  %-10s stopped with %d lines open, drained in %.2f s; started in %.2f s, %d lines open",
			one.AfterSeconds, one.Layer, one.OpenBefore, one.DrainSeconds, one.StartSeconds, one.OpenAfter)
	}
	return nil
}

// chosen are the workers to be replaced.
func (r *rehearsal) chosen() []*member {
	if r.everyone {
		return r.d.workers
	}
	var chosen []*member
	for _, w := range r.d.workers {
		if !slices.ContainsFunc(chosen, func(c *member) bool { return c.layer == w.layer }) {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// submit sends the file as `flowgate batch submit` does and waits for every line.
func (r *rehearsal) submit(ctx context.Context) (batch.Summary, error) {
	file, err := batch.Open(r.path, batch.Options{Tenant: r.g.tenant})
	if err != nil {
		return batch.Summary{}, err
	}
	defer file.Close()
	stored, _, err := r.c.db.RegisterBatch(ctx, postgres.Batch{
		Tenant: r.g.tenant, Name: "cluster", Digest: file.Digest(), Total: file.Len(), Path: r.path,
	}, false)
	if err != nil {
		return batch.Summary{}, err
	}
	return batch.Run(ctx, batch.Job{
		Conn: r.c.conn, JS: r.c.js, File: file, BatchID: stored.ID, Tenant: r.g.tenant,
		Output: filepath.Join(r.dir, "batch.output.jsonl"), Errors: filepath.Join(r.dir, "batch.errors.jsonl"),
	})
}

// record waits until every end is recorded and reads the record.
func (r *rehearsal) record(ctx context.Context, report *clusterReport) (err error) {
	for {
		n, err := r.c.db.CountOutcomes(ctx, r.g.tenant)
		if err != nil {
			return err
		}
		if n >= uint64(r.total) { //nolint:gosec // it is not negative
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the record, %d of %d requests are in it: %w", n, r.total, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	outcomes, err := r.c.db.OutcomeTokens(ctx, postgres.Filter{Tenant: r.g.tenant, Limit: -1})
	if err != nil {
		return err
	}
	times := map[string]int{}
	for i := range outcomes {
		times[outcomes[i].ID]++
		report.Outcomes++
		report.Attempts += len(outcomes[i].Attempts)
		report.Cost += outcomes[i].CostMicroUSD
	}
	report.Requests = len(times)
	if report.Copies, err = r.copies(ctx); err != nil {
		return err
	}
	report.Findings, err = auditCheck(ctx, r.c)
	return err
}

// measure tells what a request takes while it is held: nothing was purged yet.
func (r *rehearsal) measure(ctx context.Context, report *clusterReport, before postgres.Size) error {
	var bytes uint64
	for _, name := range []string{worker.IngressStream, worker.WorkStream(0), worker.EventsStream} {
		stream, err := r.c.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("reading stream %s: %w", name, err)
		}
		bytes += stream.CachedInfo().State.Bytes
	}
	after, err := r.c.db.Size(ctx)
	if err != nil {
		return err
	}
	requests := int64(max(r.total, 1))
	report.NATSBytes = int64(bytes) / requests //nolint:gosec // far from its bounds
	report.PostgresBytes, report.Connections = (after.Bytes-before.Bytes)/requests, after.Connections-1
	return nil
}

// copies counts the copies of the WORK stream that are up to date, the leader's included.
func (r *rehearsal) copies(ctx context.Context) (int, error) {
	stream, err := r.c.js.Stream(ctx, worker.WorkStream(0))
	if err != nil {
		return 0, fmt.Errorf("reading the WORK stream: %w", err)
	}
	copies := 1
	if cluster := stream.CachedInfo().Cluster; cluster != nil {
		for _, replica := range cluster.Replicas {
			if replica.Current && !replica.Offline {
				copies++
			}
		}
	}
	return copies, nil
}

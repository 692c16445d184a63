package main

import (
	"bytes"
	"context"
	_ "embed" // requests of the demo
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/worker/batch"
	"flowgate/worker/postgres"
)

//go:embed demo.jsonl
var demoRequests []byte

// demoData are the e-mails that the demo reads where they are there.
const demoData = "enron-100.jsonl"

func newDemo(g *globals) *cobra.Command {
	var keep bool
	var fetch fetchSwitch
	cmd := &cobra.Command{
		Use: "demo", Short: "Watch real work pass through the three layers, in one minute", Args: cobra.NoArgs,
		Long: "Starts everything in a fresh folder, sends a hundred e-mails (or the 25 requests that ship with the product) and four\n" +
			"sabotaged requests, shows what became of each, replays the dead letter and checks the record. It needs no network and\n" +
			"asks no model: the offline backend answers, and says so.",
		Example: "  flowgate demo\n  flowgate demo --json\n  flowgate demo --state /tmp/demo --keep",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fetch.prepare(cmd, configs.Default(), g.state); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Minute)
			defer cancel()
			dir, remove, err := freshFolder(g, keep)
			if err != nil {
				return err
			}
			d := &demo{cmd: cmd, g: g, dir: dir, began: time.Now()}
			return errors.Join(d.run(ctx), remove())
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the state folder")
	fetch.addTo(cmd)
	return cmd
}

// demo is one run.
type demo struct {
	cmd   *cobra.Command
	g     *globals
	dir   string
	began time.Time
	node  *node
	c     *client
	sent  []demoLine
	data  string
}

// demoLine is one request of the demo.
type demoLine struct {
	key      messages.Key
	class    messages.Class
	document []byte
}

// The sabotaged requests.
const (
	demoDead      = "sabotage-backend"
	demoMalformed = "sabotage-malformed"
	demoTooDear   = "sabotage-too-dear"
)

func (d *demo) run(ctx context.Context) error {
	settings := configs.Default()
	settings.Flowgate.Listen, settings.Flowgate.HTTP = "127.0.0.1:0", ""
	settings.Flowgate.Backends.Allowed = []string{"offline"}
	settings.AWS.Bedrock.ModelMapping["claude-sonnet-4-5"] = "claude-sonnet-4-6" // requests of users' own may name it; it is retired since
	d.say("Starting broker, database and three layers in %s. The offline backend answers: it is no model.", d.dir)
	var err error
	if d.node, err = startNode(ctx, everything(d.dir, settings, d.g.logger())); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.node.stop()) }()
	d.c = &client{conn: d.node.conn, js: d.node.js, db: d.node.db}
	if err = d.load(); err != nil {
		return err
	}
	report, err := d.work(ctx)
	if err != nil {
		return err
	}
	if d.g.json {
		err = printJSON(d.cmd.OutOrStdout(), report)
	}
	return verdict(err, report.OK)
}

func (d *demo) say(format string, a ...any) {
	if !d.g.json {
		fmt.Fprintf(d.cmd.OutOrStdout(), format+"\n", a...)
	}
}

func (d *demo) key(id string) messages.Key { return messages.Key{Tenant: d.g.tenant, ID: id} }

// sampleFile opens the file of that name, or without one the e-mails of FLOWGATE_DATA where they are there, else the requests
// that ship with the product.
func sampleFile(tenant, named string) (file *batch.File, name string, err error) {
	folder := os.Getenv("FLOWGATE_DATA")
	if folder == "" {
		folder = filepath.Join("..", "shared", "data")
	}
	options := batch.Options{Tenant: tenant}
	if named != "" {
		if file, err = batch.Open(named, options); err != nil {
			return nil, named, usageError{fmt.Errorf("%s: %w", named, err)}
		}
		return file, named, nil
	}
	name = filepath.Join(folder, demoData)
	file, err = batch.Open(name, options)
	if errors.Is(err, os.ErrNotExist) {
		name = "the 25 requests that ship with the product"
		file, err = batch.Read("demo.jsonl", bytes.NewReader(demoRequests), options)
	}
	return file, name, err
}

// load reads the requests and adds the sabotaged ones.
func (d *demo) load() error {
	file, name, err := sampleFile(d.g.tenant, "")
	if err != nil {
		return err
	}
	d.data = name
	defer file.Close()
	for i := range file.Len() {
		document, err := file.Document(i)
		if err != nil {
			return err
		}
		d.sent = append(d.sent, demoLine{d.key("demo-" + strconv.Itoa(i+1)), file.Line(i).Class, document})
	}
	d.sent = append(
		d.sent,
		demoLine{d.key(demoDead), messages.ClassStd, []byte(`{"prompt":"Summarise the incident report of last night in two sentences.",
			"audit_reason":"sabotage: the backend fails in the first epoch","model":"claude-sonnet-4-6","max_tokens":128,
			"metadata":{"offline_faults":[{"class":"transient","epoch":0}]}}`)},
		demoLine{d.key(demoMalformed), messages.ClassStd, []byte(`{"prompt":"Translate the imprint.","audit_reason":"sabotage: a number as text","max_tokens":"many"}`)},
		demoLine{d.key(demoTooDear), messages.ClassStd, []byte(`{"prompt":"Write a very long report.","audit_reason":"sabotage: could cost more than one dollar",
			"model":"claude-sonnet-4-6","max_tokens":200000}`)},
		// The first request once more, in another class.
		demoLine{d.sent[0].key, messages.ClassRT, d.sent[0].document},
	)
	return nil
}

// work sends, waits, shows, replays and checks.
func (d *demo) work(ctx context.Context) (*demoReport, error) {
	d.say("Sending %d requests from %s, four of them sabotaged.", len(d.sent), d.data)
	if err := d.send(ctx); err != nil {
		return nil, err
	}
	report, err := d.measure(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.show(report); err != nil {
		return nil, err
	}
	if err := d.replayDead(ctx, report); err != nil {
		return nil, err
	}
	if report.Findings, err = auditCheck(ctx, d.c); err != nil {
		return nil, err
	}
	if report.Again, err = redecide(ctx, d.c.db, postgres.Filter{Tenant: d.g.tenant, Limit: -1}, proposal{}); err != nil {
		return nil, err
	}
	report.judge()
	report.Seconds = time.Since(d.began).Seconds()
	if d.g.json {
		return report, nil
	}
	d.say("\nThe record, the money and the queue (flowgate audit check):")
	if err := showFindings(d.cmd.OutOrStdout(), d.g, report.Findings); err != nil && !errors.Is(err, errSaid) {
		return nil, err
	}
	d.say("\nEvery decision made again, out of the record alone (flowgate audit redecide):")
	if err := report.Again.write(d.cmd.OutOrStdout(), false); err != nil {
		return nil, err
	}
	d.say("\nDone in %.1f s. Next: `flowgate up` in one terminal, `flowgate submit --reason \"why you ask\" --wait \"Say OK\"` in another;", report.Seconds)
	d.say("`flowgate batch submit FILE.jsonl` for many; `flowgate --help` for the rest.")
	return report, nil
}

// send publishes every line and waits until every request has ended and is recorded.
func (d *demo) send(ctx context.Context) (err error) {
	for _, l := range d.sent {
		if _, _, err := publishRequest(ctx, d.c.js, l.class, l.key, l.document); err != nil {
			return err
		}
	}
	requests := uint64(len(d.sent) - 1)                                                         // one is a duplicate
	bar := batch.NewBar(d.cmd.ErrOrStderr(), isTerminal(os.Stderr) && !d.g.json, int(requests)) //nolint:gosec // it is small
	defer func() { err = errors.Join(err, bar.Close()) }()
	for {
		done, err := d.c.db.CountOutcomes(ctx, d.g.tenant)
		if err != nil {
			return err
		}
		if !d.g.json {
			bar.Update(batch.Progress{Summary: batch.Summary{Total: int(requests), Outputs: int(done)}}) //nolint:gosec // they are small
		}
		duplicates, err := d.c.db.CountEvents(ctx, d.g.tenant, string(messages.EventDuplicateID))
		if err != nil {
			return err
		}
		if done >= requests && duplicates > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d requests, %d have ended: %w", requests, done, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// replayDead has the dead letter done again and shows its timeline.
func (d *demo) replayDead(ctx context.Context, r *demoReport) error {
	d.say("\nReplaying the dead letter %s: the backend is well now.", demoDead)
	document := []byte(`{"reason":"the demo's backend is well again","by":"demo"}`)
	epoch, err := replay(ctx, d.c, messages.ClassStd, d.key(demoDead), document)
	if err != nil {
		return err
	}
	result, err := await(ctx, d.c, d.key(demoDead), epoch, time.Minute)
	if err != nil {
		return err
	}
	r.Replay = demoReplay{ID: demoDead, Epoch: result.Epoch, Status: result.Status}
	if err := d.recorded(ctx, epoch); err != nil || d.g.json {
		return err
	}
	d.say("\nIts timeline over the layers (flowgate audit show %s):", demoDead)
	return showTimeline(ctx, d.cmd.OutOrStdout(), d.g, d.c.db, d.key(demoDead))
}

// recorded waits until the recorder has written an epoch's outcome.
func (d *demo) recorded(ctx context.Context, epoch int) error {
	for {
		_, ended, err := d.c.db.Standing(ctx, d.key(demoDead), epoch)
		if err != nil || ended {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// demoReport is what the demo found, and its JSON.
type demoReport struct {
	OK         bool                 `json:"ok"`
	Backend    string               `json:"backend"`
	Lines      int                  `json:"lines"`
	Statuses   map[string]int       `json:"statuses"`
	Reasons    map[string]int       `json:"reasons"`
	Duplicates uint64               `json:"duplicate_id"`
	Dead       []demoDeadLetter     `json:"dead_letters"`
	Layers     []postgres.LayerTime `json:"layers"`
	TokensIn   int64                `json:"tokens_in"`
	TokensOut  int64                `json:"tokens_out"`
	// Cost is the sum over the outcomes, Recomputed the sum from tokens and price rows, in micro-dollars.
	Cost       int64              `json:"cost_microusd"`
	Recomputed int64              `json:"recomputed_microusd"`
	Replay     demoReplay         `json:"replay"`
	Findings   []postgres.Finding `json:"audit_check"`
	// Again is what became of every decision when it was made again out of the record.
	Again   *redecision `json:"redecided"`
	Seconds float64     `json:"seconds"`
}

type demoDeadLetter struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail,omitempty"`
}

type demoReplay struct {
	ID     string          `json:"id"`
	Epoch  int             `json:"epoch"`
	Status messages.Status `json:"status"`
}

// judge tells whether everything went as the demo promises.
func (r *demoReport) judge() {
	r.OK = r.Replay.Status == messages.StatusSuccess && r.Replay.Epoch == 1 && r.Cost == r.Recomputed && r.Duplicates == 1 &&
		r.Statuses["success"] == r.Lines-4 && r.Statuses["failure"] == 2 && r.Statuses["denied"] == 1
	for _, f := range r.Findings {
		r.OK = r.OK && f.OK
	}
	r.OK = r.OK && r.Again.good() && r.Again.Requests > 0
}

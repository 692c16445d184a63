package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker/chaos"
	"flowgate/worker/postgres"
	"flowgate/worker/provider"
)

// drillRun is one run of `flowgate chaos`.
type drillRun struct {
	cmd  *cobra.Command
	g    *globals
	exe  string
	dir  string
	plan chaos.Plan

	c *client
	// again is what became of the decisions on record when they were made again.
	again *redecision
}

// drillPatience is how long nothing may move, once every fault is healed, before what is open counts as lost.
const drillPatience = 3 * time.Minute

func (d *drillRun) say(format string, a ...any) {
	if !d.g.json {
		fmt.Fprintf(d.cmd.OutOrStdout(), format+"\n", a...)
	}
}

func (d *drillRun) run(ctx context.Context) (err error) {
	began := time.Now()
	books, err := provider.New(provider.Options{Listen: "127.0.0.1:0", Script: chaos.Script})
	if err != nil {
		return environmentError{err}
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- books.Run(serving) }()
	defer func() { cancel(); err = errors.Join(err, <-served) }()

	d.say("Seed %d: %d requests, %d faults, %d NATS server(s) in %s. A provider that is no model answers.",
		d.plan.Seed, d.plan.Requests, d.plan.Faults, d.plan.Cluster, d.dir)
	ground, err := startGround(ctx, &deployment{
		exe: d.exe, dir: d.dir, servers: d.plan.Cluster, log: d.g.logger(), settings: d.settings(books.URL()),
	})
	defer func() { err = errors.Join(err, ground.stop()) }()
	if err != nil {
		return err
	}
	if d.c, err = ground.reach(ctx); err != nil {
		return err
	}
	defer d.c.close()
	evidence, err := d.drill(ctx, ground, books)
	if err != nil {
		return err
	}
	report := &chaosReport{Report: chaos.Judge(d.plan, evidence), Seconds: time.Since(began).Seconds()}
	for _, k := range ground.keepers {
		report.UnaskedExits += k.exits()
	}
	return d.conclude(ctx, report, evidence)
}

// settings are those of every process: short waits, so that a drill is over soon.
func (d *drillRun) settings(baseURL string) string {
	limit := d.plan.Limit()
	return fmt.Sprintf("  ack_wait: %s\n  hold: %s\n  micro_batch: 20\n  concurrency: {ai: 16}\n  nats: {connect_wait: 1m}\n"+
		"  backends: {allowed: [openai], openai: {base_url: %q}}\n"+
		"retry: {default: {max_retries: 3, base_delay: 0.2, max_delay: 2, backoff_factor: 2}}\n"+
		"cost_optimization:\n  limits: {daily_limit: %d.%06d, monthly_limit: none}\n",
		chaos.AckWait, d.plan.Hold(), baseURL, limit/1_000_000, limit%1_000_000)
}

// drill sends and strikes, waits until all is recorded, and collects the evidence.
func (d *drillRun) drill(ctx context.Context, ground *drillGround, books *provider.Server) (chaos.Evidence, error) {
	t := newTraffic(d.c, d.g.tenant, d.plan)
	s := &saboteur{ground: ground, c: d.c, say: d.say, targets: make(map[string]*sync.Mutex)}
	t.told = s.result
	calm, wrong := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(calm)
		s.run(ctx, d.plan.Schedule, t.hasAccepted)
		wrong <- ground.whole(ctx)
	}()
	err := t.run(ctx, calm, drillPatience)
	<-calm
	if err = errors.Join(err, <-wrong); err != nil {
		return chaos.Evidence{}, err
	}
	d.say("All is quiet: %d accepted, %d open.", len(t.accepted), len(t.open))
	record, err := d.record(ctx)
	if err == nil {
		d.again, err = redecide(ctx, d.c.db, postgres.Filter{Tenant: d.g.tenant, Limit: -1}, proposal{})
	}
	if err == nil {
		record.NotReproduced = d.again.NotReproduced + d.again.NotRecomputable
	}
	return chaos.Evidence{
		Submitted: t.submitted, Accepted: t.accepted, Cancelled: t.cancelled, Results: t.results, Wakes: t.wakes, Calls: books.Calls(),
		Record: record, Limit: d.plan.Limit(), Struck: s.struck,
	}, err
}

// record reads the record once every admission has ended and nothing that it says breaks a rule, or for as long as one may
// wait for that.
func (d *drillRun) record(ctx context.Context) (chaos.Record, error) {
	for began := time.Now(); ; {
		record, err := d.read(ctx)
		if err == nil && record.Open == 0 && len(record.Broken) == 0 || time.Since(began) > time.Minute {
			return record, err
		}
		if !sleep(ctx, 250*time.Millisecond) {
			return record, errors.Join(ctx.Err(), err)
		}
	}
}

func (d *drillRun) read(ctx context.Context) (r chaos.Record, err error) {
	findings, err := auditCheck(ctx, d.c)
	if err != nil {
		return r, err
	}
	for _, f := range findings {
		if !f.OK {
			r.Broken = append(r.Broken, fmt.Sprintf("%s: %s (%d: %s)", f.Name, f.Detail, f.Count, strings.Join(f.Examples, "; ")))
		}
	}
	evidence, err := d.c.db.Evidence(ctx, d.g.tenant)
	if err != nil {
		return r, err
	}
	outcomes, err := d.c.db.ListOutcomes(ctx, postgres.Filter{Tenant: d.g.tenant, Limit: -1})
	if err != nil {
		return r, err
	}
	r.Admissions, r.Open, r.Intents, r.DeadLetters = evidence.Admissions, evidence.Open, evidence.Intents, evidence.DeadLetters
	r.Spent = make(map[string]int64, len(evidence.Scopes))
	for _, s := range evidence.Scopes {
		r.Spent[s.Name] = s.Settled
		r.Reserved += s.Reserved
	}
	for _, c := range evidence.Calls {
		r.Attempts = append(r.Attempts, chaos.Attempt{ID: c.ID, Epoch: c.Epoch, K: c.K, InDoubt: c.Doubt})
	}
	for i := range outcomes {
		o := &outcomes[i]
		r.Outcomes = append(r.Outcomes, chaos.Outcome{
			ID: o.ID, Epoch: o.Epoch, Ending: chaos.Ending{Status: messages.Status(o.Status), Reason: messages.Reason(o.Reason)},
		})
	}
	return r, nil
}

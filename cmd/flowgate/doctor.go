package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/broker"
	"flowgate/worker/doctor"
	"flowgate/worker/postgres"
)

// examination is what an operator wants of the doctor.
type examination struct {
	noRequest bool
	wait      time.Duration
	maxAge    time.Duration
	marks     doctor.Marks
}

func newDoctor(g *globals) *cobra.Command {
	x := examination{marks: doctor.DefaultMarks()}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find out what is wrong, and what to do about it", Args: cobra.NoArgs,
		Long: "Asks broker, database, every process and the settings, sends a small request of its own through all three layers, and\n" +
			"names each fault with its figures and its remedy. What cannot be asked is a fault too. With a real backend the request\n" +
			"costs a few tokens of the default model, which is printed; --no-request sends none. Nothing else is changed.\n" +
			"Exit code 0: healthy; 1: there are findings; 3: broker or database cannot be reached.",
		Example: "  flowgate doctor\n  flowgate doctor --json --no-request\n  flowgate doctor --max-age 10s --max-lag 5s",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if x.maxAge > 0 {
				for class := range x.marks.Age {
					x.marks.Age[class] = x.maxAge
				}
			}
			if x.wait < time.Second || x.wait > 10*time.Minute || x.marks.Free < 0 || x.marks.Free > 100 {
				return usageError{errors.New("flag --wait must be from 1s to 10m, --min-free from 0 to 100")}
			}
			x.marks.Free /= 100
			return x.run(cmd, g)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&x.noRequest, "no-request", false, "send no request")
	f.DurationVar(&x.wait, "wait", 20*time.Second, "how long the request may take; it ends by itself then")
	f.DurationVar(&x.maxAge, "max-age", 0, "how long a message may wait to be taken up (default: rt 1m, std 5m, batch 1h)")
	f.DurationVar(&x.marks.Lag, "max-lag", x.marks.Lag, "how far the record may be behind")
	f.DurationVar(&x.marks.Skew, "max-skew", x.marks.Skew, "how far clocks may disagree")
	x.marks.Free *= 100
	f.Float64Var(&x.marks.Free, "min-free", x.marks.Free, "how much of a disk should be free, in `percent`, unless 20 GiB are")
	return cmd
}

// doctorReport is what the doctor found.
type doctorReport struct {
	OK       bool             `json:"ok"`
	Checks   []doctor.Check   `json:"checks"`
	Findings []doctor.Finding `json:"findings"`
	Request  doctor.Request   `json:"request"`
}

func (x *examination) run(cmd *cobra.Command, g *globals) error {
	ctx := cmd.Context()
	facts, settings := readSettings(g)
	sources, c := x.sources(ctx, g, settings, &facts)
	defer c.close()
	out := facts.Unreachable // broker or database
	facts = doctor.Gather(ctx, sources, facts)
	r := doctorReport{Findings: doctor.Judge(facts, x.marks)}
	if sources.JS != nil && !x.noRequest {
		r.Request = doctor.Ask(ctx, sources.JS, x.wait, settings.Flowgate.Admission.MinAuditReason)
		if found := r.Request.Finding(); found != nil {
			r.Findings = append(r.Findings, *found)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.Checks, r.OK = doctor.Checks(facts, r.Findings), len(r.Findings) == 0
	if err := r.show(cmd.OutOrStdout(), g); err != nil {
		return err
	}
	switch {
	case len(out) > 0 && facts.Settings == "" && facts.Broker.TooOld == "":
		return environmentError{fmt.Errorf("%s cannot be reached: %s", out[0].What, out[0].Why)}
	case !r.OK:
		return errSaid
	}
	return nil
}

// readSettings reads settings and agreements; what is wrong with them is a fact.
func readSettings(g *globals) (doctor.Facts, configs.Settings) {
	var facts doctor.Facts
	settings, warnings, err := configs.Load(g.config, os.LookupEnv)
	if err != nil {
		facts.Settings = err.Error()
		return facts, configs.Default()
	}
	facts.SettingsCount, facts.Warnings = len(settings.Explain()), len(warnings)
	facts.Cache = g.lookAtCache(settings)
	agreements, err := configs.LoadAgreements(settings.Flowgate.AgreementsFile)
	if err == nil {
		_, err = loadControls(settings, agreements)
	}
	for _, a := range agreements {
		facts.Agreements = append(facts.Agreements, flow.Entry{Agreement: a, State: flow.StateApproved})
	}
	if err != nil {
		facts.Settings = err.Error()
	}
	if _, err = configs.LoadPrices(settings.Flowgate.PricesFile); err != nil && facts.Settings == "" {
		facts.Settings = err.Error()
	}
	return facts, settings
}

// sources connects to what can be reached, and notes what cannot. Without settings nothing is known to connect to.
func (x *examination) sources(ctx context.Context, g *globals, settings configs.Settings, facts *doctor.Facts) (doctor.Sources, *client) {
	s, c := doctor.Sources{}, &client{}
	silent := func(what string, err error) {
		facts.Unreachable = append(facts.Unreachable, doctor.Silence{What: what, Why: err.Error()})
	}
	if facts.Settings != "" && facts.SettingsCount == 0 {
		silent("broker and database", errors.New("not asked: the settings cannot be read"))
		return s, c
	}
	var err error
	if s.Topology, err = topologyOf(settings); err != nil {
		silent("topology", err)
	}
	if c.conn, err = g.reachBroker(ctx, settings); err == nil {
		facts.Broker.Version = c.conn.ConnectedServerVersion()
		if c.js, err = newJetStream(c.conn); err == nil {
			s.JS = c.js
		}
	}
	if old := (*broker.VersionError)(nil); errors.As(err, &old) { // it answers: a finding of its own
		facts.Broker.Version, facts.Broker.TooOld = old.Version, old.Least
	} else if err != nil {
		silent("broker", err)
	}
	if c.db, err = g.reachDatabase(ctx, settings); err == nil {
		s.DB = c.db
		s.Agreements = func(ctx context.Context) ([]flow.Entry, error) {
			all, err := c.db.Agreements(ctx)
			return flow.Governing(all), err
		}
		if settings.Flowgate.AgreementsFile != "" { // what ships says nothing that an operator would want to hold
			for _, e := range facts.Agreements {
				facts.Seeds = append(facts.Seeds, e.Agreement)
			}
		}
	} else {
		silent("database", err)
	}
	if url, err := g.databaseURL(ctx, settings); err == nil {
		s.Schema = func(ctx context.Context) (postgres.Status, error) {
			return postgres.MigrationStatus(ctx, url, databaseOptions(settings))
		}
	}
	if dir, _, err := g.running(ctx, settings); err == nil {
		s.Folder = dir
	}
	return s, c
}

func (r doctorReport) show(w io.Writer, g *globals) error {
	if g.json {
		return printJSON(w, r)
	}
	rows := make([][]string, len(r.Checks))
	for i, c := range r.Checks {
		rows[i] = []string{c.Name, string(c.State), c.Detail}
	}
	if err := table(w, "CHECK STATE DETAIL", rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "request: %s\n", printable(said(r.Request))); err != nil {
		return err
	}
	if len(r.Findings) == 0 {
		_, err := fmt.Fprintln(w, "healthy: nothing found")
		return err
	}
	for _, f := range r.Findings {
		if _, err := fmt.Fprintf(w, "\n%s %s: %s\n  seen    %s\n  remedy  %s\n", f.Severity, f.Code, printable(f.About), printable(f.Seen), printable(f.Remedy)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\n%d findings; the runbook in README.md has a paragraph for each code\n", len(r.Findings))
	return err
}

// said tells of the request in one line.
func said(r doctor.Request) string {
	switch {
	case r.OK:
		return fmt.Sprintf("%s passed %s in %.2f s; backend %s, cost %s", r.ID, listed(messages.Layers()), r.Seconds, r.Backend, dollars(r.CostMicroUSD))
	case r.StoppedAt != "":
		return fmt.Sprintf("%s stopped at %s: %s", r.ID, r.StoppedAt, r.Detail)
	case r.Detail != "":
		return r.ID + ": " + r.Detail
	}
	return "none was sent"
}

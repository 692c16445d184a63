package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/worker/provider"
)

// fakeOptions are what the flags of fake-provider say.
type fakeOptions struct {
	listen    string
	latency   time.Duration
	rate      float64
	burst     int
	atOnce    int
	faults    []string
	seed      uint64
	deadAfter time.Duration
	deadFor   time.Duration
}

// fakeKey is what the rehearsal takes as API key.
const fakeKey = "fake-key"

// fakeCalls is how many calls are kept one by one: nobody looks at more.
const fakeCalls = 1 << 16

func newFakeProvider(g *globals) *cobra.Command {
	var o fakeOptions
	cmd := &cobra.Command{
		Use: "fake-provider", Short: "Serve a model provider that is none, to rehearse with", Args: cobra.NoArgs,
		Long: "Speaks Anthropic's Messages, OpenAI's Chat Completions, Responses and embeddings, Bedrock's Converse and InvokeModel (signatures are\n" +
			"verified) and MLflow's gateway on one port of this machine. It is no model: it answers at once with a text that says so, counts\n" +
			"tokens by a fixed rule, and makes trouble as often as it is told. It prints the variables that lead every backend to it, and serves\n" +
			"until it is interrupted.\n\n" +
			"Under /fake/ is a control door: GET /fake/calls[?request=TENANT/ID] counts calls, GET and PUT /fake/script shows and changes latency,\n" +
			"faults, seed, rate, burst, at_once and dead_for, POST /fake/reset forgets the calls.\n\n" +
			"Faults: " + wrapNames(provider.FaultNames(), 130) + ".",
		Example: "  flowgate fake-provider --latency 200ms --rate 50 --burst 10 --fault rate_limited=0.05 --fault half=0.01\n" +
			"  flowgate fake-provider --dead-after 20s --dead-for 30s\n" +
			"  curl -X PUT -d '{\"faults\":{\"overloaded\":1}}' http://127.0.0.1:4290/fake/script",
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout(), g.json) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:4290", "`host:port` of loopback; port 0 is any free one")
	flags.DurationVar(&o.latency, "latency", 200*time.Millisecond, "how long an answer takes")
	flags.Float64Var(&o.rate, "rate", 0, "calls a second that each model takes before it answers 429 (0: without limit)")
	flags.IntVar(&o.burst, "burst", 0, "calls that it takes at once (default: a fifth of the rate)")
	flags.IntVar(&o.atOnce, "at-once", 0, "calls that it works on at once; those beyond wait for their turn (0: without limit)")
	flags.StringArrayVar(&o.faults, "fault", nil, "trouble and its probability, such as `failed=0.1`; may be repeated")
	flags.Uint64Var(&o.seed, "seed", 1, "decides which calls meet which trouble")
	flags.DurationVar(&o.deadFor, "dead-for", 0, "refuse all connections for that long, once")
	flags.DurationVar(&o.deadAfter, "dead-after", 0, "when --dead-for begins")
	return cmd
}

// wrapNames breaks a list of names into lines.
func wrapNames(names string, width int) string {
	var text strings.Builder
	length := 0
	for i, name := range strings.Split(names, ", ") {
		switch {
		case i == 0:
		case length+len(name) > width:
			text.WriteString(",\n")
			length = 0
		default:
			text.WriteString(", ")
		}
		text.WriteString(name)
		length += len(name) + 2
	}
	return text.String()
}

// rehearsal is what the flags mean.
func (o *fakeOptions) rehearsal() (provider.Rehearsal, error) {
	r := provider.Rehearsal{Latency: o.latency, Seed: o.seed, Faults: map[provider.Outcome]float64{}}
	for _, f := range o.faults {
		name, text, ok := strings.Cut(f, "=")
		p, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return r, fmt.Errorf("flag --fault is %.40q, must be a name and a probability, such as failed=0.1", f)
		}
		if _, twice := r.Faults[provider.Outcome(name)]; twice {
			return r, fmt.Errorf("flag --fault names %.40q twice", name)
		}
		r.Faults[provider.Outcome(name)] = p
	}
	switch {
	case o.deadFor < 0 || o.deadFor > provider.MaxDead:
		return r, fmt.Errorf("flag --dead-for is %s, must be 0 to %s", o.deadFor, provider.MaxDead)
	case o.deadAfter < 0:
		return r, fmt.Errorf("flag --dead-after is %s, must not be negative", o.deadAfter)
	case o.deadAfter > 0 && o.deadFor == 0:
		return r, errors.New("flag --dead-after needs --dead-for")
	}
	return r, nil
}

// fakeVariable is one of those that lead a backend to the provider.
type fakeVariable struct{ name, value string }

func fakeVariables(s *provider.Server) []fakeVariable {
	aws := provider.DefaultAWS()[0]
	return []fakeVariable{
		{"ANTHROPIC_BASE_URL", s.Root()},
		{"ANTHROPIC_API_KEY", fakeKey},
		{"OPENAI_BASE_URL", s.URL()},
		{"OPENAI_API_KEY", fakeKey},
		{"AWS_ENDPOINT_URL_BEDROCK_RUNTIME", s.Root()},
		{"AWS_ACCESS_KEY_ID", aws.ID},
		{"AWS_SECRET_ACCESS_KEY", aws.Secret},
		{"AWS_REGION", "us-east-1"},
		{"MLFLOW_TRACKING_URI", s.Root()},
		{"MLFLOW_TRACKING_TOKEN", fakeKey},
	}
}

func (o *fakeOptions) run(ctx context.Context, out io.Writer, asJSON bool) error {
	r, err := o.rehearsal()
	if err != nil {
		return usageError{fmt.Errorf("%w; see `flowgate fake-provider --help`", err)}
	}
	s, err := provider.New(provider.Options{Listen: o.listen, Key: fakeKey, Door: true, MaxCalls: fakeCalls})
	if err != nil {
		return fakeFault(err)
	}
	if err := s.Rehearse(r, o.rate, o.burst, o.atOnce); err != nil {
		return usageError{fmt.Errorf("%w; see `flowgate fake-provider --help`", err)}
	}
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() {
		defer stop()
		served <- s.Run(serving)
	}()
	if err := printFake(out, s, asJSON); err != nil {
		stop()
		return errors.Join(err, <-served)
	}
	if o.deadFor > 0 && sleep(serving, o.deadAfter) {
		s.DeadFor(o.deadFor)
	}
	if err = <-served; err == nil && !asJSON {
		t := s.Totals("")
		_, err = fmt.Fprintf(out, "# %d call(s), %d of them billed\n", t.Calls, t.Billed)
	}
	return err
}

// fakeFault tells a wrong address from one that is taken.
func fakeFault(err error) error {
	if strings.HasPrefix(err.Error(), "listen:") {
		return usageError{err}
	}
	return environmentError{err}
}

// printFake prints what leads the backends to the provider, as a file for the shell.
func printFake(out io.Writer, s *provider.Server, asJSON bool) error {
	if asJSON {
		env := map[string]string{}
		for _, v := range fakeVariables(s) {
			env[v.name] = v.value
		}
		return printJSON(out, map[string]any{"url": s.Root(), "model": false, "env": env})
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# This is no model: %s answers by rule, as several providers, and bills nothing.\n", s.Root())
	for _, v := range fakeVariables(s) {
		fmt.Fprintf(&text, "export %s=%s\n", v.name, v.value)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker/results"
)

// maxCompared bounds the models of one comparison.
const maxCompared = 16

// comparing is what the flags of compare say.
type comparing struct {
	inquiry

	models        []string
	prompt, class string
	show          bool
	timeout       time.Duration
}

func newCompare(g *globals) *cobra.Command {
	var f comparing
	cmd := &cobra.Command{
		Use: "compare", Short: "Ask several models the same and compare them", Args: cobra.NoArgs,
		Long: "Sends one governed request a model, at once, waits for all of them and prints a table: who answered, how it ended, how long the call\n" +
			"took, tokens, what it cost, whether the answer was there already, and how many characters it has. What was denied or failed stands in\n" +
			"it with its reason. The cheapest and the fastest are those whose call was, also where its answer is reused now. --show prints the\n" +
			"answers, side by side where the terminal is wide enough. Exit code 1: not all of them succeeded.",
		Example: "  flowgate compare --models claude-3-haiku,claude-3-sonnet --reason \"choosing a model for ticket triage\" --prompt \"Summarise: the parcel is late.\" --show\n" +
			"  flowgate compare --models claude-haiku-4-5,gpt-5-mini --request request.json --json",
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, g) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.models, "models", nil, "`ids or aliases` of the models, with commas between them")
	flags.StringVar(&f.prompt, "prompt", "", "what they are asked")
	flags.StringVarP(&f.file, "request", "f", "", "read what they are asked from a `file` with a request's document (- is standard input)")
	flags.StringVar(&f.class, "class", "", "rt, std or batch (default: from the priority)")
	f.flags(flags)
	flags.BoolVar(&f.show, "show", false, "print the answers too")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Minute, "longest wait")
	return cmd
}

// comparison is how the models did.
type comparison struct {
	// ID begins the ids of the requests.
	ID     string          `json:"id"`
	Tenant string          `json:"tenant"`
	Models []comparedModel `json:"models"`
	Totals compareTotals   `json:"totals"`
	// Cheapest and Fastest are those of the models that answered; empty: none did.
	Cheapest string `json:"cheapest,omitempty"`
	Fastest  string `json:"fastest,omitempty"`
}

// comparedModel is how one model did.
type comparedModel struct {
	// Model is what was asked for; the result names the one that answered.
	Model string `json:"model"`
	ID    string `json:"id"`
	// Result is pending where the wait ended first; Error says why there is none.
	Result *messages.Result `json:"result,omitempty"`
	Error  string           `json:"error,omitempty"`

	err error
}

type compareTotals struct {
	Requests      int     `json:"requests"`
	Succeeded     int     `json:"succeeded"`
	CostMicroUSD  int64   `json:"cost_microusd"`
	TokensIn      int64   `json:"tokens_in"`
	TokensOut     int64   `json:"tokens_out"`
	Calls         int     `json:"calls"`
	Reused        int     `json:"reused"`
	SavedMicroUSD int64   `json:"saved_microusd"`
	SavedSeconds  float64 `json:"saved_seconds"`
	// Seconds are those until the last one ended.
	Seconds float64 `json:"seconds"`
}

// check holds the flags to what can be compared.
func (f *comparing) check() error {
	if (f.prompt == "") == (f.file == "") && len(f.inputs) == 0 && f.lines == "" {
		return errors.New("give what is asked: --prompt or --request, one of them")
	}
	if len(f.models) == 0 || len(f.models) > maxCompared {
		return fmt.Errorf("flag --models names %d models, must be 1 to %d", len(f.models), maxCompared)
	}
	for i, m := range f.models {
		if f.models[i] = strings.TrimSpace(m); f.models[i] == "" {
			return errors.New("flag --models has an empty name")
		}
		if slices.Contains(f.models[:i], f.models[i]) {
			return fmt.Errorf("flag --models names %s twice", printable(f.models[i]))
		}
	}
	return nil
}

// requests are the documents, one a model, and their class.
func (f *comparing) requests(cmd *cobra.Command) (documents [][]byte, class messages.Class, err error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	var args []string
	if f.prompt != "" {
		args = []string{f.prompt}
	}
	document, request, err := f.read(cmd, args)
	if err != nil {
		return nil, "", err
	}
	if !request.Kind().AsksModel() {
		return nil, "", errors.New("only what a model is asked can be compared: a prompt, messages or input")
	}
	if class = messages.ClassOf(request.Priority); request.Class != "" {
		class = request.Class
	}
	if f.class != "" {
		if class, err = messages.ParseClass(f.class); err != nil {
			return nil, "", err
		}
	}
	for _, model := range f.models {
		one, err := askingModel(document, model)
		if err != nil {
			return nil, "", err
		}
		documents = append(documents, one)
	}
	return documents, class, nil
}

// askingModel is a document that asks another model. Its id and its class, if it repeats them, are left out: each request has its own.
func askingModel(document []byte, model string) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(document, &fields); err != nil {
		return nil, err
	}
	name, err := json.Marshal(model)
	if err != nil {
		return nil, err
	}
	delete(fields, "id")
	delete(fields, "class")
	fields["model"] = name
	one, err := json.Marshal(fields)
	if err == nil {
		_, err = messages.DecodeRequest(one)
	}
	return one, err
}

func (f *comparing) run(cmd *cobra.Command, g *globals) error {
	documents, class, err := f.requests(cmd)
	if err != nil {
		return usageError{err}
	}
	c, err := reach(cmd.Context(), g, false)
	if err != nil {
		return err
	}
	defer c.close()
	for _, document := range documents {
		if err := c.fits(document); err != nil {
			return err
		}
	}
	id, err := newID()
	if err != nil {
		return err
	}
	if err := taken(cmd, g, c, class, messages.Key{Tenant: g.tenant, ID: id}); err != nil {
		return err
	}
	r := comparison{ID: id, Tenant: g.tenant, Models: make([]comparedModel, len(documents))}
	begun := time.Now()
	var wg sync.WaitGroup
	for i, document := range documents {
		r.Models[i] = comparedModel{Model: f.models[i], ID: id + "-" + strconv.Itoa(i+1)}
		wg.Go(func() {
			r.Models[i].ask(cmd.Context(), c, class, messages.Key{Tenant: g.tenant, ID: r.Models[i].ID}, document, f.timeout)
		})
	}
	wg.Wait()
	if err := r.sum(time.Since(begun)); err != nil {
		return err
	}
	if g.json {
		err = printJSON(cmd.OutOrStdout(), r)
	} else {
		err = r.write(cmd.OutOrStdout(), f.show, terminalWidth(os.Stdout))
	}
	return verdict(err, r.Totals.Succeeded == len(r.Models))
}

// ask sends one request and waits for its end. An end of the wait leaves the newest that is known.
func (m *comparedModel) ask(ctx context.Context, c *client, class messages.Class, key messages.Key, document []byte, most time.Duration) {
	if _, _, m.err = publishRequest(ctx, c.js, class, key, document); m.err != nil {
		m.Error = m.err.Error()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	result, err := results.Wait(ctx, c.conn, key, 0)
	m.Result = &result
	if err != nil {
		m.Error = fmt.Sprintf("not awaited to its end, it goes on: `flowgate result %s` asks for it", key.ID)
	}
}

// succeeded tells whether a model answered.
func (m *comparedModel) succeeded() bool {
	return m.Result != nil && m.Result.State == messages.ResultDone &&
		(m.Result.Status == messages.StatusSuccess || m.Result.Status == messages.StatusPartial) && m.Result.Metadata != nil
}

// price is what the call cost that answered, whoever made it; pace how many seconds it took.
func (m *comparedModel) price() int64 {
	if u := m.Result.Metadata.Reused; u != nil {
		return u.SavedMicroUSD
	}
	return m.Result.Metadata.CostMicroUSD
}

func (m *comparedModel) pace() float64 {
	if u := m.Result.Metadata.Reused; u != nil {
		return u.SavedSeconds
	}
	return m.Result.Metadata.ProcessingTime
}

// sum adds up, and finds the cheapest and the fastest. Its error is that no request was taken at all.
func (r *comparison) sum(took time.Duration) error {
	r.Totals = compareTotals{Requests: len(r.Models), Seconds: took.Seconds()}
	var faults []error
	var cheapest, fastest *comparedModel
	for i := range r.Models {
		m := &r.Models[i]
		if m.Result == nil {
			faults = append(faults, m.err)
			continue
		}
		r.Totals.add(m.Result.Metadata)
		if !m.succeeded() {
			continue
		}
		r.Totals.Succeeded++
		if cheapest == nil || m.price() < cheapest.price() {
			cheapest = m
		}
		if fastest == nil || m.pace() < fastest.pace() {
			fastest = m
		}
	}
	if cheapest != nil {
		r.Cheapest, r.Fastest = cheapest.Model, fastest.Model
	}
	if len(faults) == len(r.Models) {
		return errors.Join(faults...)
	}
	return nil
}

func (t *compareTotals) add(m *messages.ResultMetadata) {
	if m == nil {
		return
	}
	t.CostMicroUSD += m.CostMicroUSD
	t.TokensIn += m.Tokens.Input
	t.TokensOut += m.Tokens.Output
	t.Calls += m.Attempts
	if u := m.Reused; u != nil {
		t.Reused++
		t.SavedMicroUSD += u.SavedMicroUSD
		t.SavedSeconds += u.SavedSeconds
	}
}

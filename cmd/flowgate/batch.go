package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker/batch"
	"flowgate/worker/postgres"
)

func newBatch(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "batch", Short: "Fan files of requests out", Args: cobra.NoArgs,
		Example: "  flowgate batch submit emails.jsonl\n  flowgate batch status",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBatchSubmit(g), newBatchStatus(g))
	return cmd
}

// fanOut is what the flags of batch submit say.
type fanOut struct {
	name, class, output, failures string
	runAt                         string
	again, skipInvalid            bool
	window                        int
}

func newBatchSubmit(g *globals) *cobra.Command {
	var f fanOut
	cmd := &cobra.Command{
		Use: "submit FILE.jsonl", Short: "Submit every line of a file and collect the results", Args: cobra.ExactArgs(1),
		Long: "Submits a file of requests, one JSON document a line: OpenAI batch lines or native ones. The whole file is checked\n" +
			"before anything is sent. A batch is its name and the file's content: run again it resumes and repeats nothing;\n" +
			"--again makes a new one. Results go to FILE.output.jsonl, everything else to FILE.errors.jsonl.",
		Example: "  flowgate batch submit emails.jsonl\n  flowgate batch submit emails.jsonl --again --output second.jsonl",
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, g, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name of the batch (default: the file's name)")
	flags.StringVar(&f.class, "class", "batch", "class of lines that name no priority: rt, std or batch")
	flags.StringVarP(&f.output, "output", "o", "", "`file` of results (default: FILE.output.jsonl)")
	flags.StringVar(&f.failures, "errors", "", "`file` of everything that did not succeed (default: FILE.errors.jsonl)")
	flags.BoolVar(&f.again, "again", false, "make a new batch of a file that was submitted before")
	flags.BoolVar(&f.skipInvalid, "skip-invalid", false, "send the good lines of a file with faulty ones; the faulty go to the error file")
	flags.StringVar(&f.runAt, "run-at", "", "not before this `time`, where a line names no not_before: RFC 3339, or from now such as +10m")
	flags.IntVar(&f.window, "window", 0, "publications in flight (default: settings batch, max_workers times batch_size)")
	return cmd
}

func (f *fanOut) run(cmd *cobra.Command, g *globals, path string) error {
	class, err := messages.ParseClass(f.class)
	if err != nil {
		return usageError{err}
	}
	options := batch.Options{Tenant: g.tenant, Class: class, SkipInvalid: f.skipInvalid}
	if f.runAt != "" {
		if options.NotBefore, err = moment("run-at", f.runAt, time.Now()); err != nil {
			return usageError{err}
		}
	}
	file, err := batch.Open(path, options)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", path, err)}
	}
	defer file.Close()
	settings, err := g.load()
	if err != nil {
		return err
	}
	policy := batchPolicy(settings, file.Models())
	if f.window == 0 {
		f.window = policy.Window()
	}
	c, err := reach(cmd.Context(), g, true)
	if err != nil {
		return err
	}
	defer c.close()
	name := f.name
	if name == "" {
		name = filepath.Base(path)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	stored, created, err := c.db.RegisterBatch(cmd.Context(), postgres.Batch{
		Tenant: g.tenant, Name: name, Digest: file.Digest(), Total: file.Len(), Path: absolute,
	}, f.again)
	if err != nil {
		return err
	}
	if !created && !g.json {
		fmt.Fprintf(cmd.ErrOrStderr(), "flowgate: batch %s was submitted before; going on with it (--again makes a new one)\n", stored.ID)
	}
	f.places(path, stored.Run)
	bar := batch.NewBar(cmd.ErrOrStderr(), isTerminal(os.Stderr), file.Len())
	summary, err := batch.Run(cmd.Context(), batch.Job{
		Conn: c.conn, JS: c.js, File: file, BatchID: stored.ID, Tenant: g.tenant, Output: f.output, Errors: f.failures,
		Window: f.window, Patience: policy.Timeout, Progress: bar.Update, Intake: intakeOf(c, g.tenant),
	})
	err = errors.Join(err, bar.Close())
	if err != nil {
		if cmd.Context().Err() != nil {
			return fmt.Errorf("interrupted; the requests that were sent go on: run the same command again to collect them")
		}
		if errors.Is(err, batch.ErrStalled) {
			return fmt.Errorf("%w; the requests that were sent go on: run the same command again to collect them", err)
		}
		return err
	}
	return f.report(cmd, g, stored, summary)
}

// places names the files of results by the batch's file; further runs get a number.
func (f *fanOut) places(path string, run int) {
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	if run > 1 {
		stem += ".run" + strconv.Itoa(run)
	}
	if f.output == "" {
		f.output = stem + ".output.jsonl"
	}
	if f.failures == "" {
		f.failures = stem + ".errors.jsonl"
	}
}

func (f *fanOut) report(cmd *cobra.Command, g *globals, b postgres.Batch, s batch.Summary) error {
	succeeded := s.ByStatus[messages.StatusSuccess] + s.ByStatus[messages.StatusPartial]
	if g.json {
		if err := printJSON(cmd.OutOrStdout(), map[string]any{"batch": b, "summary": s}); err != nil {
			return err
		}
	} else {
		out := cmd.OutOrStdout()
		_, err := fmt.Fprintf(out, "batch %s: %d lines in %.1f s, cost %s, tokens %d in, %d out\n", b.ID, s.Total, s.Elapsed.Seconds(),
			dollars(s.CostMicroUSD), s.TokensIn, s.TokensOut)
		if err != nil {
			return err
		}
		for _, status := range messages.Statuses() {
			if n := s.ByStatus[status]; n > 0 {
				if _, err := fmt.Fprintf(out, "  %-13s %d\n", status, n); err != nil {
					return err
				}
			}
		}
		if text := savedText(s.Calls, s.Reused, s.SavedMicroUSD, s.SavedSeconds); text != "" {
			if _, err := fmt.Fprintf(out, "  %s\n", text); err != nil {
				return err
			}
		}
		where := "  results in " + f.output
		if s.Errors > 0 {
			where += ", the rest in " + f.failures
		}
		if _, err := fmt.Fprintln(out, where); err != nil {
			return err
		}
	}
	if succeeded < s.Total {
		return errSaid
	}
	return nil
}

// savedText says what answers that were there already saved; empty: there were none.
func savedText(calls int, reused map[string]int, micro int64, seconds float64) string {
	n, from := 0, make([]string, 0, len(reused))
	for _, origin := range slices.Sorted(maps.Keys(reused)) {
		n += reused[origin]
		from = append(from, fmt.Sprintf("%s %d", printable(origin), reused[origin]))
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s; %s reused (%s), saved %s and %.1f s", plural(calls, "call"), plural(n, "answer"), strings.Join(from, ", "), dollars(micro), seconds)
}

// plural is a number of things in words, such as 1 call and 2 calls.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func newBatchStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "status [BATCH]", Short: "Tell how batches stand", Args: cobra.MaximumNArgs(1),
		Example: "  flowgate batch status\n  flowgate batch status --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			batches, err := findBatches(cmd.Context(), c.db, g.tenant, args)
			if err != nil {
				return err
			}
			return showBatches(cmd, g, c.db, batches, len(args) > 0)
		},
	}
}

// findBatches lists the newest batches, or the one of an id.
func findBatches(ctx context.Context, db *postgres.DB, tenant string, args []string) ([]postgres.Batch, error) {
	if len(args) == 0 {
		return db.ListBatches(ctx, tenant, 100)
	}
	b, err := db.Batch(ctx, tenant, args[0])
	if err != nil {
		return nil, fmt.Errorf("batch %s: %w", args[0], err)
	}
	return []postgres.Batch{b}, nil
}

// showBatches prints how batches stand; whole adds what is read of every outcome.
func showBatches(cmd *cobra.Command, g *globals, db *postgres.DB, batches []postgres.Batch, whole bool) error {
	type standing struct {
		postgres.Batch
		Counts postgres.BatchCounts `json:"counts"`
		Reuse  *postgres.BatchReuse `json:"reuse,omitempty"`
	}
	var saved []string
	all := make([]standing, 0, len(batches))
	var rows [][]string
	for _, b := range batches {
		counts, err := db.BatchCounts(cmd.Context(), g.tenant, b.ID)
		if err != nil {
			return err
		}
		one := standing{Batch: b, Counts: counts}
		if whole {
			reuse, err := db.BatchReuse(cmd.Context(), g.tenant, b.ID)
			if err != nil {
				return err
			}
			one.Reuse = &reuse
			if text := savedText(reuse.Calls, reuse.Reused, reuse.SavedMicroUSD, reuse.SavedSeconds); text != "" {
				saved = append(saved, text)
			}
		}
		all = append(all, one)
		good := counts.Statuses[string(messages.StatusSuccess)] + counts.Statuses[string(messages.StatusPartial)]
		rows = append(rows, []string{
			b.ID, b.Name, strconv.Itoa(b.Run), strconv.Itoa(b.Total), strconv.Itoa(counts.Waiting), strconv.Itoa(counts.Running),
			strconv.Itoa(good), strconv.Itoa(counts.Ended - good), dollars(counts.CostMicroUSD),
		})
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), all)
	}
	err := table(cmd.OutOrStdout(), "BATCH NAME RUN LINES WAITING RUNNING SUCCESS OTHER COST", rows)
	for _, text := range saved {
		_, wrong := fmt.Fprintln(cmd.OutOrStdout(), "  "+text)
		err = errors.Join(err, wrong)
	}
	return err
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker/results"
)

func newResult(g *globals) *cobra.Command {
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "result ID", Short: "Print the result of a request", Args: cobra.ExactArgs(1),
		Long:    "Prints the result of a request, or where it stands. Exit code 0: it succeeded or is on its way; 1: it ended otherwise, or is not known.",
		Example: "  flowgate result 0199f2c4-6f0e-7b6e-9a55-0d6c8a3f1b20 --wait",
		RunE: func(cmd *cobra.Command, args []string) error {
			key := messages.Key{Tenant: g.tenant, ID: args[0]}
			if err := messages.CheckKey(key); err != nil {
				return usageError{err}
			}
			c, err := reach(cmd.Context(), g, false)
			if err != nil {
				return err
			}
			defer c.close()
			var result messages.Result
			if wait {
				result, err = await(cmd.Context(), c, key, 0, timeout)
			} else {
				result, err = results.Get(cmd.Context(), c.conn, key)
			}
			if err != nil {
				return err
			}
			return showResult(cmd.OutOrStdout(), g, result)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the request has ended")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "longest wait")
	return cmd
}

// await waits for the end of an epoch; an end of the wait is no fault of the request.
func await(ctx context.Context, c *client, key messages.Key, epoch int, timeout time.Duration) (messages.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	said, last := "", messages.Result{}
	result, err := results.WaitTelling(ctx, c.conn, key, epoch, func(r messages.Result) {
		last = r
		if r.State == messages.ResultPending && r.Message != said {
			if said = r.Message; said != "" {
				fmt.Fprintf(os.Stderr, "flowgate: %s waits, %s: %s\n", key.ID, where(r), printable(r.Message))
			}
		}
	})
	if err != nil && ctx.Err() != nil {
		return last, errors.New(waitedFor(key, last))
	}
	return result, err
}

// waitedFor says how a request stood whose end was not waited for, as heard last, and how to go on.
func waitedFor(key messages.Key, last messages.Result) string {
	goOn := "flowgate result " + key.ID + " --wait"
	if key.Tenant != "default" {
		goOn += " --tenant " + key.Tenant
	}
	switch last.State {
	case messages.ResultPending:
		return fmt.Sprintf("%s is pending, %s%s; it goes on by itself, and `%s` waits on", key.ID, where(last), prefixed(", ", strings.TrimSuffix(printable(last.Message), ".")), goOn)
	case messages.ResultUnknown:
		return fmt.Sprintf("no request %s is known up to now; `%s` waits on", key.ID, goOn)
	case messages.ResultDone:
	}
	return fmt.Sprintf("nobody told in time how %s stands; it goes on by itself, and `%s` waits on", key.ID, goOn)
}

func where(r messages.Result) string {
	if r.At != "" {
		return "at " + r.At
	}
	return string(r.State)
}

// showResult prints a result; what did not succeed is exit code 1.
func showResult(w io.Writer, g *globals, r messages.Result) error {
	failed := r.State == messages.ResultDone && r.Status != messages.StatusSuccess && r.Status != messages.StatusPartial
	return verdict(writeResult(w, g, r), r.State != messages.ResultUnknown && !failed)
}

func writeResult(w io.Writer, g *globals, r messages.Result) error {
	if g.json {
		return printJSON(w, r)
	}
	var err error
	say := func(format string, a ...any) {
		_, e := fmt.Fprintf(w, format+"\n", a...)
		err = errors.Join(err, e)
	}
	switch r.State {
	case messages.ResultUnknown:
		say("%s: no such request is known", r.ID)
		return err
	case messages.ResultPending:
		say("%s: pending, %s", r.ID, where(r))
		if r.Message != "" {
			say("  why       %s", printable(r.Message))
		}
		if !r.RetryAt.IsZero() {
			say("  again     at %s", r.RetryAt.UTC().Format(time.RFC3339))
		}
		return err
	case messages.ResultDone:
	}
	say("%s: %s (%s), epoch %d", r.ID, r.Status, r.Reason, r.Epoch)
	if r.Status != messages.StatusSuccess {
		if r.Field != "" {
			say("  field     %s", printable(r.Field))
		}
		say("  why       %s", printable(r.Message))
		say("  next      %s", messages.Explain(r.Reason).Next)
		if !r.RetryAt.IsZero() {
			say("  retry at  %s", r.RetryAt.UTC().Format(time.RFC3339))
		}
	}
	if m := r.Metadata; m != nil {
		say("  backend   %s, model %s, %d attempt(s), %.3f s", m.Backend, printable(m.Model), m.Attempts, m.ProcessingTime)
		say("  tokens    %d in, %d out; cost %s", m.Tokens.Input, m.Tokens.Output, dollars(m.CostMicroUSD))
		if m.Reused != nil {
			say("  reused    %s", reusedText(m.Reused))
		}
	}
	for _, c := range r.ToolCalls {
		say("  calls     %s(%s), id %s", printable(c.Name), printable(c.Arguments), printable(c.ID))
	}
	if text := vectorsText(r.Embeddings); text != "" {
		say("  vectors   %s; --json has them", text)
	}
	if text := foundText(r.Findings); text != "" {
		say("  found     %s", text)
	}
	if text := foundText(r.AnswerFindings); text != "" {
		say("  answered  %s", text)
	}
	if text := scoreLine(r.Compliance); text != "" {
		say("  controls  %s", text)
	}
	if x := r.Execution; x != nil {
		for _, line := range executionLines(x) {
			say("%s", line)
		}
	}
	if r.Answer != "" {
		say("\n%s", printableText(r.Answer))
	}
	return err
}

// reusedText says where an answer came from that no call of its request brought, who pays, and what that saved.
func reusedText(u *messages.Reused) string {
	return fmt.Sprintf("%s; saved %s and %.3f s", u.Words(), dollars(u.SavedMicroUSD), u.SavedSeconds)
}

// vectorsText counts vectors and their dimensions; empty: there are none.
func vectorsText(raw json.RawMessage) string {
	var vectors [][]json.Number
	if len(raw) == 0 || json.Unmarshal(raw, &vectors) != nil || len(vectors) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d dimensions", len(vectors), len(vectors[0]))
}

// foundText is what was found, and what was done with it.
func foundText(findings []messages.Finding) string {
	parts := make([]string, len(findings))
	for i, f := range findings {
		parts[i] = fmt.Sprintf("%s %d (%s)", printable(f.Type), f.Count, printable(f.Action))
	}
	return strings.Join(parts, ", ")
}

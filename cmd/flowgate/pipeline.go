package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker/postgres"
)

// pipelineTrigger is the agreement that a pipeline runs under where nobody names one; it ships with the product.
const pipelineTrigger = "[Cost Analysis]"

// endPatience is how long the record of a result that is there is waited for.
const endPatience = 15 * time.Second

func newPipeline(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "pipeline", Short: "Run a request under an agreement and show it stage by stage, with one audit trail", Args: cobra.NoArgs,
		Long: "What is shown is the record in Postgres: the agreement, what governance decided and why, the model's calls, the optimizer's\n" +
			"check, the outcome, and every record in order. A correlation id joins requests that belong together into one trail.",
		Example: "  flowgate pipeline run --reason \"weekly summary for the board\" \"Summarise: sales rose by 4 %\"\n  flowgate pipeline show order-4711",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPipelineRun(g), newPipelineShow(g))
	return cmd
}

func newPipelineRun(g *globals) *cobra.Command {
	var s submission
	cmd := &cobra.Command{
		Use: "run [PROMPT]", Short: "Send one request through the chain under an agreement, wait, and show what is recorded", Args: cobra.MaximumNArgs(1),
		Long: "Submits a request as `flowgate submit` does, waits for its end, and shows the record of it and of all others with its\n" +
			"correlation id, which is a new one unless --correlation-id or the document names one. Without a prompt it asks for the\n" +
			"agreement's action. Unless --trigger or the document names an agreement it runs under " + pipelineTrigger + "; --trigger ''\n" +
			"leaves that to its text and to the tenant's default. Exit code 0: it succeeded; 1: it ended otherwise or has not ended.",
		Example: "  flowgate pipeline run --reason \"weekly summary for the board\" --user anna \"Summarise: sales rose by 4 %\"\n" +
			"  flowgate pipeline run --request request.json --trigger \"[Error Analysis]\" --correlation-id order-4711 --reason \"step 2\"\n" +
			"  flowgate pipeline run --trigger \"[Integration Test]\" --reason \"check before the release\" --json",
		RunE: func(cmd *cobra.Command, args []string) error { return s.pipeline(cmd, g, args) },
	}
	s.bind(cmd)
	return cmd
}

func newPipelineShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show CORRELATION_ID", Short: "Show what is recorded of the requests with a correlation id", Args: cobra.ExactArgs(1),
		Long: fmt.Sprintf("Shows the requests that name the correlation id, the first %d, as far as the record has heard of them. It never shows what\n", postgres.MaxCorrelated) +
			"was asked or answered. Exit code 1: nothing is recorded of it.",
		Example: "  flowgate pipeline show order-4711\n  flowgate pipeline show order-4711 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usageError{errors.New("name a correlation id")}
			}
			if err := errors.Join(messages.CheckTenant(g.tenant), messages.CheckCorrelationID(args[0])); err != nil {
				return usageError{err}
			}
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			v, err := recordedPipeline(cmd.Context(), c.db, g.tenant, args[0])
			if err != nil {
				return err
			}
			if len(v.Requests) == 0 {
				return fmt.Errorf("nothing is recorded of the correlation id %s", args[0])
			}
			return v.show(cmd, g)
		},
	}
}

// pipeline sends the request and shows what is recorded of it. What ended otherwise than well, or has not ended, is exit code 1.
func (s *submission) pipeline(cmd *cobra.Command, g *globals, args []string) error {
	if err := s.agreed(cmd, args); err != nil {
		return err
	}
	document, request, err := s.read(cmd, args)
	if err != nil {
		return usageError{err}
	}
	if document, request, err = correlated(document, request, cmd.Flags().Changed("trigger")); err != nil {
		return err
	}
	key, class, err := s.address(g, request)
	if err != nil {
		return err
	}
	c, err := reach(cmd.Context(), g, true)
	if err != nil {
		return err
	}
	defer c.close()
	there, _, err := c.put(cmd, g, class, key, document, s.id != "" || request.ID != "")
	if err != nil {
		return err
	}
	if there {
		return fmt.Errorf("%s was submitted before, perhaps with another correlation id: see `flowgate explain %s`", key.ID, key.ID)
	}
	result, ending := await(cmd.Context(), c, key, 0, s.timeout)
	if cmd.Context().Err() != nil {
		return ending
	}
	if result.State == messages.ResultDone {
		if err := whenRecorded(cmd.Context(), c.db, key, result.Epoch); err != nil {
			return err
		}
	}
	v, err := recordedPipeline(cmd.Context(), c.db, g.tenant, request.CorrelationID, key)
	if err != nil {
		return errors.Join(ending, err)
	}
	v.Result = &result
	if err := v.show(cmd, g); err != nil || ending != nil {
		return errors.Join(ending, err)
	}
	return verdict(nil, result.Status == messages.StatusSuccess || result.Status == messages.StatusPartial)
}

// agreed names the shipped agreement where flags and arguments ask nothing and name none: its action is asked for.
func (s *submission) agreed(cmd *cobra.Command, args []string) error {
	if len(args) > 0 || s.file != "" || len(s.inputs) > 0 || s.lines != "" || cmd.Flags().Changed("trigger") {
		return nil
	}
	return cmd.Flags().Set("trigger", pipelineTrigger)
}

// correlated is the request with a correlation id, and under the shipped agreement where neither it nor a flag says which.
func correlated(document []byte, r messages.Request, triggered bool) ([]byte, messages.Request, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(document, &fields); err != nil {
		return nil, r, err
	}
	put := func(name, value string) {
		fields[name], _ = json.Marshal(value) // a string always has an encoding
	}
	if r.CorrelationID == "" {
		id, err := newID()
		if err != nil {
			return nil, r, err
		}
		r.CorrelationID = id
		put("correlation_id", id)
	}
	if r.Trigger == "" && !triggered {
		r.Trigger = pipelineTrigger
		put("trigger", r.Trigger)
	}
	document, err := json.Marshal(fields)
	return document, r, err
}

// whenRecorded waits until the end of an epoch is recorded: the queue knows of it before the record does.
func whenRecorded(ctx context.Context, db *postgres.DB, key messages.Key, epoch int) error {
	late := time.Now().Add(endPatience)
	for {
		_, ended, err := db.Standing(ctx, key, epoch)
		switch {
		case err != nil:
			return err
		case ended:
			return nil
		case time.Now().After(late):
			return environmentError{fmt.Errorf("%s has ended, and the record has not its end after %s: see `flowgate doctor`", key.ID, endPatience)}
		case !sleep(ctx, 20*time.Millisecond):
			return ctx.Err()
		}
	}
}

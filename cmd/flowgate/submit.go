package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker/results"
)

// submission is what the flags of submit say.
type submission struct {
	inquiry

	id, class string
	wait      bool
	timeout   time.Duration
}

func newSubmit(g *globals) *cobra.Command {
	var s submission
	cmd := &cobra.Command{
		Use: "submit [PROMPT]", Short: "Publish one request", Args: cobra.MaximumNArgs(1),
		Long: "Publishes one request: a prompt with flags, a document from a file, or one from standard input (-f -). Without --id it\n" +
			"gets a new one. It is accepted when the broker has stored it; --wait waits for its result.",
		Example: "  flowgate submit --reason \"weekly summary for the board\" --wait \"Summarise: sales rose by 4 %\"\n" +
			"  flowgate submit -f request.json --id invoice-4711\n" +
			"  flowgate submit --reason \"sorting tickets\" --system \"Be brief.\" --response-schema ticket.schema.json --image photo.png \"What is broken?\"\n" +
			"  flowgate submit --reason \"search in the handbook\" --model text-embedding-3-small --input \"leave\" --input \"holidays\" --wait\n" +
			"  flowgate submit --run-at +10m --not-after +2h --reason \"weekly summary for the board\" \"Summarise: sales rose by 4 %\"\n" +
			"  echo '{\"prompt\":\"Say OK\",\"audit_reason\":\"checking the gateway\"}' | flowgate submit -f - --wait --json",
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, g, args) },
	}
	s.bind(cmd)
	cmd.Flags().BoolVar(&s.wait, "wait", false, "wait for the result")
	return cmd
}

// bind gives a command the flags of a submission, but for --wait.
func (s *submission) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.file, "file", "f", "", "read the request's document from a `file` (- is standard input)")
	f.StringVar(&s.file, "request", "", "the same as --file")
	f.StringVar(&s.id, "id", "", "request `id` (default: a new UUID)")
	f.StringVar(&s.class, "class", "", "rt, std or batch (default: from the priority)")
	f.StringVar(&s.model, "model", "", "model id or alias")
	s.flags(f)
	f.DurationVar(&s.timeout, "timeout", 10*time.Minute, "longest wait")
	cmd.MarkFlagsMutuallyExclusive("file", "request")
}

func (s *submission) run(cmd *cobra.Command, g *globals, args []string) error {
	document, request, err := s.read(cmd, args)
	if err != nil {
		return usageError{err}
	}
	key, class, err := s.address(g, request)
	if err != nil {
		return err
	}
	return s.send(cmd, g, class, key, document, s.id != "" || request.ID != "")
}

// address is under which key and in which class the request is sent.
func (s *submission) address(g *globals, request messages.Request) (key messages.Key, class messages.Class, err error) {
	key = messages.Key{Tenant: g.tenant, ID: s.id}
	if key.ID == "" {
		key.ID = request.ID
	}
	if key.ID == "" {
		if key.ID, err = newID(); err != nil {
			return key, class, err
		}
	}
	class = messages.ClassOf(request.Priority)
	if request.Class != "" {
		class = request.Class
	}
	if s.class != "" {
		if class, err = messages.ParseClass(s.class); err != nil {
			return key, class, usageError{err}
		}
	}
	if err := errors.Join(messages.CheckKey(key), request.CheckAgainst(messages.Address{Key: key, Class: class})); err != nil {
		return key, class, usageError{err}
	}
	return key, class, nil
}

// fits tells whether the broker takes a document of this size.
func (c *client) fits(document []byte) error {
	if most := int(c.conn.MaxPayload()); most > 0 && len(document) > most {
		return usageError{tooLarge(document, most)}
	}
	return nil
}

// newID is an id that nobody else has.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("making an id: %w", err)
	}
	return id.String(), nil
}

// send publishes the request; named tells that its id is the caller's, so that it may be taken.
func (s *submission) send(cmd *cobra.Command, g *globals, class messages.Class, key messages.Key, document []byte, named bool) error {
	c, err := reach(cmd.Context(), g, false)
	if err != nil {
		return err
	}
	defer c.close()
	there, trace, err := c.put(cmd, g, class, key, document, named)
	if err != nil {
		return err
	}
	if there {
		result, err := results.Get(cmd.Context(), c.conn, key)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "flowgate: %s was submitted before; that request counts\n", key.ID)
		if !s.wait {
			return showResult(cmd.OutOrStdout(), g, result)
		}
	}
	if s.wait {
		result, err := await(cmd.Context(), c, key, 0, s.timeout)
		if err != nil {
			return err
		}
		return showResult(cmd.OutOrStdout(), g, result)
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), map[string]any{
			"tenant": key.Tenant, "id": key.ID, "class": class, "accepted": true, "trace_id": trace,
		})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s accepted; ask for it with `flowgate result %s`\n", key.ID, key.ID)
	return err
}

// put publishes a request once the deployment takes it; there tells that it was submitted before.
func (c *client) put(cmd *cobra.Command, g *globals, class messages.Class, key messages.Key, document []byte, named bool) (there bool, trace string, err error) {
	if err := c.fits(document); err != nil {
		return false, "", err
	}
	if named && known(cmd.Context(), c, key) {
		return true, "", nil
	}
	if err := taken(cmd, g, c, class, key); err != nil {
		return false, "", err
	}
	return publishRequest(cmd.Context(), c.js, class, key, document)
}

// taken refuses while the deployment takes no submissions. Where nobody answers the broker has the word.
func taken(cmd *cobra.Command, g *globals, c *client, class messages.Class, key messages.Key) error {
	now, err := intakeOf(c, g.tenant)(cmd.Context(), class)
	if err != nil || now.Open {
		return cmd.Context().Err()
	}
	if g.json {
		if err := printJSON(cmd.OutOrStdout(), map[string]any{
			"tenant": key.Tenant, "id": key.ID, "class": class, "accepted": false,
			"reason": now.Reason, "detail": now.Detail, "retry_after_seconds": now.RetryAfter,
		}); err != nil {
			return err
		}
	}
	return environmentError{fmt.Errorf("submissions are refused (%s): %s; nothing was sent, come back in %s",
		now.Reason, now.Detail, time.Duration(now.RetryAfter)*time.Second)}
}

// intakeOf asks whether submissions are taken.
func intakeOf(c *client, tenant string) func(context.Context, messages.Class) (messages.Intake, error) {
	return func(ctx context.Context, class messages.Class) (messages.Intake, error) {
		return results.Intake(ctx, c.conn, tenant, class)
	}
}

// known tells whether a request of this id was submitted before. The ingress stream forgets, and in another class it would
// take the id once more, only for layer 1 to call it a duplicate; where nobody answers, that is the word.
func known(ctx context.Context, c *client, key messages.Key) bool {
	result, err := results.Get(ctx, c.conn, key)
	return err == nil && result.State != messages.ResultUnknown
}

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

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker/results"
)

// submission is what the flags of submit say.
type submission struct {
	file, id, class                       string
	reason, purpose, user                 string
	department, model                     string
	priority, trigger, notBefore, expires string
	maxTokens                             int
	temperature                           float64
	wait                                  bool
	timeout                               time.Duration
}

func newSubmit(g *globals) *cobra.Command {
	var s submission
	cmd := &cobra.Command{
		Use: "submit [PROMPT]", Short: "Publish one request", Args: cobra.MaximumNArgs(1),
		Long: "Publishes one request: a prompt with flags, a document from a file, or one from standard input (-f -). Without --id it\n" +
			"gets a new one. It is accepted when the broker has stored it; --wait waits for its result.",
		Example: "  flowgate submit --reason \"weekly summary for the board\" --wait \"Summarise: sales rose by 4 %\"\n" +
			"  flowgate submit -f request.json --id invoice-4711\n" +
			"  flowgate submit --run-at +10m --not-after +2h --reason \"weekly summary for the board\" \"Summarise: sales rose by 4 %\"\n" +
			"  echo '{\"prompt\":\"Say OK\",\"audit_reason\":\"checking the gateway\"}' | flowgate submit -f - --wait --json",
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, g, args) },
	}
	f := cmd.Flags()
	f.StringVarP(&s.file, "file", "f", "", "read the request's document from a `file` (- is standard input)")
	f.StringVar(&s.id, "id", "", "request `id` (default: a new UUID)")
	f.StringVar(&s.class, "class", "", "rt, std or batch (default: from the priority)")
	f.StringVar(&s.reason, "reason", "", "audit reason: why the model is asked")
	f.StringVar(&s.purpose, "purpose", "", "what the answer is for, in a `word` of the deployment's rules")
	f.StringVar(&s.user, "user", "", "user id")
	f.StringVar(&s.department, "department", "", "department")
	f.StringVar(&s.model, "model", "", "model id or alias")
	f.StringVar(&s.priority, "priority", "", "low, normal or high")
	f.StringVar(&s.trigger, "trigger", "", "trigger of the FLOW agreement to run under")
	f.StringVar(&s.notBefore, "run-at", "", "not before this `time`: RFC 3339, or from now such as +10m")
	f.StringVar(&s.expires, "not-after", "", "end it as timeout after this `time`: RFC 3339, or from now such as +2h")
	f.IntVar(&s.maxTokens, "max-tokens", 0, "bound of the answer in tokens")
	f.Float64Var(&s.temperature, "temperature", 0, "0 to 2")
	f.BoolVar(&s.wait, "wait", false, "wait for the result")
	f.DurationVar(&s.timeout, "timeout", 10*time.Minute, "longest wait")
	return cmd
}

func (s *submission) run(cmd *cobra.Command, g *globals, args []string) error {
	if err := s.moments(time.Now()); err != nil {
		return usageError{err}
	}
	document, err := s.document(cmd, args)
	if err != nil {
		return usageError{err}
	}
	if len(document) > messages.MaxRequestBytes {
		return usageError{tooLarge(document, messages.MaxRequestBytes)}
	}
	request, err := messages.DecodeRequest(document)
	if err != nil {
		return usageError{err}
	}
	key := messages.Key{Tenant: g.tenant, ID: s.id}
	if key.ID == "" {
		key.ID = request.ID
	}
	if key.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("making an id: %w", err)
		}
		key.ID = id.String()
	}
	class := messages.ClassOf(request.Priority)
	if request.Class != "" {
		class = request.Class
	}
	if s.class != "" {
		if class, err = messages.ParseClass(s.class); err != nil {
			return usageError{err}
		}
	}
	if err := errors.Join(messages.CheckKey(key), request.CheckAgainst(messages.Address{Key: key, Class: class})); err != nil {
		return usageError{err}
	}
	return s.send(cmd, g, class, key, document, s.id != "" || request.ID != "")
}

// moments turns times that are counted from now into points in time.
func (s *submission) moments(now time.Time) error {
	for flag, text := range map[string]*string{"run-at": &s.notBefore, "not-after": &s.expires} {
		if *text == "" {
			continue
		}
		at, err := moment(flag, *text, now)
		if err != nil {
			return err
		}
		*text = at.Format(time.RFC3339Nano)
	}
	return nil
}

// moment reads a point in time, or how long it is from now until it.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.UTC().Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("flag --%s must be a time such as 2026-01-31T12:00:00Z, or one from now such as +10m", flag)
	}
	return at, nil
}

// send publishes the request; named tells that its id is the caller's, so that it may be taken.
func (s *submission) send(cmd *cobra.Command, g *globals, class messages.Class, key messages.Key, document []byte, named bool) error {
	c, err := reach(cmd.Context(), g, false)
	if err != nil {
		return err
	}
	defer c.close()
	if most := int(c.conn.MaxPayload()); most > 0 && len(document) > most {
		return usageError{tooLarge(document, most)}
	}
	there, trace := named && known(cmd.Context(), c, key), ""
	if !there {
		if err := s.taken(cmd, g, c, class, key); err != nil {
			return err
		}
		if there, trace, err = publishRequest(cmd.Context(), c.js, class, key, document); err != nil {
			return err
		}
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

// taken refuses while the deployment takes no submissions. Where nobody answers the broker has the word.
func (s *submission) taken(cmd *cobra.Command, g *globals, c *client, class messages.Class, key messages.Key) error {
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

// document builds or reads the request's document.
func (s *submission) document(cmd *cobra.Command, args []string) ([]byte, error) {
	if s.file == "" && len(args) == 0 && s.trigger == "" {
		return nil, errors.New("give a prompt, or a document with -f FILE; see `flowgate submit --help`")
	}
	fields := make(map[string]any)
	if s.file != "" {
		if len(args) > 0 {
			return nil, errors.New("give either a prompt or -f FILE")
		}
		data, err := readBounded(cmd, s.file)
		if err != nil || !s.flagged(cmd) {
			return data, err
		}
		if _, err := messages.DecodeRequest(data); err != nil {
			return nil, err
		}
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(data, &raw); err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.file, err)
		}
		for k, v := range raw {
			fields[k] = v
		}
	} else if len(args) > 0 {
		fields["prompt"] = args[0]
	}
	for name, field := range s.fields() {
		if cmd.Flags().Changed(name) {
			fields[field.name] = field.value
		}
	}
	if _, ok := fields["audit_reason"]; !ok {
		fields["audit_reason"] = ""
	}
	return json.Marshal(fields)
}

type field struct {
	name  string
	value any
}

func (s *submission) fields() map[string]field {
	return map[string]field{
		"reason": {"audit_reason", s.reason}, "purpose": {"purpose", s.purpose}, "user": {"user_id", s.user}, "department": {"department", s.department},
		"model": {"model", s.model}, "priority": {"priority", s.priority}, "trigger": {"trigger", s.trigger},
		"run-at": {"not_before", s.notBefore}, "not-after": {"not_after", s.expires},
		"max-tokens": {"max_tokens", s.maxTokens}, "temperature": {"temperature", s.temperature},
	}
}

func (s *submission) flagged(cmd *cobra.Command) bool {
	for name := range s.fields() {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// readBytes bounds what is read of a document that is too large, to name its largest field.
const readBytes = 64 << 20

// tooLarge names the largest field of a document that is over a limit.
func tooLarge(document []byte, limit int) error {
	fault := &messages.FieldError{
		Field: "(document)", Rule: fmt.Sprintf("must be at most %d bytes", limit), Got: fmt.Sprintf("%d bytes", len(document)),
	}
	if len(document) > readBytes {
		fault.Got = fmt.Sprintf("more than %d bytes", readBytes)
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(document, &fields) != nil {
		return fault
	}
	largest := 0
	for name, value := range fields {
		if len(value) > largest && len(name) <= longestField {
			largest = len(value)
			fault.Field = name
		}
	}
	if largest > 0 {
		fault.Rule = fmt.Sprintf("makes the document too large: all of it must be at most %d bytes", limit)
		fault.Got = fmt.Sprintf("%d bytes of %d", largest, len(document))
	}
	return fault
}

// longestField is longer than the name of any field.
const longestField = 40

// readBounded reads a document; what is far over the limit is not read to its end.
func readBounded(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, readBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > messages.MaxRequestBytes {
		return nil, tooLarge(data, messages.MaxRequestBytes)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return data, nil
}

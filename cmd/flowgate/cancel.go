package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/control"
	"flowgate/worker/postgres"
	"flowgate/worker/results"
)

// cancelling is what the flags of cancel say.
type cancelling struct {
	batch, where, reason, by string
	yes                      bool
	timeout                  time.Duration
}

func newCancel(g *globals) *cobra.Command {
	var f cancelling
	cmd := &cobra.Command{
		Use: "cancel [ID]", Short: "End requests that have not ended: one, a batch, or those that fit conditions", Args: cobra.MaximumNArgs(1),
		Long: "Ends a request, wherever it stands, as failure with the reason cancelled. With --batch (its id or name) it ends every\n" +
			"request of a batch, those that are submitted later too. With --where it ends the open requests that fit: the list is made\n" +
			"first, then exactly those are cancelled. Both print what they would end, and do it with --yes.\n\n" +
			"Conditions are FIELD = VALUE, joined by and; != differs, a * in a value stands for anything, age and admitted take < and >.\n" +
			"Fields: " + strings.Join(postgres.WhereFields(), ", ") + ".\n\n" +
			"A call that is on its way to a model is not cut off: its answer is refused when it comes, and what it cost is recorded.\n" +
			"Exit code 1: it had ended before, or is not known.",
		Example: "  flowgate cancel invoice-4711 --reason \"sent by mistake\"\n" +
			"  flowgate cancel --batch emails.jsonl --yes\n" +
			"  flowgate cancel --where 'class = batch and user = alice and age > 1h' --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return usageError{fmt.Errorf("%w; see `flowgate cancel --help`", err)}
			}
			if len(args) == 1 {
				return f.one(cmd, g, messages.Key{Tenant: g.tenant, ID: args[0]})
			}
			return f.many(cmd, g)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.batch, "batch", "", "every request of this batch (`id or name`)")
	flags.StringVar(&f.where, "where", "", "the open requests that fit these `conditions`")
	flags.StringVar(&f.reason, "reason", "", "why; it stands in the record")
	flags.StringVar(&f.by, "by", "", "`name` of who cancels (default: the user of this machine)")
	flags.BoolVar(&f.yes, "yes", false, "do it: needed for --batch and --where")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "longest wait for what layer 1 has not decided on yet")
	return cmd
}

func (f *cancelling) check(args []string) error {
	ways := len(args)
	for _, text := range []string{f.batch, f.where} {
		if text != "" {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("name one request, or one of --batch and --where")
	}
	f.reason, f.by = strings.TrimSpace(f.reason), whoever(f.by)
	key := messages.Key{Tenant: "x", ID: "x"}
	if len(args) == 1 {
		key.ID = args[0]
	}
	return control.CheckCancel(worker.Cancellation{Key: key, Reason: f.reason, By: f.by})
}

// word is the cancellation of an epoch that ends by itself at notAfter.
func (f *cancelling) word(key messages.Key, epoch int, notAfter time.Time) worker.Cancellation {
	now := time.Now().UTC()
	if notAfter.Before(now) {
		notAfter = now
	}
	return worker.Cancellation{Key: key, Epoch: epoch, Reason: f.reason, By: f.by, At: now, Expires: notAfter.Add(worker.CancelGrace)}
}

// ender ends requests at a deployment.
type ender struct {
	*client

	cancels   *control.Cancels
	canceller worker.Canceller
}

func (c *client) ender(ctx context.Context) (*ender, error) {
	cancels, err := control.OpenCancels(ctx, c.js)
	if err != nil {
		return nil, bucketError(err)
	}
	leader := &worker.Leader{JS: c.js}
	hop := &worker.Hop{JS: c.js, Leader: leader, Backoff: worker.DefaultDelays()}
	return &ender{client: c, cancels: cancels, canceller: worker.Canceller{Hop: hop, Leader: leader, Partitions: 1, Now: time.Now}}, nil
}

// cancelled is what became of one request, as it is printed.
type cancelled struct {
	messages.Key

	Epoch int `json:"epoch"`
	// Was is the state in which it stood.
	Was string `json:"was"`
	// Cancelled is true where it ended by this command, or will as soon as layer 1 takes it up (Pending).
	Cancelled bool            `json:"cancelled"`
	Pending   bool            `json:"pending,omitempty"`
	Status    messages.Status `json:"status,omitempty"`
	Reason    messages.Reason `json:"reason,omitempty"`
	Known     bool            `json:"known"`
}

func (f *cancelling) one(cmd *cobra.Command, g *globals, key messages.Key) error {
	c, err := reach(cmd.Context(), g, false)
	if err != nil {
		return err
	}
	defer c.close()
	e, err := c.ender(cmd.Context())
	if err != nil {
		return err
	}
	said, err := f.cancel(cmd.Context(), e, key)
	if err != nil {
		return err
	}
	if g.json {
		return verdict(printJSON(cmd.OutOrStdout(), said), said.Cancelled)
	}
	line := fmt.Sprintf("%s, epoch %d: cancelled (was %s)", key.ID, said.Epoch, said.Was)
	switch {
	case !said.Known:
		line = key.ID + ": no such request is known"
	case said.Pending:
		line = fmt.Sprintf("%s, epoch %d: is cancelled, and ends when layer 1 takes it up", key.ID, said.Epoch)
	case !said.Cancelled:
		line = fmt.Sprintf("%s, epoch %d: had ended before: %s (%s)", key.ID, said.Epoch, said.Status, said.Reason)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
	return verdict(err, said.Cancelled)
}

// cancel ends the newest epoch of a request.
func (f *cancelling) cancel(ctx context.Context, e *ender, key messages.Key) (cancelled, error) {
	ctx, stop := context.WithTimeout(ctx, max(f.timeout, time.Second))
	defer stop()
	said := cancelled{Key: key, Known: true}
	at, err := e.canceller.Find(ctx, key)
	if err != nil && !errors.Is(err, worker.ErrNotFound) {
		return said, environmentError{err}
	}
	if err != nil || at.State == "" { // the record has the last word
		result, asked := results.Get(ctx, e.conn, key)
		switch {
		case asked == nil && result.State == messages.ResultDone && result.Epoch >= at.Epoch:
			said.Epoch, said.Was, said.Status, said.Reason = result.Epoch, string(messages.StateDone), result.Status, result.Reason
			return said, nil
		case err != nil && asked != nil:
			return said, environmentError{asked}
		case err != nil && result.State == messages.ResultUnknown:
			said.Known = false
			return said, nil
		case err != nil: // admitted, and its states are nowhere: the newest epoch is the one
			at = worker.Standing{Key: key, Epoch: result.Epoch, NotAfter: time.Now().Add(messages.DefaultBatchLifetime)}
		}
	}
	if !at.Open() {
		said.ended(at.Epoch, at.End)
		return said, nil
	}
	word := f.word(key, at.Epoch, at.NotAfter)
	if err := e.cancels.Room(ctx, 1); err != nil {
		return said, err
	}
	if err := e.cancels.Say(ctx, word); err != nil {
		return said, environmentError{err}
	}
	return e.await(ctx, word, key)
}

// ended writes down that an epoch had ended before.
func (c *cancelled) ended(epoch int, end *messages.End) {
	c.Epoch, c.Was = epoch, string(messages.StateDone)
	if end != nil {
		c.Status, c.Reason = end.Status, end.Reason
	}
}

// await ends what has a state, and waits for layer 1 to end what has none. The word stands: when the wait is over, it ends
// later.
func (e *ender) await(ctx context.Context, word worker.Cancellation, key messages.Key) (cancelled, error) {
	said := cancelled{Key: key, Epoch: word.Epoch, Known: true}
	delays := worker.Delays{Base: 50 * time.Millisecond, Max: time.Second, Factor: 1.5, Jitter: 0.2}
	for round := 1; ; round++ {
		done, err := e.canceller.End(ctx, key, word.Epoch, word.Refusal())
		if err != nil {
			return said, environmentError{fmt.Errorf("%w (the word is said: it ends when a layer takes it up)", err)}
		}
		if done.End == nil { // not decided on, or left to layer 1; or it has ended, and its states are purged
			done.End, err = e.recorded(ctx, word, key)
		}
		said.Was = string(done.Was)
		if said.Was == "" {
			said.Was = "submitted"
		}
		switch {
		case done.Here:
			said.Cancelled, said.Status, said.Reason = true, done.End.Status, done.End.Reason
			return said, nil
		case done.End != nil && done.End.Reason == messages.ReasonCancelled: // a layer heard the word first
			said.Cancelled, said.Status, said.Reason, said.Was = true, done.End.Status, done.End.Reason, "taken up"
			return said, nil
		case done.End != nil:
			said.ended(word.Epoch, done.End)
			return said, nil
		}
		if delays.Pause(ctx, round) {
			continue
		}
		if err != nil {
			return said, environmentError{fmt.Errorf("nobody tells whether %s had ended before: %w (the word is said: if it had not, it ends when a layer takes it up)", key, err)}
		}
		said.Cancelled, said.Pending = true, true
		return said, nil
	}
}

// recorded is how an epoch ended as the record has it; nil: it has not ended.
func (e *ender) recorded(ctx context.Context, word worker.Cancellation, key messages.Key) (*messages.End, error) {
	result, err := results.Get(ctx, e.conn, key)
	switch {
	case err != nil:
		return nil, err
	case result.Epoch > word.Epoch: // it had failed, and is replayed
		return &messages.End{Status: messages.StatusFailure}, nil
	case result.State == messages.ResultDone && result.Epoch == word.Epoch:
		return &messages.End{Status: result.Status, Reason: result.Reason}, nil
	}
	return nil, nil
}

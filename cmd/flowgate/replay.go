package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker"
)

func newReplay(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay", Short: "Have failed requests done again", Args: cobra.NoArgs,
		Example: "  flowgate replay one invoice-4711 --reason \"backend is well again\"",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newReplayOne(g))
	return cmd
}

// replaying is what the flags of replay say.
type replaying struct {
	reason, resumeAt, file, class string
	wait                          bool
	timeout                       time.Duration
}

func newReplayOne(g *globals) *cobra.Command {
	var r replaying
	cmd := &cobra.Command{
		Use: "one ID", Short: "Replay one request as a new epoch", Args: cobra.ExactArgs(1),
		Long: "Sends a failed request through governance again: identity, agreement, policy and money are checked anew. It goes on at\n" +
			"the layer in which it died, unless --resume-at says otherwise; -f replaces the request.",
		Example: "  flowgate replay one invoice-4711 --reason \"backend is well again\" --wait\n" +
			"  flowgate replay one invoice-4711 --reason \"field max_tokens mended\" -f request.json",
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, g, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&r.reason, "reason", "", "why it is done again (required; an auditor reads it)")
	f.StringVar(&r.resumeAt, "resume-at", "", "hold (from the start), ai or optimizer (default: where it died)")
	f.StringVarP(&r.file, "file", "f", "", "replace the request by the document in this `file`")
	f.StringVar(&r.class, "class", "std", "rt, std or batch")
	f.BoolVar(&r.wait, "wait", true, "wait for the result")
	f.DurationVar(&r.timeout, "timeout", 10*time.Minute, "longest wait")
	return cmd
}

func (r *replaying) run(cmd *cobra.Command, g *globals, id string) error {
	key := messages.Key{Tenant: g.tenant, ID: id}
	document, class, err := r.document(cmd, key)
	if err != nil {
		return usageError{err}
	}
	c, err := reach(cmd.Context(), g, true)
	if err != nil {
		return err
	}
	defer c.close()
	epoch, err := replay(cmd.Context(), c, class, key, document)
	if err != nil {
		return err
	}
	if !r.wait {
		if g.json {
			return printJSON(cmd.OutOrStdout(), map[string]any{"tenant": key.Tenant, "id": key.ID, "epoch": epoch, "accepted": true})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s accepted as epoch %d\n", key.ID, epoch)
		return err
	}
	result, err := await(cmd.Context(), c, key, epoch, r.timeout)
	if err != nil {
		return err
	}
	return showResult(cmd.OutOrStdout(), g, result)
}

func (r *replaying) document(cmd *cobra.Command, key messages.Key) ([]byte, messages.Class, error) {
	if err := messages.CheckKey(key); err != nil {
		return nil, "", err
	}
	class, err := messages.ParseClass(r.class)
	if err != nil {
		return nil, "", err
	}
	ask := messages.Replay{V: messages.Version, Reason: r.reason, By: operator(), ResumeAt: messages.State(r.resumeAt)}
	if r.file != "" {
		if ask.Request, err = readBounded(cmd, r.file); err != nil {
			return nil, "", err
		}
		if _, err := messages.DecodeRequest(ask.Request); err != nil {
			return nil, "", err
		}
	}
	data, err := json.Marshal(&ask)
	if err != nil {
		return nil, "", err
	}
	_, err = messages.DecodeReplay(data)
	return data, class, err
}

// operator is who sits here, for the record.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// replay publishes the epoch after the newest recorded one.
func replay(ctx context.Context, c *client, class messages.Class, key messages.Key, document []byte) (epoch int, err error) {
	letter, err := c.db.DeadLetter(ctx, key, -1)
	if errors.Is(err, worker.ErrNotFound) {
		return 0, fmt.Errorf("%s has no failure that can be replayed; see `flowgate audit show %s`", key.ID, key.ID)
	}
	if err != nil {
		return 0, err
	}
	highest, err := c.db.HighestEpoch(ctx, key)
	if err != nil {
		return 0, err
	}
	if highest > letter.Epoch {
		return 0, fmt.Errorf("%s is already replayed as epoch %d; see `flowgate audit show %s`", key.ID, highest, key.ID)
	}
	epoch = letter.Epoch + 1
	if _, err := publish(ctx, c.js, &nats.Msg{Subject: messages.ReplaySubject(class, key, epoch), Data: document}); err != nil {
		return 0, fmt.Errorf("asking for the replay: %w", err)
	}
	return epoch, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/control"
)

func newPause(g *globals) *cobra.Command {
	var reason, by string
	cmd := &cobra.Command{
		Use: "pause KIND NAME", Short: "Pause a layer, class, tenant, backend or agreement, everywhere within a second", Args: cobra.ExactArgs(2),
		Long: "Pauses a layer (corporate, ai, optimizer), a class (rt, std, batch), a tenant, a backend or an agreement (by its trigger) in\n" +
			"every process of the deployment. What needs it waits, loses nothing and burns no attempt; not_after still ends it. Pausing\n" +
			"again changes reason and name only. The record gets an event that says who, why and when.",
		Example: "  flowgate pause layer ai --reason \"the provider is being changed\"\n" +
			"  flowgate pause tenant acme --reason \"invoice in dispute\" --by finance",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := g.pausable(cmd.Context(), args[0], args[1])
			if err != nil {
				return usageError{err}
			}
			p.Reason, p.By, p.Since = strings.TrimSpace(reason), whoever(by), time.Now()
			if err := control.Check(p); err != nil {
				return usageError{fmt.Errorf("%w; see `flowgate pause --help`", err)}
			}
			return pause(cmd, g, p)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; everybody who waits is told (needed)")
	cmd.Flags().StringVar(&by, "by", "", "`name` of who pauses (default: the user of this machine)")
	return cmd
}

func pause(cmd *cobra.Command, g *globals, p control.Pause) error {
	c, err := reach(cmd.Context(), g, false)
	if err != nil {
		return err
	}
	defer c.close()
	set, changed, err := control.Set(cmd.Context(), c.js, p)
	if err != nil {
		return bucketError(err)
	}
	if err := c.tellPause(cmd.Context(), messages.EventPaused, set); err != nil {
		return fmt.Errorf("it is paused, but the record was not told: say it again: %w", err)
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), map[string]any{"paused": set, "changed": changed})
	}
	word := "is paused"
	if !changed {
		word = "was paused before"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s: %s\nEnd it with: flowgate resume %s %q\n", set.Kind, set.Name, word, set.Reason, set.Kind, set.Name)
	return err
}

func newResume(g *globals) *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use: "resume KIND NAME", Short: "End a pause", Args: cobra.ExactArgs(2),
		Long:    "Ends a pause everywhere within a second. What waited goes on: a thousand at once, of more about a thousand a second.",
		Example: "  flowgate resume layer ai\n  flowgate resume agreement \"[Cost Analysis]\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := g.pausable(cmd.Context(), args[0], args[1])
			if err != nil && !errors.Is(err, errUnknownName) { // what was paused under a name that is gone can be resumed
				return usageError{err}
			}
			c, err := reach(cmd.Context(), g, false)
			if err != nil {
				return err
			}
			defer c.close()
			was, cleared, err := control.Clear(cmd.Context(), c.js, p.Kind, p.Name)
			if err != nil {
				return bucketError(err)
			}
			if cleared {
				ended := was
				ended.By = whoever(by)
				if err := c.tellPause(cmd.Context(), messages.EventResumed, ended); err != nil {
					return fmt.Errorf("it is resumed, but the record was not told: %w", err)
				}
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"resumed": p, "was_paused": cleared})
			}
			word := "goes on"
			if !cleared {
				word = "was not paused"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", p.Kind, p.Name, word)
			return err
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "`name` of who resumes (default: the user of this machine)")
	return cmd
}

func newPauses(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "pauses", Short: "List what is paused, why, by whom and since when", Args: cobra.NoArgs,
		Example: "  flowgate pauses\n  flowgate pauses --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := reach(cmd.Context(), g, false)
			if err != nil {
				return err
			}
			defer c.close()
			pauses, err := control.List(cmd.Context(), c.js)
			if err != nil {
				return bucketError(err)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), append([]control.Pause{}, pauses...))
			}
			if len(pauses) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing is paused")
				return err
			}
			rows := make([][]string, len(pauses))
			for i, p := range pauses {
				rows[i] = []string{string(p.Kind), p.Name, clock(p.Since), p.By, p.Reason}
			}
			return table(cmd.OutOrStdout(), "KIND NAME SINCE BY REASON", rows)
		},
	}
}

// errUnknownName says that this deployment's rules know nothing of that name.
var errUnknownName = errors.New("nothing has this name")

// pausable reads what to pause; names are checked where they are known.
func (g *globals) pausable(ctx context.Context, kind, name string) (p control.Pause, err error) {
	if p.Kind, err = worker.ParsePauseKind(kind); err != nil {
		return p, err
	}
	p.Name = name
	var known []string
	switch p.Kind {
	case worker.PauseTenant:
		return p, messages.CheckTenant(name)
	case worker.PauseLayer:
		if r, found := roleNames()[strings.ToLower(name)]; found && r != roleRecorder && r != roleActions {
			p.Name = string(r)
			return p, nil
		}
		known = shortRoles()[:len(pipelines.Chain())]
	case worker.PauseClass:
		for _, c := range messages.Classes() {
			known = append(known, string(c))
		}
	case worker.PauseBackend:
		known = configs.BackendNames()
	case worker.PauseAgreement:
		if known, err = g.triggers(ctx); err != nil {
			return p, err
		}
	}
	for _, k := range known {
		if k == name {
			return p, nil
		}
		if strings.EqualFold(k, name) || strings.EqualFold(k, "["+name+"]") {
			p.Name = k
			return p, nil
		}
	}
	hint := "they are " + strings.Join(known, ", ")
	if near := configs.Nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return p, fmt.Errorf("%w: %s %.60q; %s", errUnknownName, kind, name, hint)
}

// triggerPatience is how long the database is waited for: what must be paused at once is in the file, too, most of the time.
const triggerPatience = 5 * time.Second

// triggers are those of the agreements in the database, else, where it cannot be reached, of the settings' file.
func (g *globals) triggers(ctx context.Context) ([]string, error) {
	var triggers []string
	asked, cancel := context.WithTimeout(ctx, triggerPatience)
	defer cancel()
	if all, err := g.agreements(asked); err == nil {
		for _, e := range flow.Governing(all) {
			triggers = append(triggers, e.Trigger)
		}
		return triggers, nil
	}
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	agreements, err := configs.LoadAgreements(settings.Flowgate.AgreementsFile)
	if err != nil {
		return nil, err
	}
	for _, a := range agreements {
		triggers = append(triggers, a.Trigger)
	}
	return triggers, nil
}

// whoever is who acts, where nobody says: the user of this machine.
func whoever(by string) string {
	if by != "" {
		return by
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// tellPause tells the record who paused or resumed what, and why.
func (c *client) tellPause(ctx context.Context, kind messages.EventKind, p control.Pause) error {
	e := messages.Event{
		V: messages.Version, Kind: kind, At: time.Now().UTC(), Worker: p.By,
		Pause: &messages.PauseNote{Kind: string(p.Kind), Name: p.Name, Reason: p.Reason, By: p.By, Since: p.Since.UTC(), Version: p.Version},
	}
	e.Tenant = messages.SystemTenant
	if p.Kind == worker.PauseTenant {
		e.Tenant = p.Name
	}
	return c.tell(ctx, e)
}

// tell tells the record what an operator did.
func (c *client) tell(ctx context.Context, e messages.Event) error {
	data, err := json.Marshal(&e)
	if err != nil {
		return err
	}
	hop := worker.Hop{JS: c.js, Backoff: worker.DefaultDelays()}
	ctx, cancel := context.WithTimeout(ctx, publishPatience)
	defer cancel()
	return hop.PublishEvent(ctx, data, messages.EventSubject(e.Tenant, e.Kind))
}

// bucketError marks a missing bucket as the machine's fault.
func bucketError(err error) error {
	if errors.Is(err, control.ErrNoBucket) {
		return environmentError{err}
	}
	return err
}

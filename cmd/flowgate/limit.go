package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/control"
)

func newLimit(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "limit", Short: "Set and show how many requests and tokens users, departments, tenants, models and backends may ask",
		Long: "A limit bounds how many requests and tokens are let through in a minute and an hour, over all workers together, of a user, a\n" +
			"department, the tenant, a model (by its exact id) or a backend. The name * is the limit of each who has none of its own. What the\n" +
			"tenant's says takes the place of the settings' (security.access.rate_limit). A backend's is one for all tenants: it counts what\n" +
			"would be asked of it first, by the settings. A request counts in every limit that it falls under, in all of them or in none.\n\n" +
			"Tokens count at the bound of a call, and what it did not use is given back when it ends. Windows slide: what was let through in the\n" +
			"minute before weighs less and less, so that there is no rush when a new one begins.",
		Example: "  flowgate limit set user anna --requests-minute 5 --reason \"a loop in a script\"\n" +
			"  flowgate limit set user '*' --requests-minute 60 --tokens-hour 500000 --reason \"fair use\"\n" +
			"  flowgate limit set backend openai --tokens-minute 200000 --excess wait --reason \"our contract\"\n" +
			"  flowgate limit show",
	}
	cmd.AddCommand(newLimitSet(g), newLimitClear(g), newLimitShow(g))
	return cmd
}

// limiting is what the flags of set say.
type limiting struct {
	requestsMinute, requestsHour, tokensMinute, tokensHour string
	excess, reason, by                                     string
}

func (l *limiting) words(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.reason, "reason", "", "why; it stands in the record (needed)")
	cmd.Flags().StringVar(&l.by, "by", "", "`name` of who does it (default: the user of this machine)")
}

// limit is what they mean for somebody.
func (l *limiting) limit(k control.LimitKey) (control.Limit, error) {
	limit := control.Limit{LimitKey: k, Excess: corporate.Excess(l.excess), Reason: strings.TrimSpace(l.reason), By: whoever(l.by), At: time.Now().UTC()}
	for _, f := range []struct {
		flag, text string
		into       *int64
	}{
		{"requests-minute", l.requestsMinute, &limit.RequestsMinute},
		{"requests-hour", l.requestsHour, &limit.RequestsHour},
		{"tokens-minute", l.tokensMinute, &limit.TokensMinute},
		{"tokens-hour", l.tokensHour, &limit.TokensHour},
	} {
		if f.text == "" {
			continue
		}
		n, err := strconv.ParseInt(f.text, 10, 64)
		if err != nil || n < 1 || n > control.MostRate {
			return limit, fmt.Errorf("flag --%s is %.40q, must be a whole number from 1 to %d; leave it out for no limit, and pause what nobody may ask",
				f.flag, f.text, int64(control.MostRate))
		}
		*f.into = n
	}
	return limit, limit.Check()
}

// limitKey reads whose limit is meant.
func (g *globals) limitKey(args []string) (control.LimitKey, error) {
	k := control.LimitKey{Tenant: g.tenant, Kind: corporate.RateKind(args[0])}
	if !k.Kind.Known() {
		return k, fmt.Errorf("%.40q is no kind of limit; use user, department, tenant, model or backend", args[0])
	}
	if len(args) > 1 {
		k.Name = args[1]
	}
	switch {
	case k.Kind == corporate.RateTenant && len(args) > 1 && args[1] != g.tenant:
		return k, fmt.Errorf("the tenant is %s: name another one with --tenant", g.tenant)
	case k.Kind == corporate.RateTenant:
		k.Name = control.Everybody
	case k.Name == "":
		return k, fmt.Errorf("say whose %s limit it is, or '*' for each who has none", k.Kind)
	case k.Kind == corporate.RateBackend:
		k.Tenant = messages.SystemTenant
	case k.Kind == corporate.RateModel && k.Name != control.Everybody:
		settings, err := g.load()
		if exact, ok := settings.AWS.Bedrock.ModelMapping[k.Name]; ok {
			k.Name = exact
		}
		return k, err
	}
	return k, nil
}

func newLimitSet(g *globals) *cobra.Command {
	var l limiting
	cmd := &cobra.Command{
		Use: "set KIND [NAME]", Short: "Set a limit, everywhere within a second", Args: cobra.RangeArgs(1, 2),
		Long: "Sets how many requests and tokens of somebody are let through. What is left out has no limit of its own. What finds no room is\n" +
			"refused as rate_limited with a time to come back, or waits until there is room: requests of the class batch wait, others are\n" +
			"refused, unless --excess says it for all of them.",
		Example: "  flowgate limit set user anna --requests-minute 5 --requests-hour 100 --reason \"a loop in a script\"\n" +
			"  flowgate limit set model claude-3-haiku --tokens-minute 90000 --excess wait --reason \"shared quota\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := g.limitKey(args)
			if err == nil {
				_, err = g.nameOf(k.Name)
			}
			if err != nil {
				return usageError{err}
			}
			limit, err := l.limit(k)
			if err != nil {
				return usageError{fmt.Errorf("%w; see `flowgate limit set --help`", err)}
			}
			c, err := reach(cmd.Context(), g, false)
			if err != nil {
				return err
			}
			defer c.close()
			if limit, err = control.SetLimit(cmd.Context(), c.js, limit); err != nil {
				return bucketError(err)
			}
			if err := c.tellLimit(cmd.Context(), k, limitNote(limit)); err != nil {
				return fmt.Errorf("it holds, but the record was not told: say it again: %w", err)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), limit)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s may ask %s a minute, %s an hour: %s\n", k.Kind, printable(k.Name),
				limitsText(limit.RequestsMinute, limit.TokensMinute), limitsText(limit.RequestsHour, limit.TokensHour), limit.Reason)
			return err
		},
	}
	cmd.Flags().StringVar(&l.requestsMinute, "requests-minute", "", "the most requests of a minute, a `number`")
	cmd.Flags().StringVar(&l.requestsHour, "requests-hour", "", "the most requests of an hour, a `number`")
	cmd.Flags().StringVar(&l.tokensMinute, "tokens-minute", "", "the most tokens of a minute, a `number`")
	cmd.Flags().StringVar(&l.tokensHour, "tokens-hour", "", "the most tokens of an hour, a `number`")
	cmd.Flags().StringVar(&l.excess, "excess", "", "what becomes of what finds no room: refuse or wait (default: batch requests wait, others are refused)")
	l.words(cmd)
	return cmd
}

func newLimitClear(g *globals) *cobra.Command {
	var l limiting
	cmd := &cobra.Command{
		Use: "clear KIND [NAME]", Short: "Remove a limit", Args: cobra.RangeArgs(1, 2), Example: "  flowgate limit clear user anna --reason \"the script is mended\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := g.limitKey(args)
			if err == nil && strings.TrimSpace(l.reason) == "" {
				err = errors.New("flag --reason is missing: say why")
			}
			if err != nil {
				return usageError{err}
			}
			c, err := reach(cmd.Context(), g, false)
			if err != nil {
				return err
			}
			defer c.close()
			cleared, err := control.ClearLimit(cmd.Context(), c.js, k)
			if err != nil {
				return bucketError(err)
			}
			// Told again where it is gone already: the first word may have been lost.
			note := messages.LimitNote{Kind: string(k.Kind), Name: k.Name, Removed: true, Reason: strings.TrimSpace(l.reason), By: whoever(l.by)}
			if err := c.tellLimit(cmd.Context(), k, note); err != nil {
				return fmt.Errorf("it is removed, but the record was not told: say it again: %w", err)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"limit": k, "cleared": cleared})
			}
			word := "has no limit any more"
			if !cleared {
				word = "had none"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", k.Kind, printable(k.Name), word)
			return err
		},
	}
	l.words(cmd)
	return cmd
}

func limitNote(l control.Limit) messages.LimitNote {
	return messages.LimitNote{
		Kind: string(l.Kind), Name: l.Name, RequestsMinute: l.RequestsMinute, RequestsHour: l.RequestsHour,
		TokensMinute: l.TokensMinute, TokensHour: l.TokensHour, Excess: string(l.Excess), Reason: l.Reason, By: l.By, Version: l.Version,
	}
}

// tellLimit tells the record how much somebody may ask from now on, and those who wait that there may be room.
func (c *client) tellLimit(ctx context.Context, k control.LimitKey, note messages.LimitNote) error {
	e := messages.Event{V: messages.Version, Kind: messages.EventLimitSet, At: time.Now().UTC(), Worker: note.By, Limit: &note}
	e.Tenant = k.Tenant
	if err := c.tell(ctx, e); err != nil {
		return err
	}
	freed := messages.Event{V: messages.Version, Kind: messages.EventFreed, At: e.At, Worker: note.By}
	freed.Tenant = k.Tenant
	return c.tell(ctx, freed)
}

// limitsText says how many requests and tokens are let through.
func limitsText(requests, tokens int64) string {
	var parts []string
	if requests > 0 {
		parts = append(parts, fmt.Sprintf("%d request(s)", requests))
	}
	if tokens > 0 {
		parts = append(parts, fmt.Sprintf("%d tokens", tokens))
	}
	if len(parts) == 0 {
		return "without limit"
	}
	return strings.Join(parts, " and ")
}

func tokensText(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d tokens", n)
}

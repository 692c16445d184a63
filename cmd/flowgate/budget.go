package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
	"flowgate/worker/control"
)

func newBudget(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "budget", Short: "Set, raise, show and forecast what tenants, departments, users and agreements may spend",
		Long: "A budget bounds what one request, a day and a month may cost of a tenant, a department, a user or an agreement (by its\n" +
			"trigger). The name * is the budget of each who has none of its own. What the tenant's says takes the place of the settings'\n" +
			"limit. A budget holds in every process within a second and counts from then on; days and months begin in flowgate.timezone. A\n" +
			"request counts in every budget that it falls under.",
		Example: "  flowgate budget set department research --day 20 --month 300 --reason \"plan of 2026\"\n" +
			"  flowgate budget set user '*' --day 5 --reason \"plan of 2026\"\n" +
			"  flowgate budget raise user anna --day 15 --until +48h --approver maria --reason \"end of quarter\"\n" +
			"  flowgate budget show\n  flowgate budget forecast",
	}
	cmd.AddCommand(newBudgetSet(g), newBudgetRaise(g), newBudgetClear(g), newBudgetShow(g), newBudgetForecast(g))
	return cmd
}

// budgeting is what the flags of set and raise say.
type budgeting struct {
	request, day, month string
	reason, by          string
	until, approver     string
}

func (b *budgeting) words(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.reason, "reason", "", "why; it stands in the record (needed)")
	cmd.Flags().StringVar(&b.by, "by", "", "`name` of who does it (default: the user of this machine)")
}

// amounts reads the limits; none is 0.
func (b *budgeting) amounts() (request, day, month int64, err error) {
	for _, f := range []struct {
		flag, text string
		into       *int64
	}{{"request", b.request, &request}, {"day", b.day, &day}, {"month", b.month, &month}} {
		if f.text == "" {
			continue
		}
		amount, wrong := configs.ParseDollars(f.text)
		if wrong != nil {
			return 0, 0, 0, fmt.Errorf("flag --%s: %w", f.flag, wrong)
		}
		*f.into = amount.MicroUSD()
	}
	return request, day, month, nil
}

// budgetKey reads whose budget is meant.
func (g *globals) budgetKey(ctx context.Context, args []string) (control.BudgetKey, error) {
	k := control.BudgetKey{Tenant: g.tenant, Kind: corporate.BudgetKind(args[0])}
	if !k.Kind.Known() {
		return k, fmt.Errorf("%.40q is no kind of budget; use tenant, department, user or agreement", args[0])
	}
	if len(args) > 1 {
		k.Name = args[1]
	}
	switch {
	case k.Kind == corporate.BudgetTenant && len(args) > 1 && args[1] != g.tenant:
		return k, fmt.Errorf("the tenant is %s: name another one with --tenant", g.tenant)
	case k.Kind == corporate.BudgetTenant:
		k.Name = control.Everybody
	case k.Name == "":
		return k, fmt.Errorf("say whose %s budget it is, or '*' for each who has none", k.Kind)
	case k.Kind == corporate.BudgetAgreement && k.Name != control.Everybody:
		p, err := g.pausable(ctx, string(worker.PauseAgreement), k.Name)
		k.Name = p.Name
		return k, err
	}
	return k, nil
}

func newBudgetSet(g *globals) *cobra.Command {
	var b budgeting
	cmd := &cobra.Command{
		Use: "set KIND [NAME]", Short: "Set a budget, everywhere within a second", Args: cobra.RangeArgs(1, 2),
		Long:    "Sets what a tenant, department, user or agreement may spend. What is left out has no limit of its own. Raises that hold stay.",
		Example: "  flowgate budget set user anna --day 5 --month 50 --reason \"plan of 2026\"\n  flowgate budget set tenant --day 500 --reason \"plan of 2026\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := g.budgetKey(cmd.Context(), args)
			if err == nil {
				_, err = g.nameOf(k.Name)
			}
			if err != nil {
				return usageError{err}
			}
			budget := control.Budget{BudgetKey: k, Reason: strings.TrimSpace(b.reason), By: whoever(b.by), At: time.Now().UTC()}
			if budget.Request, budget.Day, budget.Month, err = b.amounts(); err != nil {
				return usageError{err}
			}
			if err := budget.Check(); err != nil {
				return usageError{fmt.Errorf("%w; see `flowgate budget set --help`", err)}
			}
			return changed(cmd, g, func(ctx context.Context, c *client) (control.Budget, messages.BudgetNote, error) {
				set, err := control.SetBudget(ctx, c.js, budget)
				return set, noteOf(set), err
			})
		},
	}
	cmd.Flags().StringVar(&b.request, "request", "", "the most `dollars` of one request")
	cmd.Flags().StringVar(&b.day, "day", "", "the most `dollars` of a day")
	cmd.Flags().StringVar(&b.month, "month", "", "the most `dollars` of a month")
	b.words(cmd)
	return cmd
}

func newBudgetRaise(g *globals) *cobra.Command {
	var b budgeting
	var check roleCheck
	cmd := &cobra.Command{
		Use: "raise KIND [NAME]", Short: "Raise a budget for a time, with another person's approval", Args: cobra.RangeArgs(1, 2),
		Example: "  flowgate budget raise user anna --day 15 --until +48h --approver maria --reason \"end of quarter\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := g.budgetKey(cmd.Context(), args)
			if err != nil {
				return usageError{err}
			}
			now := time.Now().UTC()
			r := control.Raise{Reason: strings.TrimSpace(b.reason), By: whoever(b.by), Approver: strings.TrimSpace(b.approver)}
			_, day, month, err := b.amounts()
			switch {
			case err != nil:
			case b.until == "":
				err = errors.New("flag --until is missing: a raise ends")
			case r.Reason == "":
				err = errors.New("flag --reason is missing: say why")
			case r.Approver == "" || strings.EqualFold(messages.Visible(r.Approver), messages.Visible(r.By)):
				err = errors.New("flag --approver must name another person than who asks (--by)")
			case day == 0 && month == 0:
				err = errors.New("flag --day or --month is missing: say what may be spent until then")
			default:
				r.Until, err = moment("until", b.until, now)
			}
			if err == nil && (!now.Before(r.Until) || r.Until.After(now.Add(control.LongestRaise))) {
				err = errors.New("flag --until must be in the future, within a year")
			}
			if err != nil {
				return usageError{err}
			}
			r.Day, r.Month = day, month
			if err := check.mustHave(cmd.Context(), g, "approver", r.Approver, messages.RoleApprover); err != nil {
				return err
			}
			r.Approver = check.named(r.Approver)
			return changed(cmd, g, func(ctx context.Context, c *client) (control.Budget, messages.BudgetNote, error) {
				raised, err := control.RaiseBudget(ctx, c.js, k, r, now)
				note := noteOf(raised)
				note.Day, note.Month, note.Until, note.Approver, note.Reason, note.By = r.Day, r.Month, r.Until, r.Approver, r.Reason, r.By
				return raised, note, err
			})
		},
	}
	cmd.Flags().StringVar(&b.day, "day", "", "the most `dollars` of a day until then")
	cmd.Flags().StringVar(&b.month, "month", "", "the most `dollars` of a month until then")
	cmd.Flags().StringVar(&b.until, "until", "", "when it ends: a `time`, or from now such as +48h (needed)")
	cmd.Flags().StringVar(&b.approver, "approver", "", "`name` of who approved it: another person (needed)")
	check.flag(cmd, "--approver")
	b.words(cmd)
	return cmd
}

func newBudgetClear(g *globals) *cobra.Command {
	var b budgeting
	cmd := &cobra.Command{
		Use: "clear KIND [NAME]", Short: "Remove a budget", Args: cobra.RangeArgs(1, 2), Example: "  flowgate budget clear user anna --reason \"left the company\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := g.budgetKey(cmd.Context(), args)
			if err == nil && strings.TrimSpace(b.reason) == "" {
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
			cleared, err := control.ClearBudget(cmd.Context(), c.js, k)
			if err != nil {
				return bucketError(err)
			}
			// Told again where it is gone already: the first word may have been lost.
			note := messages.BudgetNote{Kind: string(k.Kind), Name: k.Name, Removed: true, Reason: strings.TrimSpace(b.reason), By: whoever(b.by)}
			if err := c.tellBudget(cmd.Context(), k.Tenant, note); err != nil {
				return fmt.Errorf("it is removed, but the record was not told: say it again: %w", err)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"budget": k, "cleared": cleared})
			}
			word := "has no budget any more"
			if !cleared {
				word = "had none"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", k.Kind, k.Name, word)
			return err
		},
	}
	b.words(cmd)
	return cmd
}

// changed changes a budget, tells the record, and shows what holds.
func changed(cmd *cobra.Command, g *globals, change func(context.Context, *client) (control.Budget, messages.BudgetNote, error)) error {
	c, err := reach(cmd.Context(), g, false)
	if err != nil {
		return err
	}
	defer c.close()
	b, note, err := change(cmd.Context(), c)
	if err != nil {
		return bucketError(err)
	}
	if err := c.tellBudget(cmd.Context(), b.Tenant, note); err != nil {
		return fmt.Errorf("it holds, but the record was not told: say it again: %w", err)
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), b)
	}
	l := b.Limits(time.Now())
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s may spend %s a request, %s a day, %s a month: %s\n",
		b.Kind, printable(b.Name), limitText(l.Request), limitText(l.Day), limitText(l.Month), note.Reason)
	return err
}

func limitText(micro int64) string {
	if micro == 0 {
		return "no limit"
	}
	return "$" + configs.Dollars(micro).String()
}

func noteOf(b control.Budget) messages.BudgetNote {
	return messages.BudgetNote{
		Kind: string(b.Kind), Name: b.Name, Request: b.Request, Day: b.Day, Month: b.Month, Reason: b.Reason, By: b.By, Version: b.Version,
	}
}

// tellBudget tells the record who may spend what from now on.
func (c *client) tellBudget(ctx context.Context, tenant string, note messages.BudgetNote) error {
	e := messages.Event{V: messages.Version, Kind: messages.EventBudgetSet, At: time.Now().UTC(), Worker: note.By, Budget: &note}
	e.Tenant = tenant
	return c.tell(ctx, e)
}

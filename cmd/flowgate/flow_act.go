package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/worker/control"
)

// agreeing is what a command that changes agreements says of why and by whom.
type agreeing struct {
	reason, by string
	check      roleCheck
}

func (a *agreeing) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.reason, "reason", "", "why; it stands in the history of the agreement (needed)")
	cmd.Flags().StringVar(&a.by, "by", "", "`name` of who does it (default: the user of this machine)")
	a.check.flag(cmd, "--by")
}

// change is an act in the name of somebody who may do it. When it is, is left to the database.
func (a *agreeing) change(cmd *cobra.Command, g *globals, act flow.Act, roles ...messages.Role) (flow.Change, error) {
	reason, by := strings.TrimSpace(a.reason), strings.TrimSpace(whoever(a.by))
	if reason == "" {
		return flow.Change{}, usageError{fmt.Errorf("flag --reason is missing: say why; see `%s --help`", cmd.CommandPath())}
	}
	if err := corporate.CheckChange(reason, by); err != nil {
		return flow.Change{}, usageError{err}
	}
	if messages.Visible(by) != by {
		return flow.Change{}, usageError{errors.New("flag --by has invisible characters: nobody could tell the name from another one")}
	}
	if err := a.check.mustHaveAnywhere(cmd.Context(), g, "by", by, roles...); err != nil {
		return flow.Change{}, err
	}
	return flow.Change{Act: act, By: a.check.named(by), Reason: reason}, nil
}

// flowAct is a verb that moves a version through its life.
type flowAct struct {
	act         flow.Act
	roles       []messages.Role
	short, long string
}

// Who may write agreements, and who may put them in force and stop them.
func writers() []messages.Role { return []messages.Role{messages.RoleOperator, messages.RoleAdmin} }

func approvers() []messages.Role { return []messages.Role{messages.RoleApprover, messages.RoleAdmin} }

func flowActs() []flowAct {
	return []flowAct{
		{flow.ActSubmit, writers(), "Ask for the approval of a draft", "The newest draft, where --version names none, waits for its approval from then on."},
		{
			flow.ActReturn, approvers(), "Give a version in review back to its author",
			"The version is a draft again. Its author writes another one with `flowgate flow edit`, or submits it again.",
		},
		{
			flow.ActApprove, approvers(), "Put a version in review in force, everywhere within a second",
			"The version takes the place of the one before it, which is retired. Who wrote or submitted it may not approve it; of two who approve\n" +
				"at once, one does. What a layer has let through under the version before ends under it.",
		},
		{
			flow.ActSuspend, approvers(), "Deny requests under an agreement, everywhere within a second",
			"Requests under the agreement are denied (agreement_suspended) by every layer that takes them up, until it is resumed. To let them\n" +
				"wait instead, use `flowgate pause agreement TRIGGER`.",
		},
		{flow.ActResume, approvers(), "Let requests run under a suspended agreement again", "It holds everywhere within a second."},
		{
			flow.ActRetire, approvers(), "End an agreement, or withdraw a version",
			"The version in force is retired: requests under the agreement are denied (agreement_not_approved) until another version is approved.\n" +
				"--version withdraws a draft or what is in review.",
		},
	}
}

func newFlowAct(g *globals, a flowAct) *cobra.Command {
	var by agreeing
	verb, version := string(a.act), ""
	cmd := &cobra.Command{
		Use: verb + " TRIGGER", Short: a.short, Args: cobra.ExactArgs(1),
		Long: a.long + "\n\nIt needs the role " + strings.Join(strings.Split(listed(a.roles), ", "), " or ") + ", where there is a directory of people.",
		Example: fmt.Sprintf("  flowgate flow %s \"[Cost Analysis]\" --reason \"ticket 4711\" --by maria\n"+
			"  flowgate flow %s \"cost analysis\" --version 2 --reason \"ticket 4711\"", verb, verb),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := by.change(cmd, g, a.act, a.roles...)
			if err != nil {
				return err
			}
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			changed, err := c.editAgreements(cmd.Context(), func(all []flow.Entry, now time.Time) ([]flow.Entry, error) {
				trigger, err := triggerOf(all, args[0])
				if err != nil {
					return nil, err
				}
				change.At = now.UTC()
				changed, err := flow.Edit(all, trigger, version, change)
				if err == nil && a.act == flow.ActApprove {
					err = g.checkLevels("", changed[len(changed)-1].Agreement)
				}
				return changed, err
			})
			if len(changed) == 0 {
				return ofCaller(err)
			}
			if a.act == flow.ActSubmit || a.act == flow.ActApprove {
				g.warnActions(changed[len(changed)-1].Agreement)
			}
			return errors.Join(showChanged(cmd.OutOrStdout(), g, changed), err)
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "which `version`, where several come into question")
	by.flags(cmd)
	return cmd
}

// showChanged says how versions stand from now on.
func showChanged(w io.Writer, g *globals, changed []flow.Entry) error {
	now := time.Now()
	if g.json {
		all := make([]agreementShown, len(changed))
		for i, e := range changed {
			all[i] = shownNow(e, now)
		}
		return printJSON(w, map[string]any{"changed": all})
	}
	out := &lines{w: w}
	for _, e := range changed {
		out.print("%s version %s is %s: %s\n", printable(e.Trigger), printable(e.Version), standingText(shownNow(e, now)), printable(e.Last.Reason))
	}
	return out.err
}

// standingText says what a state means.
func standingText(e agreementShown) string {
	switch e.StateNow {
	case flow.StateDraft:
		return "a draft"
	case flow.StateReview:
		return "in review, for another person to approve"
	case flow.StateApproved:
		return "approved and in force"
	case flow.StateSuspended:
		return "suspended, requests are denied"
	case flow.StateExpired:
		return "approved, and has expired"
	case flow.StateRetired:
	}
	return "retired"
}

// checkLevels wants the controls that agreements name to be there. The file, which faults name, may be empty.
func (g *globals) checkLevels(file string, agreements ...flow.Agreement) error {
	settings, err := g.load()
	if err != nil {
		return err
	}
	settings.Flowgate.AgreementsFile = file
	if _, err := loadControls(settings, agreements); err != nil {
		return usageError{err}
	}
	return nil
}

// editAgreements changes agreements in the database, and tells every process and the record. Where something was changed it gives that,
// also with an error: then not all were told.
func (c *client) editAgreements(ctx context.Context, edit func(all []flow.Entry, now time.Time) ([]flow.Entry, error)) ([]flow.Entry, error) {
	changed, err := c.db.EditAgreements(ctx, edit)
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	return changed, c.tellAgreements(ctx, changed)
}

// tellAgreements tells every process how the changed agreements stand now, and the record what was done.
func (c *client) tellAgreements(ctx context.Context, changed []flow.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, publishPatience)
	defer cancel()
	if err := c.publishGoverning(ctx, changed); err != nil {
		return fmt.Errorf("the database has it, but not every process was told; one that runs there does so within 2 s, else say it again: %w", err)
	}
	for _, e := range changed {
		if err := c.tellAgreement(ctx, e); err != nil {
			return fmt.Errorf("it holds, and `flowgate flow history` has it, but the events on record lack it: %w", err)
		}
	}
	return nil
}

func (c *client) publishGoverning(ctx context.Context, changed []flow.Entry) error {
	all, err := c.db.Agreements(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, e := range flow.Governing(all) {
		for _, of := range changed {
			if of.Trigger == e.Trigger {
				faults = append(faults, control.PublishAgreement(ctx, c.js, e))
				break
			}
		}
	}
	return errors.Join(faults...)
}

func (c *client) tellAgreement(ctx context.Context, e flow.Entry) error {
	event := messages.Event{
		V: messages.Version, Kind: messages.EventAgreementChanged, At: e.Last.At, Worker: e.Last.By,
		Detail: e.Trigger + " " + e.Version + ": " + string(e.Last.Act),
		Agreement: &messages.AgreementNote{
			Trigger: e.Trigger, Version: e.Version, Act: string(e.Last.Act), State: string(e.State), Reason: e.Last.Reason, By: e.Last.By, Revision: e.Revision,
		},
	}
	event.Tenant = messages.SystemTenant
	return c.tell(ctx, event)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/policy"
	"flowgate/pipelines/rule"
	"flowgate/worker/control"
)

func newPolicy(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", Short: "Check, test, compare and activate the rules that requests are judged by",
		Long: "A policy is a YAML file: a name, rules, and cases that say what the rules must decide. A rule has an id, an effect (deny or\n" +
			"flag), an expression in CEL over the facts of `flowgate policy facts`, and words for whose request is denied. One rule that\n" +
			"denies is enough; an expression that cannot be evaluated denies. A policy is named by its content.",
		Example: "  flowgate policy check policy.yaml\n  flowgate policy diff policy.yaml\n" +
			"  flowgate policy activate policy.yaml --reason \"ticket 4711: no cards to models\"",
	}
	cmd.AddCommand(newPolicyFacts(g), newPolicyCheck(g), newPolicyTest(g), newPolicyDiff(g), newPolicyTry(g), newPolicyActivate(g), newPolicyShow(g), newPolicyHistory(g))
	return cmd
}

func newPolicyFacts(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "facts", Short: "List what rules may speak of", Args: cobra.NoArgs, Example: "  flowgate policy facts",
		RunE: func(cmd *cobra.Command, _ []string) error { return writeFacts(cmd, g, policy.FactList()) },
	}
}

// writeFacts lists what expressions may speak of.
func writeFacts(cmd *cobra.Command, g *globals, facts []rule.Info) error {
	if g.json {
		return printJSON(cmd.OutOrStdout(), facts)
	}
	rows := make([][]string, len(facts))
	for i, f := range facts {
		rows[i] = []string{f.Name, f.Type, f.Does}
	}
	return table(cmd.OutOrStdout(), "FACT TYPE MEANING", rows)
}

// checkedPolicy is what check and activate say of a policy.
type checkedPolicy struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Rules   int    `json:"rules"`
	Cases   int    `json:"cases"`
}

func checkedOf(p *policy.Policy) checkedPolicy {
	b := p.Bundle()
	return checkedPolicy{b.Name, p.Version(), len(b.Rules), len(b.Cases)}
}

func newPolicyCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Compile the rules of a file and run its cases", Args: cobra.ExactArgs(1),
		Long:    "Compiles the rules of a file, bounds what they may cost, and runs its cases. Exit code 2: the file has faults, which are listed\nwith their lines; 1: a case is not decided as it demands.",
		Example: "  flowgate policy check policy.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := configs.LoadPolicy(args[0])
			if err != nil {
				return usageError{err}
			}
			results := p.Test()
			wrong := failed(results)
			if g.json {
				err = printJSON(cmd.OutOrStdout(), struct {
					checkedPolicy

					OK     bool                `json:"ok"`
					Failed []policy.CaseResult `json:"failed"`
				}{checkedOf(p), len(wrong) == 0, wrong})
				return verdict(err, len(wrong) == 0)
			}
			c := checkedOf(p)
			if len(wrong) > 0 {
				return verdict(writeCases(cmd.OutOrStdout(), wrong), false)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: good, %d rules, %d cases, version %s\n", c.Name, c.Rules, c.Cases, c.Version)
			return err
		},
	}
}

func newPolicyTest(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "test FILE", Short: "Run the cases of a file", Args: cobra.ExactArgs(1), Example: "  flowgate policy test policy.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := configs.LoadPolicy(args[0])
			if err != nil {
				return usageError{err}
			}
			results := p.Test()
			if g.json {
				err = printJSON(cmd.OutOrStdout(), append([]policy.CaseResult{}, results...))
			} else {
				err = writeCases(cmd.OutOrStdout(), results)
			}
			return verdict(err, len(failed(results)) == 0)
		},
	}
}

func failed(results []policy.CaseResult) []policy.CaseResult {
	wrong := []policy.CaseResult{}
	for _, r := range results {
		if !r.OK {
			wrong = append(wrong, r)
		}
	}
	return wrong
}

func writeCases(w io.Writer, results []policy.CaseResult) error {
	for _, r := range results {
		line := "ok    " + printable(r.Name)
		if !r.OK {
			line = fmt.Sprintf("FAIL  %s: %s, must be %s", printable(r.Name), decided(r.Denied, r.Flagged), decided(r.WantDenied, r.WantFlagged))
			if r.Error != "" {
				line += " (" + printable(r.Error) + ")"
			}
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// decided says in words what a policy decides.
func decided(denied string, flagged []string) string {
	text := "passed"
	if denied != "" {
		text = "denied by " + denied
	}
	if len(flagged) > 0 {
		text += ", flagged by " + strings.Join(flagged, ", ")
	}
	return text
}

func newPolicyActivate(g *globals) *cobra.Command {
	var reason, by string
	var check roleCheck
	cmd := &cobra.Command{
		Use: "activate FILE", Short: "Put the policy of a file in force, everywhere within a second", Args: cobra.ExactArgs(1),
		Long: "Compiles a policy, runs its cases, and puts it in force in every process within a second; what is being decided ends under\n" +
			"the version that it began with. The record of each request names the version, an event has the whole policy. Where two activate\n" +
			"at once, one is refused. To go back, activate the older file again. Activate after every worker runs a version that knows\n" +
			"policies: older ones do not hear of them.",
		Example: "  flowgate policy activate policy.yaml --reason \"ticket 4711: no cards to models\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := configs.LoadPolicy(args[0])
			if err != nil {
				return usageError{err}
			}
			if strings.TrimSpace(reason) == "" {
				return usageError{errors.New("flag --reason is missing: say why; see `flowgate policy activate --help`")}
			}
			if err := check.mustHaveAnywhere(cmd.Context(), g, "by", whoever(by), messages.RoleApprover, messages.RoleAdmin); err != nil {
				return err
			}
			c, err := reach(cmd.Context(), g, false)
			if err != nil {
				return err
			}
			defer c.close()
			now, before, changed, err := control.Activate(cmd.Context(), c.js, p, strings.TrimSpace(reason), check.named(whoever(by)), time.Now())
			if err != nil {
				return bucketError(err)
			}
			if err := c.tellPolicy(cmd.Context(), now, before.Version, changed); err != nil {
				return fmt.Errorf("it is in force, but the record was not told: activate it again: %w", err)
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"active": checkedOf(p), "previous": before.Version, "changed": changed})
			}
			word := "is in force"
			if !changed {
				word = "is in force already, nothing changed"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, version %s, %s: %s\n", now.Bundle.Name, now.Version, word, now.Reason)
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it stands in the record (needed)")
	cmd.Flags().StringVar(&by, "by", "", "`name` of who activates (default: the user of this machine)")
	check.flag(cmd, "--by")
	return cmd
}

// tellPolicy tells the record which policy is in force. Said again, it is told again: the first word may have been lost.
func (c *client) tellPolicy(ctx context.Context, now control.ActivePolicy, previous string, changed bool) error {
	if !changed {
		previous = "" // it was told before
	}
	bundle, err := json.Marshal(now.Bundle)
	if err != nil {
		return err
	}
	e := messages.Event{
		V: messages.Version, Kind: messages.EventPolicyActivated, At: now.At, Worker: now.By, Detail: now.Bundle.Name + " " + now.Version,
		Policy: &messages.PolicyNote{Name: now.Bundle.Name, Version: now.Version, Previous: previous, Reason: now.Reason, By: now.By, Bundle: bundle},
	}
	e.Tenant = messages.SystemTenant
	return c.tell(ctx, e)
}

func newPolicyShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the policy in force", Args: cobra.NoArgs, Example: "  flowgate policy show\n  flowgate policy show --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := reach(cmd.Context(), g, false)
			if err != nil {
				return err
			}
			defer c.close()
			active, has, err := control.Active(cmd.Context(), c.js)
			switch {
			case err != nil:
				return bucketError(err)
			case g.json && !has:
				return printJSON(cmd.OutOrStdout(), map[string]any{"active": nil})
			case g.json:
				return printJSON(cmd.OutOrStdout(), map[string]any{"active": active})
			case !has:
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "no policy is in force")
				return err
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s, version %s, in force since %s by %s: %s\n\n",
				active.Bundle.Name, active.Version, clock(active.At), printable(active.By), printable(active.Reason)); err != nil {
				return err
			}
			rows := make([][]string, len(active.Bundle.Rules))
			for i, r := range active.Bundle.Rules {
				rows[i] = []string{r.ID, string(r.Effect), printable(r.When), printable(r.Because)}
			}
			return table(cmd.OutOrStdout(), "RULE EFFECT WHEN BECAUSE", rows)
		},
	}
}

func newPolicyHistory(g *globals) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "history", Short: "List which policies were activated, when, by whom and why", Args: cobra.NoArgs,
		Example: "  flowgate policy history\n  flowgate policy history --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			all, err := c.db.Activations(cmd.Context(), limit)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			rows := make([][]string, len(all))
			for i, a := range all {
				rows[i] = []string{clock(a.At), a.Name, a.Version, a.Previous, a.By, a.Reason}
			}
			return table(cmd.OutOrStdout(), "TIME POLICY VERSION BEFORE BY REASON", rows)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "the most `rows`")
	return cmd
}

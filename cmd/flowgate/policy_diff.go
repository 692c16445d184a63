package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/policy"
	"flowgate/worker/control"
)

// policyDiff is what differs between two policies.
type policyDiff struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Rules are those that differ, Cases those of either that both decide differently.
	Rules []ruleDiff `json:"rules"`
	Cases []caseDiff `json:"cases"`
}

type ruleDiff struct {
	ID string `json:"id"`
	// Before and After are null where the rule is not there.
	Before *policy.Rule `json:"before"`
	After  *policy.Rule `json:"after"`
}

type caseDiff struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

func newPolicyDiff(g *globals) *cobra.Command {
	var against string
	cmd := &cobra.Command{
		Use: "diff FILE", Short: "Tell what a file would change: rules, and cases that would be decided otherwise", Args: cobra.ExactArgs(1),
		Long:    "Compares a file with the policy in force or, --against it, with another file: rules that come, go or change, and the cases of\nboth that would be decided otherwise. Exit code 1: something differs.",
		Example: "  flowgate policy diff policy.yaml\n  flowgate policy diff policy.yaml --against policy-of-last-month.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			after, err := configs.LoadPolicy(args[0])
			if err != nil {
				return usageError{err}
			}
			before, err := comparedWith(cmd, g, against)
			if err != nil {
				return err
			}
			d := diffOf(before, after)
			if g.json {
				err = printJSON(cmd.OutOrStdout(), d)
			} else {
				err = d.write(cmd.OutOrStdout())
			}
			return verdict(err, len(d.Rules) == 0 && len(d.Cases) == 0)
		},
	}
	cmd.Flags().StringVar(&against, "against", "", "compare with this `file` instead of the policy in force")
	return cmd
}

// comparedWith is the policy of a file, or the one in force; nil: there is none.
func comparedWith(cmd *cobra.Command, g *globals, file string) (*policy.Policy, error) {
	if file != "" {
		p, err := configs.LoadPolicy(file)
		if err != nil {
			return nil, usageError{err}
		}
		return p, nil
	}
	c, err := reach(cmd.Context(), g, false)
	if err != nil {
		return nil, err
	}
	defer c.close()
	active, has, err := control.Active(cmd.Context(), c.js)
	if err != nil || !has {
		return nil, bucketError(err)
	}
	return policy.Compile(active.Bundle)
}

func diffOf(before, after *policy.Policy) policyDiff {
	d := policyDiff{From: before.Version(), To: after.Version(), Rules: []ruleDiff{}, Cases: []caseDiff{}}
	was, is := before.Bundle(), after.Bundle()
	find := func(rules []policy.Rule, id string) *policy.Rule {
		if i := slices.IndexFunc(rules, func(r policy.Rule) bool { return r.ID == id }); i >= 0 {
			return &rules[i]
		}
		return nil
	}
	for _, r := range was.Rules {
		if now := find(is.Rules, r.ID); now == nil || *now != r {
			d.Rules = append(d.Rules, ruleDiff{r.ID, find(was.Rules, r.ID), now})
		}
	}
	for _, r := range is.Rules {
		if find(was.Rules, r.ID) == nil {
			d.Rules = append(d.Rules, ruleDiff{r.ID, nil, find(is.Rules, r.ID)})
		}
	}
	cases := slices.Clone(is.Cases)
	for _, c := range was.Cases {
		if !slices.ContainsFunc(cases, func(other policy.Case) bool { return other.Name == c.Name }) {
			cases = append(cases, c)
		}
	}
	old, fresh := before.TestCases(cases), after.TestCases(cases)
	for i := range cases {
		a, b := decided(old[i].Denied, old[i].Flagged), decided(fresh[i].Denied, fresh[i].Flagged)
		if a != b {
			d.Cases = append(d.Cases, caseDiff{cases[i].Name, a, b})
		}
	}
	return d
}

func (d policyDiff) write(w io.Writer) error {
	if len(d.Rules) == 0 && len(d.Cases) == 0 {
		_, err := fmt.Fprintln(w, "nothing differs")
		return err
	}
	var lines []string
	text := func(sign string, r *policy.Rule) {
		if r != nil {
			lines = append(lines, fmt.Sprintf("%s %s %s: %s", sign, r.Effect, r.ID, printable(r.When)))
		}
	}
	for _, r := range d.Rules {
		text("-", r.Before)
		text("+", r.After)
	}
	for _, c := range d.Cases {
		lines = append(lines, fmt.Sprintf("  case %s: %s, was %s", printable(c.Name), c.After, c.Before))
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

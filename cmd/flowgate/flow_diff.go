package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/flow"
)

// agreementDiff is what differs between two versions of an agreement.
type agreementDiff struct {
	Trigger string `json:"trigger"`
	// From is empty where there is no version to compare with.
	From   string            `json:"from"`
	To     string            `json:"to"`
	Fields []flow.Difference `json:"fields"`
}

func newFlowDiff(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "diff TRIGGER|FILE [V1] [V2]", Short: "Compare versions of an agreement, or a file with what is in force, field by field", Args: cobra.RangeArgs(1, 3),
		Long: "Compares two versions of an agreement. Without V2 it is V1 with the version in force; without both the version in force with the\n" +
			"newest that is pending, or with the one before it. Of a file, what is in a folder or ends in .yaml or .yml, each agreement is compared\n" +
			"with its version in force, or its newest. Exit code 1: something differs.",
		Example: "  flowgate flow diff \"[Cost Analysis]\"\n  flowgate flow diff \"[Cost Analysis]\" 1 2\n  flowgate flow diff agreements.yaml --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			var file []flow.Agreement
			if isAgreementsFile(args[0]) {
				if len(args) > 1 {
					return usageError{errors.New("a file is compared with what is in force: name no versions")}
				}
				var err error
				if file, err = g.readAgreements(args[0]); err != nil {
					return err
				}
			}
			all, err := g.agreements(cmd.Context())
			if err != nil {
				return err
			}
			diffs := []agreementDiff{}
			for _, a := range file {
				diffs = append(diffs, againstForce(all, a))
			}
			if file == nil {
				d, err := diffOfVersions(all, args[0], args[1:])
				if err != nil {
					return err
				}
				diffs = append(diffs, d)
			}
			if g.json {
				err = printJSON(cmd.OutOrStdout(), diffs)
			} else {
				err = writeDiffs(cmd.OutOrStdout(), diffs)
			}
			return verdict(err, !slices.ContainsFunc(diffs, func(d agreementDiff) bool { return len(d.Fields) > 0 }))
		},
	}
}

// isAgreementsFile tells a file from a trigger.
func isAgreementsFile(arg string) bool {
	if strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml") {
		return true
	}
	info, err := os.Stat(arg)
	return err == nil && info.Mode().IsRegular()
}

// againstForce compares an agreement with its version in force, or the newest where none is.
func againstForce(all []flow.Entry, a flow.Agreement) agreementDiff {
	e, err := versionOf(all, a.Trigger, "")
	if err != nil { // it is new
		e.Agreement = flow.Agreement{ConfidenceThreshold: a.ConfidenceThreshold}
	}
	return agreementDiff{Trigger: a.Trigger, From: e.Version, To: a.Version, Fields: flow.Compare(e.Agreement, a)}
}

func diffOfVersions(all []flow.Entry, arg string, named []string) (d agreementDiff, err error) {
	if d.Trigger, err = triggerOf(all, arg); err != nil {
		return d, err
	}
	var from, to flow.Entry
	switch len(named) {
	case 0:
		from, to, err = lastTwo(all, d.Trigger)
	case 1:
		if from, err = versionOf(all, d.Trigger, named[0]); err == nil {
			to, err = versionOf(all, d.Trigger, "")
		}
	default:
		if from, err = versionOf(all, d.Trigger, named[0]); err == nil {
			to, err = versionOf(all, d.Trigger, named[1])
		}
	}
	d.From, d.To, d.Fields = from.Version, to.Version, flow.Compare(from.Agreement, to.Agreement)
	return d, err
}

// lastTwo are the versions that one would compare: what is in force with what is pending, or with what was before it.
func lastTwo(all []flow.Entry, trigger string) (from, to flow.Entry, err error) {
	governs, err := versionOf(all, trigger, "")
	if err != nil {
		return from, to, err
	}
	others := slices.DeleteFunc(versionsOf(all, trigger), func(e flow.Entry) bool { return e.Version == governs.Version })
	for _, o := range others {
		if o.State != flow.StateRetired {
			return governs, o, nil
		}
	}
	if len(others) == 0 {
		return from, to, usageError{fmt.Errorf("%s has one version, %s: there is nothing to compare it with", trigger, governs.Version)}
	}
	return others[0], governs, nil
}

func writeDiffs(w io.Writer, diffs []agreementDiff) error {
	out := &lines{w: w}
	for _, d := range diffs {
		d.print(out)
	}
	return out.err
}

func (d agreementDiff) print(out *lines) {
	switch {
	case len(d.Fields) == 0 && d.From == d.To:
		out.print("%s version %s: nothing differs\n", printable(d.Trigger), printable(d.To))
		return
	case len(d.Fields) == 0:
		out.print("%s versions %s and %s: nothing differs\n", printable(d.Trigger), printable(d.From), printable(d.To))
		return
	case d.From == "":
		out.print("%s version %s is new\n", printable(d.Trigger), printable(d.To))
	default:
		out.print("%s from version %s to %s\n", printable(d.Trigger), printable(d.From), printable(d.To))
	}
	for _, f := range d.Fields {
		if f.Before != nil {
			out.print("  - %s: %s\n", printable(f.Field), printable(fieldText(f.Field, f.Before)))
		}
		if f.After != nil {
			out.print("  + %s: %s\n", printable(f.Field), printable(fieldText(f.Field, f.After)))
		}
	}
}

// fieldText is a field's value for people; money is in dollars.
func fieldText(field string, value any) string {
	if micro, is := value.(float64); is && strings.HasPrefix(field, "limits.") && strings.HasSuffix(field, "_microusd") {
		return "$" + configs.Dollars(int64(micro)).String()
	}
	return valueText(value)
}

// valueText is a value of a document in one line: a text as it is, anything else as JSON.
func valueText(value any) string {
	if text, is := value.(string); is {
		return text
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

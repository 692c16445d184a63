package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/postgres"
)

// agreementStory is what show says.
type agreementStory struct {
	Agreement agreementShown `json:"agreement"`
	// Versions are all of them, what was changed last first.
	Versions []agreementShown `json:"versions"`
	Now      agreementNow     `json:"now"`
}

// agreementNow is what a request of a tenant that names the trigger is told.
type agreementNow struct {
	Tenant string `json:"tenant"`
	// Version is the one that decides.
	Version string `json:"version"`
	Runs    bool   `json:"runs"`
	// Reason says why not.
	Reason messages.Reason `json:"reason,omitempty"`
}

func newFlowShow(g *globals) *cobra.Command {
	version, asYAML := "", false
	cmd := &cobra.Command{
		Use: "show TRIGGER", Short: "Show an agreement: its fields, its versions, and what it says to a request now", Args: cobra.ExactArgs(1),
		Long: "Shows every field of the version in force (or the newest, where none is; --version names another), where each version stands and\n" +
			"what was done with it last, and whether a request of --tenant may run under the agreement now. --yaml writes the version as a file\n" +
			"to edit.",
		Example: "  flowgate flow show \"[Cost Analysis]\"\n  flowgate flow show \"cost analysis\" --json\n" +
			"  flowgate flow show \"[Cost Analysis]\" --yaml > cost-analysis.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withAgreements(cmd.Context(), func(_ *postgres.DB, all []flow.Entry) error {
				trigger, err := triggerOf(all, args[0])
				if err != nil {
					return err
				}
				e, err := versionOf(all, trigger, version)
				if err != nil {
					return err
				}
				switch out := cmd.OutOrStdout(); {
				case asYAML:
					return writeYAML(out, e)
				case g.json:
					return printJSON(out, storyOf(all, e, g.tenant, time.Now()))
				default:
					return storyOf(all, e, g.tenant, time.Now()).write(out)
				}
			})
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "this `version` instead")
	cmd.Flags().BoolVar(&asYAML, "yaml", false, "write a file for `flowgate flow edit`")
	return cmd
}

func storyOf(all []flow.Entry, e flow.Entry, tenant string, now time.Time) agreementStory {
	s := agreementStory{Agreement: shownNow(e, now), Versions: []agreementShown{}}
	for _, v := range versionsOf(all, e.Trigger) {
		s.Versions = append(s.Versions, shownNow(v, now))
	}
	for _, governs := range flow.Governing(all) {
		if governs.Trigger == e.Trigger {
			reason := governs.Refuses(tenant, now)
			s.Now = agreementNow{Tenant: tenant, Version: governs.Version, Runs: reason == "", Reason: reason}
		}
	}
	return s
}

// writeYAML writes a version as a file.
func writeYAML(w io.Writer, e flow.Entry) error {
	data, err := configs.WriteAgreement(e.Agreement)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "# %s, of version %s, %s\n%s", printable(e.Trigger), printable(e.Version), e.State, data)
	return err
}

// write prints the story for people.
func (s agreementStory) write(w io.Writer) error {
	out, a := &lines{w: w}, s.Agreement
	out.print("%s  version %s, %s\n", printable(a.Trigger), printable(a.Version), a.StateNow)
	for _, f := range fieldsShown(a.Entry) {
		if f[1] != "" && f[1] != "-" {
			out.print("  %-19s %s\n", f[0], printable(f[1]))
		}
	}
	who := "a request of tenant " + s.Now.Tenant
	if s.Now.Runs {
		out.print("\nnow: %s may run under it, by version %s\n\n", who, printable(s.Now.Version))
	} else {
		out.print("\nnow: %s is denied, %s, by version %s\n\n", who, s.Now.Reason, printable(s.Now.Version))
	}
	if out.err != nil {
		return out.err
	}
	rows := make([][]string, len(s.Versions))
	for i, v := range s.Versions {
		rows[i] = []string{v.Version, string(v.StateNow), orDash(v.Author), orDash(v.Submitter), orDash(v.Approver), string(v.Last.Act), clock(v.Last.At), v.Last.By, v.Last.Reason}
	}
	return table(w, "VERSION STATE AUTHOR SUBMITTER APPROVER LAST TIME BY REASON", rows)
}

// fieldsShown are the fields of a version in words.
func fieldsShown(e flow.Entry) [][2]string {
	parameters := ""
	if len(e.Parameters) > 0 {
		words := []string{}
		for _, d := range flow.Compare(flow.Agreement{}, flow.Agreement{Parameters: e.Parameters}) {
			words = append(words, strings.TrimPrefix(d.Field, "parameters.")+"="+valueText(d.After))
		}
		parameters = strings.Join(words, ", ")
	}
	allowed := ""
	if !e.Allowed.Empty() {
		allowed = allowedText(e.Allowed)
	}
	age, sla := "", ""
	if e.FallbackAgeSeconds > 0 {
		age = time.Duration(e.FallbackAgeSeconds * float64(time.Second)).String()
	}
	if e.SLASeconds > 0 {
		sla = time.Duration(e.SLASeconds * float64(time.Second)).String()
	}
	tenants := "everybody's requests"
	if len(e.Tenants) > 0 {
		tenants = strings.Join(e.Tenants, ", ")
	}
	return [][2]string{
		{"encoding", e.FlowEncoding},
		{"meaning", e.ExpandedMeaning},
		{"action", e.Action},
		{"implementation", e.RealImplementation},
		{"fallback", e.Fallback},
		{"fallback age", age},
		{"parameters", parameters},
		{"output", e.ExpectedOutput},
		{"threshold", fmt.Sprint(e.ConfidenceThreshold)},
		{"owner", e.Owner},
		{"author", e.Author},
		{"submitter", e.Submitter},
		{"approver", e.Approver},
		{"purpose", e.Purpose},
		{"tenants", tenants},
		{"default for", strings.Join(e.DefaultFor, ", ")},
		{"allowed", allowed},
		{"limits", limitsOfAgreement(e.Limits)},
		{"compliance level", e.ComplianceLevel},
		{"valid from", boundText(e.ValidFrom)},
		{"valid until", boundText(e.ValidUntil)},
		{"SLA", sla},
		{"last change", fmt.Sprintf("%s by %s, %s: %s", e.Last.Act, e.Last.By, clock(e.Last.At), e.Last.Reason)},
	}
}

package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/flow"
)

// agreementImport is how the agreements of a file become versions.
type agreementImport struct {
	agreeing

	submit, dryRun bool
	// edit wants the agreements to be there, and tells what differs; base is what the file was made from.
	edit bool
	base string
}

// importedAgreement is what became of an agreement of a file.
type importedAgreement struct {
	Trigger string `json:"trigger"`
	Version string `json:"version"`
	// Unchanged tells that the version was there.
	Unchanged bool       `json:"unchanged"`
	State     flow.State `json:"state"`
	// Diff compares it with the version in force, or the newest where none was.
	Diff agreementDiff `json:"diff"`
}

func newFlowImport(g *globals) *cobra.Command {
	var i agreementImport
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Make drafts of the agreements of a file", Args: cobra.ExactArgs(1),
		Long: "Reads a file of agreements, checks it whole, and writes a draft of each that no version has in that content; the others are\n" +
			"unchanged. All of it is one transaction. --submit asks for their approval at once. Who approved an agreement by the file is not taken\n" +
			"over: somebody has to. It needs the role operator or admin, where there is a directory of people.",
		Example: "  flowgate flow import agreements.yaml --dry-run\n  flowgate flow import agreements.yaml --submit --reason \"plan of 2026\" --by anna",
		RunE:    func(cmd *cobra.Command, args []string) error { return i.run(cmd, g, args[0]) },
	}
	i.flags(cmd)
	return cmd
}

func newFlowEdit(g *globals) *cobra.Command {
	i := agreementImport{edit: true}
	cmd := &cobra.Command{
		Use: "edit FILE", Short: "Write a new version of an agreement as a draft, by a file", Args: cobra.ExactArgs(1),
		Long: "Writes a draft of each agreement of the file, which has all of its content, and tells what differs from the version in force.\n" +
			"`flowgate flow show TRIGGER --yaml` writes such a file. With --base nothing is written where another version is in force by now than\n" +
			"the one that the file was made from. The draft is submitted and approved like a new agreement; the version in force stays until then.\n" +
			"It needs the role operator or admin, where there is a directory of people.",
		Example: "  flowgate flow show \"[Cost Analysis]\" --yaml > cost.yaml\n  flowgate flow edit cost.yaml --base 1 --submit --reason \"a higher limit\" --by anna",
		RunE:    func(cmd *cobra.Command, args []string) error { return i.run(cmd, g, args[0]) },
	}
	cmd.Flags().StringVar(&i.base, "base", "", "the `version` that the file was made from")
	i.flags(cmd)
	return cmd
}

func (i *agreementImport) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&i.submit, "submit", false, "ask for the approval at once")
	cmd.Flags().BoolVar(&i.dryRun, "dry-run", false, "tell what would become of them, and change nothing")
	i.agreeing.flags(cmd)
}

// readAgreements reads a file and checks it, with the controls that it names.
func (g *globals) readAgreements(path string) ([]flow.Agreement, error) {
	if path == "" {
		return nil, usageError{errors.New("name the file")}
	}
	agreements, err := configs.LoadAgreements(path)
	if err == nil && len(agreements) == 0 {
		err = fmt.Errorf("%s has no agreement", path)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return agreements, g.checkLevels(path, agreements...)
}

func (i *agreementImport) run(cmd *cobra.Command, g *globals, path string) error {
	file, err := g.readAgreements(path)
	if err != nil {
		return err
	}
	g.warnActions(file...)
	if i.dryRun {
		all, err := g.agreements(cmd.Context())
		if err != nil {
			return err
		}
		results, _, err := i.plan(all, file, flow.Change{Act: flow.ActWrite, By: "nobody", Reason: "dry run", At: time.Now().UTC()})
		if err != nil {
			return err
		}
		return i.show(cmd.OutOrStdout(), g, results)
	}
	change, err := i.change(cmd, g, flow.ActWrite, writers()...)
	if err != nil {
		return err
	}
	c, err := reach(cmd.Context(), g, true)
	if err != nil {
		return err
	}
	defer c.close()
	var results []importedAgreement
	written, err := c.editAgreements(cmd.Context(), func(all []flow.Entry, now time.Time) (drafts []flow.Entry, err error) {
		change.At = now.UTC()
		results, drafts, err = i.plan(all, file, change)
		return drafts, err
	})
	if err != nil && len(written) == 0 {
		return err
	}
	if i.submit {
		err = errors.Join(err, i.submitted(cmd, c, results, change))
	}
	return errors.Join(i.show(cmd.OutOrStdout(), g, results), err)
}

// plan tells what becomes of each agreement, and which drafts are written.
func (i *agreementImport) plan(all []flow.Entry, file []flow.Agreement, change flow.Change) (results []importedAgreement, drafts []flow.Entry, err error) {
	var faults []error
	for _, a := range file {
		if err := i.based(all, a.Trigger); err != nil {
			faults = append(faults, err)
			continue
		}
		e, written, err := flow.Import(all, a, change)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if written {
			drafts = append(drafts, e)
		}
		results = append(results, importedAgreement{a.Trigger, e.Version, !written, e.State, againstForce(all, e.Agreement)})
	}
	return results, drafts, errors.Join(faults...)
}

// based refuses to edit what is not there, or what another has changed meanwhile.
func (i *agreementImport) based(all []flow.Entry, trigger string) error {
	if !i.edit {
		return nil
	}
	governs, err := versionOf(all, trigger, "")
	if err != nil {
		return usageError{fmt.Errorf("%w; make one of the file with `flowgate flow import`", err)}
	}
	if i.base != "" && governs.Version != i.base {
		return fmt.Errorf("%s: the file was made from version %.40q, and %s is %s by now: see what differs with `flowgate flow diff`", trigger, i.base, governs.Version, governs.State)
	}
	return nil
}

// submitted asks for the approval of those that are drafts, and notes it in the results.
func (i *agreementImport) submitted(cmd *cobra.Command, c *client, results []importedAgreement, change flow.Change) error {
	change.Act = flow.ActSubmit
	changed, err := c.editAgreements(cmd.Context(), func(all []flow.Entry, now time.Time) (submitted []flow.Entry, err error) {
		change.At = now.UTC()
		for _, r := range results {
			if r.State != flow.StateDraft {
				continue
			}
			e, err := flow.Edit(all, r.Trigger, r.Version, change)
			if err != nil {
				return nil, err
			}
			submitted = append(submitted, e...)
		}
		return submitted, nil
	})
	for _, e := range changed {
		for j := range results {
			if results[j].Trigger == e.Trigger && results[j].Version == e.Version {
				results[j].State = e.State
			}
		}
	}
	if err != nil && len(changed) == 0 {
		return fmt.Errorf("the drafts are written, and not submitted: %w", err)
	}
	return err
}

func (i *agreementImport) show(w io.Writer, g *globals, results []importedAgreement) error {
	if g.json {
		return printJSON(w, map[string]any{"agreements": results, "dry_run": i.dryRun})
	}
	out, fresh, review := &lines{w: w}, 0, 0
	for _, r := range results {
		word := "written, it is " + standingText(agreementShown{StateNow: r.State})
		switch {
		case r.Unchanged && r.State == flow.StateReview && i.submit:
			word = "it is " + standingText(agreementShown{StateNow: r.State})
		case r.Unchanged:
			word = "unchanged, it is " + standingText(agreementShown{StateNow: r.State})
		case i.dryRun:
			word = "it would be written as a draft"
		}
		if !r.Unchanged {
			fresh++
		}
		if r.State == flow.StateReview {
			review++
		}
		out.print("%s version %s: %s\n", printable(r.Trigger), printable(r.Version), word)
		if i.edit && !r.Unchanged {
			r.Diff.print(out)
		}
	}
	switch {
	case i.dryRun:
		out.print("%d agreements, %d would be written; nothing was changed\n", len(results), fresh)
	case review > 0:
		out.print("%d agreements, %d written; another person approves each with: flowgate flow approve TRIGGER --reason …\n", len(results), fresh)
	default:
		out.print("%d agreements, %d written\n", len(results), fresh)
	}
	return out.err
}

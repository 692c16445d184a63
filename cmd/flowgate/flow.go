package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/flow"
	"flowgate/worker/postgres"
)

func newFlow(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "flow", Short: "Write, approve, suspend and show the FLOW agreements that requests run under",
		Long: "A FLOW agreement is a pre-approved operation with a trigger, an owner and limits. Its versions are in Postgres: one is written as a\n" +
			"draft, submitted, and approved by another person than its author; it takes the place of the version before it, in every process\n" +
			"within a second. At most one version of an agreement is in force, approved or suspended. The file of flowgate.agreements_file, or the\n" +
			"one that ships, only seeds triggers that nobody has written.\n\n" +
			"TRIGGER is the exact trigger, or words that mean one agreement alone, such as cost analysis for [Cost Analysis].",
		Example: "  flowgate flow list\n  flowgate flow new \"[Board Summary]\"\n  flowgate flow import board-summary.yaml --submit --reason \"plan of 2026\"\n" +
			"  flowgate flow approve \"[Board Summary]\" --reason \"ticket 4711\" --by maria",
	}
	cmd.AddCommand(newFlowList(g), newFlowShow(g), newFlowMatch(g), newFlowDiff(g), newFlowHistory(g), newFlowNew(g), newFlowImport(g), newFlowEdit(g),
		newFlowRun(g), newFlowActions(g), newFlowTest(g))
	for _, a := range flowActs() {
		cmd.AddCommand(newFlowAct(g, a))
	}
	return cmd
}

// agreementShown is a version of an agreement with its state by the clock.
type agreementShown struct {
	flow.Entry

	// StateNow is the state, or expired.
	StateNow flow.State `json:"state_now"`
}

func shownNow(e flow.Entry, now time.Time) agreementShown { return agreementShown{e, e.StateAt(now)} }

// agreementListed is an agreement: its version in force, or its newest.
type agreementListed struct {
	agreementShown

	// Pending are versions that are drafts or in review.
	Pending []pendingVersion `json:"pending"`
}

type pendingVersion struct {
	Version string     `json:"version"`
	State   flow.State `json:"state"`
}

func listedAgreements(all []flow.Entry, now time.Time) []agreementListed {
	listed := []agreementListed{}
	for _, e := range flow.Governing(all) {
		l := agreementListed{shownNow(e, now), []pendingVersion{}}
		for _, v := range all {
			if v.Trigger == e.Trigger && v.Version != e.Version && (v.State == flow.StateDraft || v.State == flow.StateReview) {
				l.Pending = append(l.Pending, pendingVersion{v.Version, v.State})
			}
		}
		listed = append(listed, l)
	}
	return listed
}

// agreementStates are those that list knows.
func agreementStates() []flow.State {
	return []flow.State{flow.StateDraft, flow.StateReview, flow.StateApproved, flow.StateSuspended, flow.StateExpired, flow.StateRetired}
}

func newFlowList(g *globals) *cobra.Command {
	state := ""
	cmd := &cobra.Command{
		Use: "list", Short: "List the agreements: one line each, or every version in a state", Args: cobra.NoArgs,
		Long: "Lists the version of each agreement that is in force, or its newest where none is; PENDING has those that are drafts or wait for\n" +
			"their approval. With --in it lists every version in that state instead.",
		Example: "  flowgate flow list\n  flowgate flow list --in review\n  flowgate flow list --in expired --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state != "" && !slices.Contains(agreementStates(), flow.State(state)) {
				return usageError{fmt.Errorf("flag --in: %.40q is no state; use %s", state, listed(agreementStates()))}
			}
			all, err := g.agreements(cmd.Context())
			if err != nil {
				return err
			}
			now := time.Now()
			agreements := listedAgreements(all, now)
			if state != "" {
				agreements = []agreementListed{}
				for _, e := range all {
					if s := shownNow(e, now); s.StateNow == flow.State(state) {
						agreements = append(agreements, agreementListed{s, []pendingVersion{}})
					}
				}
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), agreements)
			}
			rows := make([][]string, len(agreements))
			for i, a := range agreements {
				pending := make([]string, len(a.Pending))
				for j, p := range a.Pending {
					pending[j] = p.Version + " " + string(p.State)
				}
				rows[i] = []string{
					a.Trigger, a.Version, string(a.StateNow), orDash(a.Owner), orDash(a.Approver), boundText(a.ValidUntil), limitsOfAgreement(a.Limits), orDash(strings.Join(pending, ", ")),
				}
			}
			return table(cmd.OutOrStdout(), "TRIGGER VERSION STATE OWNER APPROVER VALID_UNTIL LIMITS PENDING", rows)
		},
	}
	cmd.Flags().StringVar(&state, "in", "", "every version in a `state`: draft, review, approved, suspended, expired or retired")
	return cmd
}

// boundText is a bound of validity.
func boundText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// limitsOfAgreement says in a line how often an agreement runs, and for how much.
func limitsOfAgreement(l flow.Limits) string {
	var parts []string
	if l.CallsDay > 0 {
		parts = append(parts, fmt.Sprintf("%d calls/day", l.CallsDay))
	}
	for _, m := range []struct {
		micro int64
		per   string
	}{{l.RequestMicroUSD, "request"}, {l.DayMicroUSD, "day"}, {l.MonthMicroUSD, "month"}} {
		if m.micro > 0 {
			parts = append(parts, "$"+configs.Dollars(m.micro).String()+"/"+m.per)
		}
	}
	return orDash(strings.Join(parts, ", "))
}

// agreements are all versions of all agreements, out of the database.
func (g *globals) agreements(ctx context.Context) ([]flow.Entry, error) {
	db, err := g.openDirectory(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return db.Agreements(ctx)
}

// withAgreements gives a question the database and all versions of all agreements.
func (g *globals) withAgreements(ctx context.Context, ask func(db *postgres.DB, all []flow.Entry) error) error {
	db, err := g.openDirectory(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	all, err := db.Agreements(ctx)
	if err != nil {
		return err
	}
	return ask(db, all)
}

// triggerOf finds the trigger that an argument names: exactly, or by words that mean one agreement. Its error, the caller's fault, names
// those that come near.
func triggerOf(all []flow.Entry, arg string) (string, error) {
	if slices.ContainsFunc(all, func(e flow.Entry) bool { return e.Trigger == arg }) {
		return arg, nil
	}
	book, err := flow.Bind(flow.Governing(all))
	if err != nil {
		return "", err
	}
	m := book.Match(arg)
	if m.Trigger != "" {
		return m.Trigger, nil
	}
	near := make([]string, len(m.Candidates))
	for i, c := range m.Candidates {
		near[i] = fmt.Sprintf("%s (%.2f of %.2f)", c.Trigger, c.Confidence, c.Threshold)
	}
	switch {
	case m.Ambiguous:
		err = fmt.Errorf("%.80q may mean several agreements: name one of %s", arg, strings.Join(near, ", "))
	case len(near) > 0:
		err = fmt.Errorf("%w: %.80q; near it are %s", flow.ErrUnknown, arg, strings.Join(near, ", "))
	default:
		err = fmt.Errorf("%w: %.80q; `flowgate flow list` lists them", flow.ErrUnknown, arg)
	}
	return "", usageError{err}
}

// versionsOf are the versions of an agreement, what was changed last first.
func versionsOf(all []flow.Entry, trigger string) []flow.Entry {
	versions := slices.DeleteFunc(slices.Clone(all), func(e flow.Entry) bool { return e.Trigger != trigger })
	slices.SortStableFunc(versions, func(a, b flow.Entry) int { return int(b.Revision - a.Revision) })
	return versions
}

// versionOf is a version of an agreement by its name, or the one that governs where none is named.
func versionOf(all []flow.Entry, trigger, version string) (flow.Entry, error) {
	for _, e := range all {
		if e.Trigger == trigger && e.Version == version {
			return e, nil
		}
	}
	if version != "" {
		names := []string{}
		for _, e := range versionsOf(all, trigger) {
			names = append(names, e.Version)
		}
		return flow.Entry{}, usageError{fmt.Errorf("%w: %s has no version %.40q; it has %s", flow.ErrUnknown, trigger, version, strings.Join(names, ", "))}
	}
	for _, e := range flow.Governing(all) {
		if e.Trigger == trigger {
			return e, nil
		}
	}
	return flow.Entry{}, usageError{fmt.Errorf("%w: %s", flow.ErrUnknown, trigger)}
}

// ofCaller makes errors usage errors that are the caller's fault.
func ofCaller(err error) error {
	if errors.Is(err, flow.ErrUnknown) || errors.Is(err, flow.ErrWhich) {
		return usageError{err}
	}
	return err
}

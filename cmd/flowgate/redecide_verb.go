package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/postgres"
)

func newAuditRedecide(g *globals) *cobra.Command {
	filter, would, until := filterFlags{}, proposalFlags{}, ""
	cmd := &cobra.Command{
		Use: "redecide [ID]", Short: "Make recorded decisions again, as they were or as they would be", Args: cobra.MaximumNArgs(1),
		Long: "Makes the decisions of layer 1 again, out of the record alone: of one request, or of all of a tenant (--tenant) that ended in\n" +
			"a window. As it is, each is decided by the settings and the policy that decided it, and must come out the same to the last\n" +
			"field. With other rules, prices, settings or limits it tells what they would have changed, before anybody puts them in force.\n" +
			"What was granted, paused, cancelled and refused by a limit on requests or tokens is taken as it was; limits of days and months\n" +
			"are played again over the window in the order of decisions. It covers one tenant, reads Postgres and needs no broker. Exit\n" +
			"code 1: something is or would be decided otherwise, or cannot be decided again.",
		Example: "  flowgate audit redecide invoice-4711\n  flowgate audit redecide --since 24h\n" +
			"  flowgate audit redecide --since 720h --policy policy.yaml --prices prices.json --limit-day 20 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := would.read()
			if err != nil {
				return err
			}
			f, err := filter.filter(g)
			if err == nil && until != "" {
				f.Until, err = ago("until", until)
			}
			if err == nil {
				err = checkWindow(f, len(args) == 1, time.Now())
			}
			if err != nil {
				return err
			}
			settings, err := g.load()
			if err != nil {
				return err
			}
			db, err := g.reachDatabase(cmd.Context(), settings)
			if err != nil {
				return environmentError{err}
			}
			defer db.Close()
			if len(args) == 1 {
				f.ID = args[0]
				return g.redecideOne(cmd.Context(), cmd.OutOrStdout(), db, f, c)
			}
			report, err := redecide(cmd.Context(), db, f, c)
			if err != nil {
				return err
			}
			if g.json {
				return verdict(printJSON(cmd.OutOrStdout(), report), report.good())
			}
			return verdict(report.write(cmd.OutOrStdout(), c.any()), report.good())
		},
	}
	filter.bind(cmd)
	filter.window(cmd)
	cmd.Flags().StringVar(&until, "until", "", "only older ones: a `time` (RFC 3339) or an age such as 1h")
	would.bind(cmd)
	return cmd
}

// checkWindow refuses a window that can have no request, and one beside the name of a request.
func checkWindow(f postgres.Filter, named bool, now time.Time) error {
	switch {
	case named && !f.Since.IsZero():
		return usageError{errors.New("flag --since is for a window: leave it out, or the ID")}
	case named && !f.Until.IsZero():
		return usageError{errors.New("flag --until is for a window: leave it out, or the ID")}
	case named:
		return nil
	case f.Since.IsZero():
		return usageError{errors.New("name a request, or a window with --since")}
	case f.Since.After(now):
		return usageError{errors.New("flag --since must be in the past: nothing has ended since then")}
	case !f.Until.IsZero() && !f.Until.Truncate(time.Millisecond).After(f.Since): // two equal ages are read one after the other
		return usageError{errors.New("flag --until must be later than --since: nothing ends in between")}
	}
	return nil
}

func (r *redecision) write(w io.Writer, changed bool) error {
	var err error
	say := func(format string, a ...any) {
		_, wrong := fmt.Fprintf(w, format+"\n", a...)
		err = errors.Join(err, wrong)
	}
	if r.Requests == 0 {
		say("0 requests of tenant %s ended in this window%s", r.Tenant, map[bool]string{true: " with this --status, --reason or --user"}[r.chosen])
		return err
	}
	if !changed {
		say("%d requests of tenant %s: %d decided the same again, %d not, %d not recomputable", r.Requests, r.Tenant, r.Same, r.NotReproduced, r.NotRecomputable)
	} else {
		say("%d requests of tenant %s: %d as before, %d would be denied (they cost %s), %d would pass, %d otherwise, %d would have waited for money, %d not recomputable",
			r.Requests, r.Tenant, r.Same, r.Denied, dollars(r.DeniedMicroUSD), r.Passed, r.Otherwise, r.Waiting, r.NotRecomputable)
		say("  bounds of one call  %s, would be %s", dollars(r.Was.Bound), dollars(r.Now.Bound))
		say("  reserved            %s, would be %s", dollars(r.Was.Reserved), dollars(r.Now.Reserved))
		say("  cost                %s, would be %s%s", dollars(r.Was.Cost), dollars(r.Now.Cost), unpriced(r.Unpriced))
	}
	for _, gap := range slices.Sorted(maps.Keys(r.Causes)) {
		say("  not recomputable    %d: %s", r.Causes[gap], gapText(gap))
	}
	if r.More {
		say("  there are more: these are the newest, see --limit")
	}
	if err != nil || len(r.Examples) == 0 {
		return err
	}
	rows := make([][]string, len(r.Examples))
	for i, e := range r.Examples {
		rows[i] = []string{e.ID, strconv.Itoa(e.Epoch), e.Before, e.After, strings.Join(e.Differ, ", ")}
	}
	return table(w, "ID EPOCH BEFORE AFTER DIFFERS", rows)
}

func unpriced(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d without a price)", n)
}

func gapText(g corporate.Gap) string {
	return string(g) + map[corporate.Gap]string{
		corporate.GapNothing: ": layer 1 decided nothing that is on record", corporate.GapOlder: ": an older version recorded it, without the facts",
		corporate.GapSettings: ": its settings are not kept, or are a newer version's", corporate.GapPolicy: ": its policy is not kept, or is a newer version's",
		corporate.GapText: ": it needs a text that is not kept",
	}[g]
}

// redecidedCheck is one check, as it went and as it goes.
type redecidedCheck struct {
	Name       string `json:"name"`
	Was        string `json:"was"`
	Now        string `json:"now"`
	Detail     string `json:"detail,omitempty"`
	NowDetail  string `json:"now_detail,omitempty"`
	Reproduced bool   `json:"same"`
}

// redecidedEpoch is the decision on one epoch of a request, made again.
type redecidedEpoch struct {
	messages.Key

	Epoch  int              `json:"epoch"`
	Gap    corporate.Gap    `json:"not_recomputable,omitempty"`
	Word   corporate.Again  `json:"decided,omitempty"`
	Was    string           `json:"was,omitempty"`
	Now    string           `json:"now,omitempty"`
	Differ []string         `json:"differ,omitempty"`
	Checks []redecidedCheck `json:"checks"`
}

func (g *globals) redecideOne(ctx context.Context, w io.Writer, db *postgres.DB, f postgres.Filter, c proposal) error {
	if err := messages.CheckKey(messages.Key{Tenant: f.Tenant, ID: f.ID}); err != nil {
		return usageError{err}
	}
	r, err := newRedecider(ctx, db, c)
	if err != nil {
		return err
	}
	decisions, err := db.Decisions(ctx, f)
	if err != nil {
		return err
	}
	if len(decisions) == 0 {
		return fmt.Errorf("no end of %s is recorded for tenant %s; see `flowgate explain %s`", f.ID, f.Tenant, f.ID)
	}
	all := make([]redone, len(decisions))
	for i, d := range decisions {
		all[i] = r.again(d)
	}
	if c.limited() {
		if err := r.rehearse(ctx, db, f.Tenant, all); err != nil {
			return err
		}
	}
	oldestFirst(all)
	good, epochs := true, make([]redecidedEpoch, len(all))
	for i := range all {
		epochs[i] = epochOf(&all[i])
		good = good && all[i].Gap == "" && len(all[i].Differ) == 0 && all[i].Word == corporate.AgainSame
	}
	if g.json {
		return verdict(printJSON(w, epochs), good)
	}
	return verdict(writeEpochs(w, epochs), good)
}

func epochOf(d *redone) redecidedEpoch {
	e := redecidedEpoch{Key: d.Key, Epoch: d.Epoch, Gap: d.Gap, Word: d.Word, Differ: d.Differ, Checks: []redecidedCheck{}}
	if d.Gap != "" {
		return e
	}
	e.Was, e.Now = saidOf(d.Was, d.WasEnd), saidOf(d.Now, d.NowEnd)
	now := make(map[string]messages.Check, len(d.Now.Checks))
	for _, c := range d.Now.Checks {
		now[c.Name] = c
	}
	for _, was := range d.Was.Checks {
		is := now[was.Name]
		delete(now, was.Name)
		e.Checks = append(e.Checks, redecidedCheck{was.Name, was.State, is.State, was.Detail, is.Detail, was == is})
	}
	for _, is := range d.Now.Checks { // those that were not made then
		if _, only := now[is.Name]; only {
			e.Checks = append(e.Checks, redecidedCheck{is.Name, "", is.State, "", is.Detail, false})
		}
	}
	return e
}

func writeEpochs(w io.Writer, epochs []redecidedEpoch) error {
	for _, e := range epochs {
		if e.Gap != "" {
			if _, err := fmt.Fprintf(w, "%s of tenant %s, epoch %d: not recomputable, %s\n", e.ID, e.Tenant, e.Epoch, gapText(e.Gap)); err != nil {
				return err
			}
			continue
		}
		text := fmt.Sprintf("%s of tenant %s, epoch %d: was %s, is %s (%s)", e.ID, e.Tenant, e.Epoch, e.Was, e.Now, e.Word)
		if len(e.Differ) > 0 {
			text += ", differs in " + strings.Join(e.Differ, ", ")
		}
		if _, err := fmt.Fprintln(w, printable(text)); err != nil {
			return err
		}
		rows := make([][]string, len(e.Checks))
		for i, c := range e.Checks {
			mark, detail := "", c.Detail
			if !c.Reproduced {
				mark = "otherwise"
				detail = strings.Trim(c.Detail+" -> "+c.NowDetail, " ")
			}
			rows[i] = []string{c.Name, orDash(c.Was), orDash(c.Now), mark, detail}
		}
		if err := table(w, "CHECK THEN NOW DIFFERS DETAIL", rows); err != nil {
			return err
		}
	}
	return nil
}

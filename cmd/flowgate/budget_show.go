package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/corporate"
	"flowgate/worker/control"
	"flowgate/worker/postgres"
)

// window is a day or a month of a budget, as it stands. Amounts are in micro-dollars.
type window struct {
	Kind   corporate.BudgetKind `json:"kind"`
	Name   string               `json:"name"`
	Window string               `json:"window"`
	From   time.Time            `json:"from"`
	To     time.Time            `json:"to"`
	// Limit is what may be spent in it; 0: there is none.
	Limit    int64 `json:"limit_microusd"`
	Spent    int64 `json:"spent_microusd"`
	Reserved int64 `json:"reserved_microusd"`
	// Left is what nobody has taken yet.
	Left int64 `json:"left_microusd"`
	// Used is the part of the limit that is spent or held, in percent.
	Used float64 `json:"used_percent"`
	// Alerts are the marks of this limit that were passed, as the record has them.
	Alerts []markPassed `json:"alerts"`
	// Forecast is what will be spent at its end if it goes on as it did.
	Forecast int64 `json:"forecast_microusd"`
	// Exhausted is when the limit is reached then; absent where it is not within the window.
	Exhausted *time.Time `json:"exhausted,omitempty"`
}

// markPassed is a mark, in percent of the limit, that what is spent has passed.
type markPassed struct {
	Mark float64   `json:"mark_percent"`
	At   time.Time `json:"at"`
}

// marks are the words of a window's alerts.
func (w *window) marks() string {
	if len(w.Alerts) == 0 {
		return "-"
	}
	words := make([]string, len(w.Alerts))
	for i, m := range w.Alerts {
		words[i] = strconv.FormatFloat(m.Mark, 'g', -1, 64) + " %"
	}
	return strings.Join(words, ", ")
}

func newBudgetShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show [KIND [NAME]]", Short: "Show budgets, and what of them is spent and held today and this month", Args: cobra.RangeArgs(0, 2),
		Example: "  flowgate budget show\n  flowgate budget show user anna --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			windows, err := g.windows(cmd, args)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), windows)
			}
			rows := make([][]string, len(windows))
			for i, w := range windows {
				rows[i] = []string{string(w.Kind), printable(w.Name), w.Window, limitText(w.Limit), dollars(w.Spent), dollars(w.Reserved), dollars(w.Left), fmt.Sprintf("%.1f %%", w.Used), w.marks()}
			}
			return table(cmd.OutOrStdout(), "KIND NAME WINDOW LIMIT SPENT HELD LEFT USED ALERTS", rows)
		},
	}
}

func newBudgetForecast(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "forecast [KIND [NAME]]", Short: "Tell what will be spent at the end of day and month, if it goes on as it did", Args: cobra.RangeArgs(0, 2),
		Long: "Extends what was spent since the beginning of each day and month evenly to its end. What is held by open requests is not\n" +
			"counted. Exit code 1: a limit would be reached.",
		Example: "  flowgate budget forecast\n  flowgate budget forecast tenant --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			windows, err := g.windows(cmd, args)
			if err != nil {
				return err
			}
			enough := !slices.ContainsFunc(windows, func(w window) bool { return w.Exhausted != nil })
			if g.json {
				return verdict(printJSON(cmd.OutOrStdout(), windows), enough)
			}
			rows := make([][]string, len(windows))
			for i, w := range windows {
				when := "-"
				if w.Exhausted != nil {
					when = clock(*w.Exhausted)
				}
				rows[i] = []string{string(w.Kind), printable(w.Name), w.Window, limitText(w.Limit), dollars(w.Spent), dollars(w.Forecast), when}
			}
			return verdict(table(cmd.OutOrStdout(), "KIND NAME WINDOW LIMIT SPENT FORECAST EXHAUSTED", rows), enough)
		},
	}
}

// windows are the days and months of the budgets that are asked for: of those that were set, of the settings' own, and of each
// who has spent in a budget of everybody.
func (g *globals) windows(cmd *cobra.Command, args []string) ([]window, error) {
	kind, name := corporate.BudgetKind(""), ""
	if len(args) > 0 {
		if kind = corporate.BudgetKind(args[0]); !kind.Known() {
			return nil, usageError{fmt.Errorf("%.40q is no kind of budget; use tenant, department, user or agreement", args[0])}
		}
	}
	if len(args) > 1 {
		name = args[1]
	}
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	c, err := reach(cmd.Context(), g, true)
	if err != nil {
		return nil, err
	}
	defer c.close()
	budgets, err := control.ListBudgets(cmd.Context(), c.js, g.tenant)
	if err != nil {
		return nil, bucketError(err)
	}
	now := time.Now().In(settings.Flowgate.Location())
	all := []window{}
	for _, at := range []period{dayOf(now), monthOf(now)} {
		spent, err := c.db.SpentOver(cmd.Context(), at.suffix, 0, mostSpent)
		if err != nil {
			return nil, err
		}
		passed, err := passedMarks(cmd.Context(), c.db, at.suffix)
		if err != nil {
			return nil, err
		}
		for _, w := range windowsOf(g.tenant, budgets, settings.CostOptimization.InForce(), spent, at.suffix, now) {
			if kind != "" && w.Kind != kind || name != "" && w.Name != name {
				continue
			}
			w.Window, w.From, w.To = at.word, at.from, at.to
			w.Alerts = append([]markPassed{}, passed[passing{scope: corporate.ScopeName(g.tenant, w.Kind, w.Name) + at.suffix, limit: w.Limit}]...)
			w.reckon(now)
			all = append(all, w)
		}
	}
	return all, nil
}

// passedMarks are the marks on record of a day or month, by scope and limit.
func passedMarks(ctx context.Context, db *postgres.DB, suffix string) (map[passing][]markPassed, error) {
	alerts, err := db.Alerts(ctx, suffix, mostSpent)
	if err != nil {
		return nil, err
	}
	passed := make(map[passing][]markPassed)
	for _, a := range alerts {
		of := passing{scope: a.Scope, limit: a.Limit}
		passed[of] = append(passed[of], markPassed{a.Mark, a.At})
	}
	return passed, nil
}

// mostSpent bounds how many scopes of money are looked at.
const mostSpent = 10_000

// The words of windows.
const (
	dayWord   = "day"
	monthWord = "month"
)

// period is a day or a month of the calendar.
type period struct {
	word, suffix string
	from, to     time.Time
}

func dayOf(now time.Time) period {
	return period{dayWord, corporate.DayWindow(now), dawn(now, now.Month(), now.Day()), dawn(now, now.Month(), now.Day()+1)}
}

func monthOf(now time.Time) period {
	return period{monthWord, corporate.MonthWindow(now), dawn(now, now.Month(), 1), dawn(now, now.Month()+1, 1)}
}

// dawn is the first moment of a day. Where clocks are put forward at midnight there is none: then time.Date may tell one of the day
// before, as long before midnight as they are put forward.
func dawn(of time.Time, month time.Month, day int) time.Time {
	at := time.Date(of.Year(), month, day, 0, 0, 0, 0, of.Location())
	if hour, minute, second := at.Clock(); hour >= 12 {
		return at.Add(24*time.Hour - time.Duration(hour*3600+minute*60+second)*time.Second)
	}
	return at
}

// windowsOf joins budgets and what was spent in one window of the calendar.
func windowsOf(tenant string, budgets []control.Budget, limits configs.CostLimits, spent []postgres.Spent, suffix string, now time.Time) []window {
	day := strings.HasPrefix(suffix, ":day:")
	limit := func(l corporate.Limits) int64 {
		if day {
			return l.Day
		}
		return l.Month
	}
	of := map[control.BudgetKey]corporate.Limits{{Tenant: tenant, Kind: corporate.BudgetTenant, Name: control.Everybody}: {
		Day: limits.DailyLimit.MicroUSD(), Month: limits.MonthlyLimit.MicroUSD(),
	}}
	for _, b := range budgets {
		l, settings := b.Limits(now), of[b.BudgetKey] // of the tenant
		l.Day, l.Month = cmp.Or(l.Day, settings.Day), cmp.Or(l.Month, settings.Month)
		of[b.BudgetKey] = l
	}
	seen := map[control.BudgetKey]bool{}
	var all []window
	add := func(k control.BudgetKey, s postgres.Spent) {
		own, has := of[k]
		if !has {
			own = of[control.BudgetKey{Tenant: tenant, Kind: k.Kind, Name: control.Everybody}]
		}
		w := window{Kind: k.Kind, Name: k.Name, Limit: limit(own), Spent: s.Settled, Reserved: s.Reserved}
		if k.Kind == corporate.BudgetTenant {
			w.Name = tenant
		}
		if !seen[k] && (w.Limit > 0 || s.Settled+s.Reserved > 0) {
			seen[k] = true
			all = append(all, w)
		}
	}
	for _, s := range spent {
		of, kind, name, ok := corporate.ReadScope(strings.TrimSuffix(s.Scope, suffix))
		if ok && of == tenant {
			add(control.BudgetKey{Tenant: tenant, Kind: kind, Name: cmp.Or(name, control.Everybody)}, s)
		}
	}
	for k := range of {
		if k.Name != control.Everybody || k.Kind == corporate.BudgetTenant {
			add(k, postgres.Spent{})
		}
	}
	kinds := corporate.BudgetKinds()
	slices.SortFunc(all, func(a, b window) int {
		if a.Kind != b.Kind {
			return slices.Index(kinds, a.Kind) - slices.Index(kinds, b.Kind)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

// reckon fills in what follows from the amounts.
func (w *window) reckon(now time.Time) {
	w.Left = max(0, w.Limit-w.Spent-w.Reserved)
	if w.Limit > 0 {
		w.Used = float64(w.Spent+w.Reserved) / float64(w.Limit) * 100
	}
	gone, whole := now.Sub(w.From).Seconds(), w.To.Sub(w.From).Seconds()
	if gone <= 0 {
		w.Forecast = w.Spent
		return
	}
	w.Forecast = int64(float64(w.Spent) / gone * whole)
	if w.Limit > 0 && w.Forecast >= w.Limit {
		at := w.From.Add(time.Duration(float64(w.Limit) / float64(w.Spent) * gone * float64(time.Second)))
		if at.Before(now) {
			at = now
		}
		w.Exhausted = &at
	}
}

package main

import (
	"fmt"
	"strconv"

	"flowgate/worker/actions"
)

// showCosts shows who spent what on which models, and what would have been saved.
func showCosts(r *report, c *actions.CostReport) {
	r.window(c.Window)
	r.line("cost", "%s for %d requests: %s each, with a spread of %s", dollars(c.CostMicroUSD), c.Requests, meanDollars(c.MeanMicroUSD), meanDollars(c.SpreadMicroUSD))
	s := c.Savings
	r.line("saved", "%s by the cache, which answered %d", dollars(s.CachedMicroUSD), s.CachedRequests)
	r.line("paid", "%s for %d that were the same to the last byte as others before", dollars(s.PaidAgainMicroUSD), s.PaidAgainRequests)
	for _, by := range []struct {
		title  string
		shares []actions.CostShare
	}{{"MODEL", c.ByModel}, {"USER", c.ByUser}, {"DEPARTMENT", c.ByDepartment}, {"DAY", c.ByDay}} {
		rows := make([][]string, len(by.shares))
		for i, s := range by.shares {
			rows[i] = []string{named(s.Name), strconv.FormatInt(s.Requests, 10), dollars(s.CostMicroUSD), share(s.Share), strconv.FormatInt(s.TokensIn, 10), strconv.FormatInt(s.TokensOut, 10)}
		}
		r.table(by.title+" REQUESTS COST SHARE TOKENS_IN TOKENS_OUT", rows, "", nil)
	}
	rows, notes := make([][]string, len(s.CheaperModels)), make([]string, len(s.CheaperModels))
	for i, m := range s.CheaperModels {
		rows[i] = []string{named(m.Model), dollars(m.CostMicroUSD), timesText(m.Times), dollars(m.WouldCost), dollars(m.Saves)}
		notes[i] = "instead: " + m.Instead
	}
	r.table("DEARER COST TIMES WOULD_COST SAVES", rows, "", notes)
	if len(rows) > 0 {
		r.write("\n")
		r.line("models", "%s", s.Note)
	}
}

// meanDollars is a mean of micro-dollars.
func meanDollars(micro float64) string { return fmt.Sprintf("$%.6f", micro/1e6) }

// timesText is how many times as much something is; 0: nobody can say.
func timesText(times float64) string {
	if times == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fx", times)
}

// showErrors shows what failed, by whose fault and where.
func showErrors(r *report, e *actions.ErrorReport) {
	r.window(e.Window)
	r.line("calls", "%d of %d failed: %d attempts, and %d that were repeated within theirs", e.FailedAttempts+e.RetriedCalls, e.Attempts+e.RetriedCalls, e.FailedAttempts, e.RetriedCalls)
	r.line("requests", "%d of %d did not succeed, %d are dead letters", e.FailedRequests, e.Requests, e.DeadLetters)
	row := func(g actions.ErrorGroup, names ...string) []string {
		return append(names, strconv.FormatInt(g.Count, 10), share(g.Share), trendText(g.Trend), dollars(g.ChargedMicroUSD), g.Last.UTC().Format("2006-01-02 15:04:05"))
	}
	const figures = " SHARE TREND CHARGED LAST"
	classes := make([][]string, len(e.ByClass))
	for i, g := range e.ByClass {
		classes[i] = row(g, named(g.Name), named(g.Backend))
	}
	r.table("CLASS BACKEND CALLS"+figures, classes, "", nil)
	for _, by := range []struct {
		title  string
		groups []actions.ErrorGroup
	}{{"BACKEND CALLS", e.ByBackend}, {"LAYER REQUESTS", e.ByLayer}, {"REASON REQUESTS", e.ByReason}} {
		rows, notes := make([][]string, len(by.groups)), make([]string, len(by.groups))
		for i, g := range by.groups {
			rows[i], notes[i] = row(g, named(g.Name)), g.Next
		}
		r.table(by.title+figures, rows, "", notes)
	}
}

// trendText is how the second half of the window compares with the first: nothing there, it is new.
func trendText(trend *float64) string {
	if trend == nil {
		return "new"
	}
	return fmt.Sprintf("%.2fx", *trend)
}

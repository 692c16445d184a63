package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/control"
	"flowgate/worker/postgres"
)

func TestBudgetsBoundWhoseRequestsTheyAre(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()
	submit := func(id string, more ...string) messages.Result {
		t.Helper()
		var r messages.Result
		args := append([]string{"submit", "--id", id, "--reason", "a test of budgets", "--model", "claude-3-haiku", "--max-tokens", "1000", "--wait", "--json"}, more...)
		g.say(append(args, "Say OK")...).read(t, &r)
		return r
	}
	// A call is bounded at some $0.0013, two of them are held.
	g.say("budget", "set", "user", "anna", "--day", "0.001", "--reason", "little", "--by", "ops").wants(t, exitDone, "user anna may spend no limit a request, $0.001 a day, no limit a month: little")
	g.say("budget", "set", "department", "hr", "--month", "0.001", "--reason", "little").wants(t, exitDone)
	g.say("budget", "set", "user", "*", "--request", "0.0001", "--reason", "little").wants(t, exitDone)
	for id, c := range map[string]struct {
		user, department string
		reason           messages.Reason
	}{
		"anna": {"anna", "it", messages.ReasonLimitUser}, "bob": {"bob", "it", messages.ReasonLimitRequest}, "hr": {"anna", "hr", messages.ReasonLimitDepartment},
	} {
		tries := 0
		eventually(t, id+" is bounded", func() bool {
			tries++
			r := submit(fmt.Sprintf("%s-%d", id, tries), "--user", c.user, "--department", c.department)
			return r.Status == messages.StatusDenied && r.Reason == c.reason
		})
	}
	g.say("budget", "raise", "user", "anna", "--day", "1", "--until", "+1h", "--approver", "ops", "--by", "ops", "--reason", "x").wants(t, exitUsage, "another person")
	g.say("budget", "raise", "user", "anna", "--day", "1", "--until", "+1h", "--approver", "maria", "--by", "ops", "--reason", "quarter").wants(t, exitDone, "$1.00 a day")
	tries := 0
	eventually(t, "anna may again", func() bool {
		tries++
		return submit(fmt.Sprintf("raised-%d", tries), "--user", "anna", "--department", "it").Status == messages.StatusSuccess
	})
	eventually(t, "it is settled", func() bool { return g.say("audit", "check").code == exitDone })
	var windows []window
	g.say("budget", "show", "user", "anna", "--json").read(t, &windows)
	if len(windows) != 1 || windows[0].Window != "day" || windows[0].Limit != 1_000_000 || windows[0].Spent == 0 || windows[0].Reserved != 0 {
		t.Errorf("shown %+v", windows)
	}
	g.say("budget", "show").wants(t, exitDone, "tenant", "department  hr", "anna")
	g.say("budget", "clear", "user", "*", "--reason", "a test").wants(t, exitDone, "has no budget any more")
	tries = 0
	eventually(t, "bob may", func() bool {
		tries++
		return submit(fmt.Sprintf("free-%d", tries), "--user", "bob").Status == messages.StatusSuccess
	})
	for _, bad := range []string{
		"set user anna --day -1", "set user anna --day NaN", "set user anna --day 1e9", "set user anna", "set team x --day 1", "set user --day 1",
		"set tenant other --day 1", "set agreement [Nonsense] --day 1", "set user anna --day 99999999999", "raise user anna --day 5",
	} {
		g.say(append(append([]string{"budget"}, strings.Fields(bad)...), "--reason", "a test")...).wants(t, exitUsage)
	}
	g.say("budget", "set", "agreement", "[Cost Analysis]", "--day", "1", "--reason", "a test").wants(t, exitDone)
	up.stop()
}

func TestForecastsFollowTheCalendar(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// The day on which summer begins has 23 hours.
	now := time.Date(2026, 3, 29, 12, 30, 0, 0, berlin)
	d := dayOf(now)
	if hours := d.to.Sub(d.from).Hours(); hours != 23 || d.suffix != ":day:2026-03-29" {
		t.Errorf("the day is %v with %s", hours, d.suffix)
	}
	w := window{Limit: 100, Spent: 50, From: d.from, To: d.to}
	w.reckon(now)
	if w.Forecast != 100 || w.Exhausted == nil || w.Left != 50 || w.Used != 50 {
		t.Errorf("half of the day: %+v", w)
	}
	w = window{Limit: 101, Spent: 50, From: d.from, To: d.to}
	if w.reckon(now); w.Forecast != 100 || w.Exhausted != nil {
		t.Errorf("below the limit: %+v", w)
	}
	w = window{Spent: 7, From: now, To: d.to}
	if w.reckon(now); w.Forecast != 7 || w.Exhausted != nil {
		t.Errorf("at its beginning: %+v", w)
	}
	if m := monthOf(now); m.from.Day() != 1 || m.to.Month() != time.April || m.suffix != ":month:2026-03" {
		t.Errorf("the month is %+v", m)
	}
}

func TestWindowsAreOfBudgetsSettingsAndWhoSpent(t *testing.T) {
	key := func(kind corporate.BudgetKind, name string) control.BudgetKey {
		return control.BudgetKey{Tenant: "acme", Kind: kind, Name: name}
	}
	budgets := []control.Budget{{BudgetKey: key(corporate.BudgetUser, "anna"), Day: 5}, {BudgetKey: key(corporate.BudgetUser, control.Everybody), Day: 3}, {BudgetKey: key(corporate.BudgetDepartment, "hr"), Month: 9}}
	spent := []postgres.Spent{
		{Scope: "tenant:acme:day:2026-01-31", Settled: 8},
		{Scope: "user:acme/bob:c/d:day:2026-01-31", Settled: 2, Reserved: 1},
		{Scope: "tenant:other:day:2026-01-31", Settled: 8},
		{Scope: "user:other/x:day:2026-01-31", Settled: 1},
	}
	var got []string
	for _, w := range windowsOf("acme", budgets, configs.CostLimits{DailyLimit: 100}, spent, ":day:2026-01-31", noon) {
		got = append(got, fmt.Sprintf("%s %s %d %d", w.Kind, w.Name, w.Limit, w.Spent))
	}
	if want := []string{"tenant acme 100 8", "user anna 5 0", "user bob:c/d 3 2"}; !slices.Equal(got, want) {
		t.Errorf("got %s", strings.Join(got, ", "))
	}
}

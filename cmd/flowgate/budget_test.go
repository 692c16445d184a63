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

// TestBudgetsOfNonsenseAreUsageFaults needs no server: nobody is asked.
func TestBudgetsOfNonsenseAreUsageFaults(t *testing.T) {
	t.Parallel()
	dir := stateFolder(t)
	nonsense := []string{
		"-1", "-0", "-0.01", "0", "0.000000", "NaN", "nan", "Inf", "+Inf", "-Inf", "1e9", "1E400", "0x10", "1_000", "1,000", "+5", " 5", "5 ", "$5",
		"5 dollars", "", ".5", "5.", "0.0000001", "1000000000.000001", "1000000001", "99999999999999999999999", "9223372036854.775808", "٥", "½", "null", "true",
	}
	verbs := map[string][]string{
		"set":   {"budget", "set", "user", "anna", "--reason", "a test", "--by", "ops"},
		"raise": {"budget", "raise", "user", "anna", "--until", "+1h", "--approver", "maria", "--by", "ops", "--reason", "a test"},
	}
	flags := []string{"--day", "--month", "--request"}
	for i, value := range nonsense {
		for verb, args := range verbs {
			flag := flags[i%len(flags)]
			if verb == "raise" {
				flag = flags[i%2] // of requests there are no raises
			}
			s := flowgate(t, dir, append(slices.Clone(args), flag+"="+value)...)
			if s.code != exitUsage || !strings.Contains(s.stderr, strings.TrimPrefix(flag, "--")) && value != "" {
				t.Errorf("budget %s %s=%q ended with %d: %s", verb, flag, value, s.code, s.stderr)
			}
		}
	}
	for _, bad := range [][]string{
		{"set", "user", "anna", "--day=none"},
		{"raise", "user", "anna", "--day=none"},
		{"set", "user", ""},
		{"set", "tenant", "other", "--day=1"},
		{"show", "team"},
		{"show", "user", "a", "b"},
		{"forecast", "NaN"},
		{"clear", "-1"},
		{"clear", "user"},
		{"clear", "user", "anna"},
		{"raise", "user", "anna", "--day=5", "--until=NaN"},
		{"raise", "user", "anna", "--day=5", "--until=-1h"},
		{"raise", "user", "anna", "--day=5"},
		{"show", "--day=5"},
		{"set", "user", strings.Repeat("x", 1000), "--day=5"},
	} {
		if s := flowgate(t, dir, append([]string{"budget"}, bad...)...); s.code != exitUsage {
			t.Errorf("budget %.60q ended with %d: %s", bad, s.code, s.stderr)
		}
	}
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

// TestDaysBeginWithTheirFirstMoment also where clocks are put forward or back at midnight: days follow each other without a gap.
func TestDaysBeginWithTheirFirstMoment(t *testing.T) {
	for _, c := range []struct {
		zone, day string
		hours     float64
	}{
		{"America/Santiago", "2026-09-05", 24},
		{"America/Santiago", "2026-09-06", 23},
		{"America/Havana", "2026-03-08", 23},
		{"America/Havana", "2026-11-01", 25},
		{"Africa/Cairo", "2026-04-24", 23},
		{"Africa/Cairo", "2026-10-29", 25},
		{"Asia/Beirut", "2026-03-29", 23},
		{"Europe/Berlin", "2026-10-25", 25},
		{"Australia/Lord_Howe", "2026-10-04", 23.5},
		{"UTC", "2026-10-25", 24},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		noon, err := time.ParseInLocation("2006-01-02 15", c.day+" 12", zone)
		if err != nil {
			t.Fatal(err)
		}
		d := dayOf(noon)
		if got := d.to.Sub(d.from).Hours(); got != c.hours || corporate.DayWindow(d.from) != d.suffix || corporate.DayWindow(d.from.Add(-1)) == d.suffix {
			t.Errorf("%s: %s is from %s to %s, %v hours, want %v", c.zone, c.day, d.from, d.to, got, c.hours)
		}
		if next := dayOf(d.to); !next.from.Equal(d.to) || next.suffix == d.suffix {
			t.Errorf("%s: after %s comes %s", c.zone, d.to, next.from)
		}
		if m := monthOf(noon); corporate.MonthWindow(m.from) != m.suffix || corporate.MonthWindow(m.from.Add(-1)) == m.suffix || !monthOf(m.to).from.Equal(m.to) {
			t.Errorf("%s: the month is from %s to %s", c.zone, m.from, m.to)
		}
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

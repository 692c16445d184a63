package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/control"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// spentLedger is what is spent, and the alerts that a record has.
type spentLedger struct {
	spent  []postgres.Spent
	record []postgres.Alert
}

func (l *spentLedger) Spending(_ context.Context, suffix, after string, limit int) ([]postgres.Spent, error) {
	var page []postgres.Spent
	for _, s := range l.spent { // sorted by name
		if strings.HasSuffix(s.Scope, suffix) && s.Scope > after && len(page) < limit {
			page = append(page, s)
		}
	}
	return page, nil
}

func (l *spentLedger) AlertsOf(context.Context, []string) ([]postgres.Alert, error) {
	return l.record, nil
}

// alertsOf looks after budgets of which nobody set one.
func alertsOf(s configs.Settings, db *spentLedger) *alerting {
	return &alerting{
		settings: s, db: db, log: zap.NewNop(), now: func() time.Time { return noon },
		limits: func(control.BudgetKey, time.Time) (corporate.Limits, bool, error) {
			return corporate.Limits{}, false, nil
		},
		tell: func(context.Context, messages.Event) error { return nil },
	}
}

// TestEveryBudgetThatPassesAMarkIsToldOnce: of every kind, by day and month, against the limits that hold.
func TestEveryBudgetThatPassesAMarkIsToldOnce(t *testing.T) {
	day, month := corporate.DayWindow(noon), corporate.MonthWindow(noon)
	db := &spentLedger{}
	a := alertsOf(configs.Default(), db)
	a.settings.CostOptimization.Limits.DailyLimit = 1000
	core, lines := observer.New(zap.WarnLevel)
	a.log = zap.New(core)
	db.spent = []postgres.Spent{
		{Scope: "agreement:acme/[Cost Analysis]" + day, Settled: 799, Reserved: 500}, // what is held comes back
		{Scope: "department:acme/hr" + month, Settled: 949},
		{Scope: "tenant:acme" + day, Settled: 950},
		{Scope: "tenant:other" + day, Settled: 100},
		{Scope: "user:acme/anna:x/y" + day, Settled: 2000},
		{Scope: "user:acme/bob" + day, Settled: 99_999}, // has no limit
		{Scope: "user:acme/old" + corporate.DayWindow(noon.Add(-48*time.Hour)), Settled: 2000},
	}
	a.limits = func(k control.BudgetKey, _ time.Time) (corporate.Limits, bool, error) {
		if k.Kind == corporate.BudgetTenant || k.Name == "bob" {
			return corporate.Limits{}, false, nil
		}
		return corporate.Limits{Day: 1000, Month: 1000}, true, nil
	}
	var told []string
	down := errors.New("the broker is away")
	a.tell = func(_ context.Context, e messages.Event) error {
		n := e.Alert
		told = append(told, fmt.Sprintf("%s %s %s %s %v of %d", e.Tenant, n.Kind, n.Name, n.Window, n.Mark, n.Limit))
		return down
	}
	look := func(want ...string) {
		t.Helper()
		told = nil
		if err := a.look(t.Context()); err != nil && !errors.Is(err, down) {
			t.Error(err)
		}
		slices.Sort(told)
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	}
	look("acme department hr month 80 of 1000", "acme tenant acme day 80 of 1000") // the first of each window; the broker is away
	down = nil
	all := []string{
		"acme department hr month 80 of 1000", "acme tenant acme day 80 of 1000", "acme tenant acme day 95 of 1000",
		"acme user anna:x/y day 80 of 1000", "acme user anna:x/y day 95 of 1000",
	}
	look(all...)
	look()
	stand, known := a.stand()
	if !known || len(stand.Used) != 4 || len(stand.Alerts) != 5 {
		t.Errorf("it stands at %+v, %t", stand, known)
	}
	for _, u := range stand.Used {
		if want := map[string]float64{"agreement": 0.799, "department": 0.949, "tenant": 0.95, "user": 2}[u.Kind]; u.Ratio != want {
			t.Errorf("the fullest %s budget is at %v, want %v", u.Kind, u.Ratio, want)
		}
	}
	// Another process reads in the record what was told, and a budget that was raised has marks of its own.
	a.told = nil
	for _, s := range db.spent {
		for _, mark := range []float64{80, 95} {
			db.record = append(db.record, postgres.Alert{Scope: s.Scope, Mark: mark, Limit: 1000})
		}
	}
	look()
	a.settings.CostOptimization.Limits.DailyLimit = 1100
	look("acme tenant acme day 80 of 1100")
	for _, l := range lines.All() {
		if text := fmt.Sprint(l.Message, l.ContextMap()); strings.Contains(text, "anna") || strings.Contains(text, "hr") {
			t.Errorf("the log names whose budget it is: %s", text)
		}
	}
	a.now = func() time.Time { return noon.Add(time.Minute) }
	if _, known := a.stand(); known {
		t.Error("what was not looked at for a minute is told")
	}
}

// TestABudgetThatCannotBeReadKeepsNoAlertBack, and yesterday's is told as long as what it held is being settled.
func TestABudgetThatCannotBeReadKeepsNoAlertBack(t *testing.T) {
	midnight := time.Date(2026, 2, 1, 0, 30, 0, 0, time.UTC)
	a := alertsOf(configs.Default(), &spentLedger{spent: []postgres.Spent{
		{Scope: "tenant:acme:day:2026-01-31", Settled: 99_000_000},
		{Scope: "tenant:acme:month:2026-01", Settled: 2_900_000_000},
		{Scope: "user:acme/anna:day:2026-02-01", Settled: 1},
		{Scope: "user:acme/bob:day:2026-02-01", Settled: 10},
	}})
	a.now = func() time.Time { return midnight }
	unreadable := errors.New("the budget of a user cannot be read")
	a.limits = func(k control.BudgetKey, _ time.Time) (corporate.Limits, bool, error) {
		switch k.Name {
		case "anna":
			return corporate.Limits{}, true, unreadable
		case "bob":
			return corporate.Limits{Day: 10}, true, nil
		}
		return corporate.Limits{}, false, nil
	}
	var told []string
	a.tell = func(_ context.Context, e messages.Event) error {
		told = append(told, fmt.Sprint(e.Alert.Scope, " ", e.Alert.Mark))
		return nil
	}
	if err := a.look(t.Context()); !errors.Is(err, unreadable) {
		t.Error(err)
	}
	want := []string{
		"user:acme/bob:day:2026-02-01 80", "user:acme/bob:day:2026-02-01 95", "tenant:acme:day:2026-01-31 80", "tenant:acme:day:2026-01-31 95",
		"tenant:acme:month:2026-01 80", "tenant:acme:month:2026-01 95",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestAlertsStandInTheRecordOnceAndSurviveARestart spends, sets limits that are nearly spent by it, and starts anew.
func TestAlertsStandInTheRecordOnceAndSurviveARestart(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	address := up.ready().HTTPURL
	g.say("budget", "set", "user", "dora", "--day", "1", "--reason", "a test").wants(t, exitDone)
	g.say("budget", "set", "department", "hr", "--month", "1", "--reason", "a test").wants(t, exitDone)
	eventually(t, "it counts in both budgets", func() bool {
		s := g.say("submit", "--reason", "a test of alerts", "--user", "dora", "--department", "hr", "--wait", "Say OK")
		return s.code == exitDone && len(g.scopes()) == 4
	})
	eventually(t, "it is settled", func() bool { return g.say("audit", "check").code == exitDone })
	var user, department int64
	for name, m := range g.scopes() {
		switch {
		case strings.HasPrefix(name, "user:"):
			user = m.settled
		case strings.HasPrefix(name, "department:"):
			department = m.settled
		}
	}
	set := func(kind, name, window string, limit int64) {
		t.Helper()
		g.say("budget", "set", kind, name, "--"+window, fmt.Sprintf("%d.%06d", limit/1_000_000, limit%1_000_000), "--reason", "a test").wants(t, exitDone)
	}
	set("user", "dora", dayWord, user)                          // all of it is spent
	set("department", "hr", monthWord, department+department/9) // 90 %
	const alerts = "SELECT count(*) FROM flowgate.event WHERE kind = 'budget_alert' AND tenant = 'default'"
	eventually(t, "three alerts are on record", func() bool { return g.number(alerts) >= 3 })
	scraped := func() string {
		_, text := fetch(t, address, "/metrics", "")
		return text
	}
	for _, line := range []string{
		`flowgate_budget_used_ratio{kind="user",window="day"} 1`, `flowgate_budget_alerts_total{kind="user",mark="95",window="day"} 1`,
		`flowgate_budget_alerts_total{kind="department",mark="80",window="month"} 1`,
	} {
		eventually(t, line, func() bool { return strings.Contains(scraped(), line+"\n") })
	}
	up.stop()
	up = g.up()
	address = up.ready().HTTPURL
	eventually(t, "budgets are looked after again", func() bool { return strings.Contains(scraped(), "flowgate_budget_used_ratio{") })
	if text := scraped(); strings.Contains(text, "flowgate_budget_alerts_total{") {
		t.Error("what is on record was told again")
	}
	if n := g.number(alerts); n != 3 {
		t.Errorf("%d alerts are on record, want 3", n)
	}
	var windows []window
	g.say("budget", "show", "user", "dora", "--json").read(t, &windows)
	if len(windows) != 1 || len(windows[0].Alerts) != 2 || windows[0].Alerts[0].Mark != 80 || windows[0].Alerts[1].Mark != 95 {
		t.Errorf("shown %+v", windows)
	}
	g.say("budget", "show").wants(t, exitDone, "ALERTS", "80 %, 95 %")
	up.stop()
}

// TestAnAttemptOverItsBoundIsChargedAndAlarmed: a provider bills more tokens than were allowed.
func TestAnAttemptOverItsBoundIsChargedAndAlarmed(t *testing.T) {
	t.Parallel()
	server := workertest.NewOpenAI(t)
	server.Script("", func(workertest.OpenAICall) workertest.OpenAIReply {
		return workertest.ReplyCompletion("far too much", "stop", workertest.OpenAIUsage{Prompt: 10, Completion: 50_000})
	})
	g := newGround(t, quickSettings, "OPENAI_BASE_URL="+server.URL)
	up := g.up()
	address := up.ready().HTTPURL
	g.say("submit", "--id", "over", "--reason", "a test of alarms", "--model", "claude-haiku-4-5", "--max-tokens", "16", "--wait", "Say OK").wants(t, exitDone)
	outcome := g.audited(1)[0] // what is spent is what it cost
	if outcome.CostMicroUSD < 50_000*5 {
		t.Errorf("it cost %d micro-dollars", outcome.CostMicroUSD)
	}
	eventually(t, "the record has the event", func() bool {
		return g.number("SELECT count(*) FROM flowgate.event WHERE kind = 'over_bound' AND id = 'over' AND (body -> 'attempt' ->> 'cost_microusd')::bigint >= 250000") == 1
	})
	if _, text := fetch(t, address, "/metrics", ""); !strings.Contains(text, `flowgate_over_bound_total{backend="openai"} 1`) {
		t.Error("no metric tells it")
	}
	up.stop()
	if said := up.err.String(); !strings.Contains(said, "cost more than its bound") || !strings.Contains(said, `"request_id":"over"`) {
		t.Errorf("the log says %s", said)
	}
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
	"flowgate/worker/control"
	"flowgate/worker/metrics"
	"flowgate/worker/postgres"
)

// spending tells how much of limits is spent, and which alerts are on record.
type spending interface {
	Spending(ctx context.Context, suffix, after string, limit int) ([]postgres.Spent, error)
	AlertsOf(ctx context.Context, scopes []string) ([]postgres.Alert, error)
}

const (
	// alertsEvery is how often budgets are looked at.
	alertsEvery = 10 * time.Second
	// lateSettling is for how long after its end a day or month is looked at: what it reserved is spent after it.
	lateSettling = time.Hour
	// spentPage bounds how many scopes of money are looked at in one go.
	spentPage = 1000
)

// alerting tells of budgets of which a mark is passed: as an event that the record keeps once, as a line of the log that names
// nobody but the tenant, and as metrics.
type alerting struct {
	settings configs.Settings
	db       spending
	// limits says what somebody may spend now, as operators set it.
	limits func(k control.BudgetKey, now time.Time) (corporate.Limits, bool, error)
	tell   func(ctx context.Context, e messages.Event) error
	worker string
	log    *zap.Logger
	now    func() time.Time

	mu sync.Mutex
	// looked is when it looked last, used the fullest budgets then, told what this process told.
	looked time.Time
	used   map[budgetWindow]float64
	told   map[passing]bool
	counts map[tally]int
}

// budgetWindow is the day or the month of the budgets of a kind.
type budgetWindow struct {
	kind   corporate.BudgetKind
	window string
}

// passing is a mark that a budget's limit has passed.
type passing struct {
	scope string
	mark  float64
	limit int64
}

// tally are alerts that one counter counts.
type tally struct {
	budgetWindow

	mark float64
}

// newAlerting looks after the budgets of every tenant.
func (n *node) newAlerting() *alerting {
	return &alerting{
		settings: n.settings, db: n.db, limits: n.control.Budget, worker: n.folder.WorkerID(), log: n.log, now: time.Now,
		tell: func(ctx context.Context, e messages.Event) error {
			data, err := json.Marshal(&e)
			if err != nil {
				return err
			}
			return n.hop.PublishEvent(ctx, data, messages.EventSubject(e.Tenant, e.Kind))
		},
	}
}

// chore has it looked after by one process.
func (a *alerting) chore() worker.Chore {
	return worker.Chore{Name: "alerts", Every: alertsEvery, Do: a.look}
}

// look looks at every budget of the day and the month. A budget that cannot be read keeps nobody else's alert back.
func (a *alerting) look(ctx context.Context) error {
	now := a.now().In(a.settings.Flowgate.Location())
	marks := corporate.Marks(a.settings.CostOptimization.Limits.AlertThreshold)
	fullest := make(map[budgetWindow]float64)
	var faults []error
	periods := []period{dayOf(now), monthOf(now)}
	for _, at := range periods {
		faults = append(faults, a.lookAt(ctx, at, now, marks, fullest))
	}
	for _, before := range []period{dayOf(now.Add(-lateSettling)), monthOf(now.Add(-lateSettling))} {
		if before.suffix != periods[0].suffix && before.suffix != periods[1].suffix {
			periods = append(periods, before)
			faults = append(faults, a.lookAt(ctx, before, now, marks, nil))
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looked, a.used = a.now(), fullest
	for p := range a.told { // of days that are over
		current := false
		for _, at := range periods {
			current = current || strings.HasSuffix(p.scope, at.suffix)
		}
		if !current {
			delete(a.told, p)
		}
	}
	return errors.Join(faults...)
}

// lookAt looks at the budgets of one day or month, page by page.
func (a *alerting) lookAt(ctx context.Context, at period, now time.Time, marks []float64, fullest map[budgetWindow]float64) error {
	var unreadable error
	for after := ""; ; {
		page, err := a.db.Spending(ctx, at.suffix, after, spentPage)
		if err != nil {
			return err
		}
		var notes []messages.Event
		for _, s := range page {
			found, err := a.judge(s, at, now, marks, fullest)
			if err != nil {
				unreadable = err
			}
			notes = append(notes, found...)
		}
		if err := a.announce(ctx, notes); err != nil {
			return err
		}
		if len(page) < spentPage {
			return unreadable
		}
		after = page[len(page)-1].Scope
	}
}

// judge makes the alerts of what is spent of a budget, told or not, and notes how full it is.
func (a *alerting) judge(s postgres.Spent, at period, now time.Time, marks []float64, fullest map[budgetWindow]float64) ([]messages.Event, error) {
	tenant, kind, name, ok := corporate.ReadScope(strings.TrimSuffix(s.Scope, at.suffix))
	if !ok {
		return nil, nil
	}
	limit, err := a.limit(control.BudgetKey{Tenant: tenant, Kind: kind, Name: cmp.Or(name, control.Everybody)}, at, now)
	if err != nil || limit <= 0 {
		return nil, err
	}
	if fullest != nil {
		w := budgetWindow{kind, at.word}
		fullest[w] = max(fullest[w], float64(s.Settled)/float64(limit))
	}
	var found []messages.Event
	for _, mark := range corporate.Passed(marks, s.Settled, limit) {
		e := messages.Event{V: messages.Version, Kind: messages.EventBudgetAlert, At: now.UTC(), Worker: a.worker, Alert: &messages.AlertNote{
			Kind: string(kind), Name: cmp.Or(name, tenant), Window: at.word, Scope: s.Scope, Mark: mark, Limit: limit, Spent: s.Settled, Reserved: s.Reserved,
		}}
		e.Tenant = tenant
		found = append(found, e)
	}
	return found, nil
}

// limit is what somebody may spend in a day or month; 0: no limit. Where a tenant's budget says nothing, the settings do.
func (a *alerting) limit(k control.BudgetKey, at period, now time.Time) (int64, error) {
	own, _, err := a.limits(k, now)
	limits := a.settings.CostOptimization.InForce()
	limit, general := own.Day, limits.DailyLimit.MicroUSD()
	if at.word == monthWord {
		limit, general = own.Month, limits.MonthlyLimit.MicroUSD()
	}
	if k.Kind == corporate.BudgetTenant {
		limit = cmp.Or(limit, general)
	}
	return limit, err
}

// announce tells those alerts that neither the record has nor this process told.
func (a *alerting) announce(ctx context.Context, alerts []messages.Event) error {
	if len(alerts) == 0 {
		return nil
	}
	scopes := make([]string, len(alerts))
	for i, e := range alerts {
		scopes[i] = e.Alert.Scope
	}
	recorded, err := a.db.AlertsOf(ctx, scopes)
	if err != nil {
		return err
	}
	has := make(map[passing]bool, len(recorded))
	for _, r := range recorded {
		has[passing{r.Scope, r.Mark, r.Limit}] = true
	}
	for _, e := range alerts {
		n := e.Alert
		p := passing{n.Scope, n.Mark, n.Limit}
		a.mu.Lock()
		known := has[p] || a.told[p]
		a.mu.Unlock()
		if known {
			continue
		}
		if err := a.tell(ctx, e); err != nil {
			return err
		}
		a.note(p, n)
		a.log.Warn("a budget is nearly spent", zap.String("tenant", e.Tenant), zap.String("budget", n.Kind), zap.String("window", n.Window),
			zap.Float64("mark_percent", n.Mark), zap.Int64("spent_microusd", n.Spent), zap.Int64("reserved_microusd", n.Reserved),
			zap.Int64("limit_microusd", n.Limit))
	}
	return nil
}

// note remembers and counts an alert that was told.
func (a *alerting) note(p passing, n *messages.AlertNote) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.told == nil {
		a.told, a.counts = make(map[passing]bool), make(map[tally]int)
	}
	a.told[p] = true
	a.counts[tally{budgetWindow{corporate.BudgetKind(n.Kind), n.Window}, n.Mark}]++
}

// stand is how budgets stand; false where this process does not look after them, or could not of late.
func (a *alerting) stand() (metrics.Budgets, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.looked.IsZero() || a.now().Sub(a.looked) > 3*alertsEvery {
		return metrics.Budgets{}, false
	}
	var b metrics.Budgets
	for w, ratio := range a.used {
		b.Used = append(b.Used, metrics.BudgetUsed{Kind: string(w.kind), Window: w.window, Ratio: ratio})
	}
	for c, n := range a.counts {
		b.Alerts = append(b.Alerts, metrics.BudgetAlerts{
			Kind: string(c.kind), Window: c.window, Mark: strconv.FormatFloat(c.mark, 'g', -1, 64), N: n,
		})
	}
	return b, true
}

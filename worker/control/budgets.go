package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// MaxBudgets is how many budgets may be kept, maxRaises how many raises of one.
const (
	MaxBudgets = 10_000
	maxRaises  = 20
)

// Everybody is the name of the budget of each who has none of its own.
const Everybody = "*"

const (
	budgetPrefix = "budget."
	allBudgets   = "budget.>"
)

// BudgetKey is whose money a budget bounds.
type BudgetKey struct {
	Tenant string               `json:"tenant"`
	Kind   corporate.BudgetKind `json:"kind"`
	// Name is a user, a department or a trigger; Everybody for each who has no budget of its own, and of the tenant.
	Name string `json:"name"`
}

// Budget is what somebody may spend by request, day and month, in micro-dollars; 0 is no limit.
type Budget struct {
	BudgetKey

	Request int64 `json:"request_microusd"`
	Day     int64 `json:"day_microusd"`
	Month   int64 `json:"month_microusd"`
	// Raises are higher limits for a time.
	Raises []Raise   `json:"raises,omitempty"`
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
	// Version is the bucket's revision of the entry.
	Version uint64 `json:"version"`
}

// Raise is a higher limit until a time, which another person than who asked for it approved.
type Raise struct {
	Day      int64     `json:"day_microusd"`
	Month    int64     `json:"month_microusd"`
	Until    time.Time `json:"until"`
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
	Approver string    `json:"approver"`
}

// Limits are what holds at a moment: the budget's own, or the highest of its raises.
func (b Budget) Limits(now time.Time) corporate.Limits {
	l := corporate.Limits{Request: b.Request, Day: b.Day, Month: b.Month}
	for _, r := range b.Raises {
		if !now.Before(r.Until) {
			continue
		}
		if l.Day > 0 {
			l.Day = max(l.Day, r.Day)
		}
		if l.Month > 0 {
			l.Month = max(l.Month, r.Month)
		}
	}
	return l
}

// mostMoney keeps sums far from overflow: a billion dollars.
const mostMoney = 1_000_000_000_000_000

// Check tells whether a budget may be kept.
func (b Budget) Check() error {
	if err := cmp.Or(messages.CheckTenant(b.Tenant), checkLine("name", b.Name, MaxName), checkWords(b.Reason, b.By)); err != nil {
		return err
	}
	switch {
	case !b.Kind.Known():
		return fmt.Errorf("%.40q is no kind of budget; use tenant, department, user or agreement", string(b.Kind))
	case b.Name == "" || b.Kind == corporate.BudgetTenant && b.Name != Everybody:
		return errors.New("name is missing: say whose budget it is, or * for each who has none")
	case strings.TrimSpace(b.Reason) == "":
		return errors.New("reason is missing: say it")
	case b.Request == 0 && b.Day == 0 && b.Month == 0:
		return errors.New("a budget must have a limit by request, day or month")
	case len(b.Raises) > maxRaises:
		return fmt.Errorf("%d raises hold, which is the most there may be", maxRaises)
	}
	for _, amount := range []int64{b.Request, b.Day, b.Month} {
		if amount < 0 || amount > mostMoney {
			return errors.New("a limit must be above 0 and at most a billion dollars")
		}
	}
	for _, r := range b.Raises {
		if err := r.check(b); err != nil {
			return err
		}
	}
	return nil
}

// LongestRaise is for how long a raise may hold.
const LongestRaise = 366 * 24 * time.Hour

func (r Raise) check(of Budget) error {
	if err := cmp.Or(checkWords(r.Reason, r.By), checkLine("approver", r.Approver, MaxBy)); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(r.Approver) == "" || r.Approver == r.By:
		return errors.New("a raise needs an approver who is another person than who asks for it")
	case strings.TrimSpace(r.Reason) == "":
		return errors.New("reason is missing: say it")
	case r.Day < 0 || r.Day > mostMoney || r.Month < 0 || r.Month > mostMoney:
		return errors.New("a limit must be above 0 and at most a billion dollars")
	case r.Day == 0 && r.Month == 0:
		return errors.New("a raise must be of the day or of the month")
	case r.Day > 0 && r.Day <= of.Day || r.Day > 0 && of.Day == 0:
		return errors.New("a raise must be above the budget's own limit of the day")
	case r.Month > 0 && r.Month <= of.Month || r.Month > 0 && of.Month == 0:
		return errors.New("a raise must be above the budget's own limit of the month")
	}
	return nil
}

// budgetKey is where a budget stands: budget.<tenant>.<kind>.<name>.
func budgetKey(k BudgetKey) string {
	return budgetPrefix + k.Tenant + "." + string(k.Kind) + "." + encode(k.Name)
}

// parseBudgetKey reads what budgetKey wrote.
func parseBudgetKey(key string) (k BudgetKey, err error) {
	tokens := strings.Split(key, ".")
	if len(tokens) != 4 || tokens[0]+"." != budgetPrefix || messages.CheckTenant(tokens[1]) != nil || !corporate.BudgetKind(tokens[2]).Known() {
		return k, errKey
	}
	name, err := decodeName(tokens[3])
	return BudgetKey{tokens[1], corporate.BudgetKind(tokens[2]), name}, err
}

// budgetValue is what stands in the bucket under a budget's key.
type budgetValue struct {
	V int `json:"v"`
	Budget
}

// SetBudget sets a budget, everywhere within a second. The raises that hold stay, as far as they are above the new limits.
func SetBudget(ctx context.Context, js jetstream.JetStream, b Budget) (Budget, error) {
	return changeBudget(ctx, js, b.BudgetKey, func(old Budget, has bool) (Budget, error) {
		b.Raises = nil
		for _, r := range old.Raises {
			if has && b.At.Before(r.Until) && r.check(b) == nil {
				b.Raises = append(b.Raises, r)
			}
		}
		return b, nil
	})
}

// ErrNoBudget says that there is no budget of that name.
var ErrNoBudget = errors.New("there is no such budget: set it first")

// RaiseBudget raises a budget for a time.
func RaiseBudget(ctx context.Context, js jetstream.JetStream, k BudgetKey, r Raise, now time.Time) (Budget, error) {
	return changeBudget(ctx, js, k, func(b Budget, has bool) (Budget, error) {
		if !has {
			return b, ErrNoBudget
		}
		if strings.EqualFold(messages.Visible(r.Approver), messages.Visible(r.By)) { // only now: what was approved before stands
			return b, errors.New("a raise needs an approver who is another person than who asks for it")
		}
		if !now.Before(r.Until) || r.Until.After(now.Add(LongestRaise)) {
			return b, errors.New("a raise must end in the future, within a year")
		}
		b.Raises = append(slices.DeleteFunc(b.Raises, func(old Raise) bool { return !now.Before(old.Until) }), r)
		return b, nil
	})
}

func changeBudget(ctx context.Context, js jetstream.JetStream, k BudgetKey, change func(Budget, bool) (Budget, error)) (Budget, error) {
	kv, err := open(ctx, js)
	if err != nil {
		return Budget{}, err
	}
	for range 10 { // somebody else may write the same key meanwhile
		entry, err := kv.Get(ctx, budgetKey(k))
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return Budget{}, fmt.Errorf("reading a budget: %w", err)
		}
		has := err == nil
		old := Budget{BudgetKey: k}
		if has {
			if old, err = decodeBudget(k, entry); err != nil {
				old = Budget{BudgetKey: k}
			}
		}
		b, err := change(old, has)
		if err := cmp.Or(err, b.Check()); err != nil {
			return b, err
		}
		data, err := json.Marshal(budgetValue{version, b})
		if err != nil {
			return b, fmt.Errorf("encoding a budget: %w", err)
		}
		if has {
			b.Version, err = kv.Update(ctx, budgetKey(k), data, entry.Revision())
		} else if err = budgetRoom(ctx, kv); err == nil {
			b.Version, err = kv.Create(ctx, budgetKey(k), data)
		}
		if err == nil || !errors.Is(err, jetstream.ErrKeyExists) {
			return b, err
		}
	}
	return Budget{}, errors.New("writing a budget: others write it all the time; try again")
}

// budgetRoom refuses a budget over the bound.
func budgetRoom(ctx context.Context, kv jetstream.KeyValue) error {
	keys, err := kv.ListKeysFiltered(ctx, allBudgets)
	if err != nil {
		return fmt.Errorf("counting budgets: %w", err)
	}
	n := 0
	for range keys.Keys() {
		n++
	}
	if n >= MaxBudgets {
		return fmt.Errorf("%d budgets are kept already, which is the most there may be: clear some", n)
	}
	return nil
}

// ClearBudget removes a budget; cleared is false where there was none.
func ClearBudget(ctx context.Context, js jetstream.JetStream, k BudgetKey) (cleared bool, err error) {
	kv, err := open(ctx, js)
	if err != nil {
		return false, err
	}
	newest, found, err := (&worker.Leader{JS: js}).Last(ctx, "KV_"+Bucket, "$KV."+Bucket+"."+budgetKey(k))
	if err != nil {
		return false, fmt.Errorf("reading a budget: %w", err)
	}
	if !found || newest.Header.Get("KV-Operation") != "" { // what was removed leaves its mark
		return false, nil
	}
	if err := kv.Delete(ctx, budgetKey(k)); err != nil {
		return false, fmt.Errorf("removing a budget: %w", err)
	}
	return true, nil
}

// ListBudgets lists the budgets of a tenant, by kind and name.
func ListBudgets(ctx context.Context, js jetstream.JetStream, tenant string) ([]Budget, error) {
	kv, err := open(ctx, js)
	if err != nil {
		return nil, err
	}
	watch, err := kv.Watch(ctx, budgetPrefix+tenant+".>", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("listing budgets: %w", err)
	}
	defer func() { _ = stop(watch) }()
	budgets := []Budget{}
	for {
		select {
		case entry, open := <-watch.Updates():
			if !open {
				return nil, errors.New("listing budgets: the broker ended the list")
			}
			if entry == nil { // all of them were told
				slices.SortFunc(budgets, func(a, b Budget) int {
					return cmp.Or(cmp.Compare(slices.Index(corporate.BudgetKinds(), a.Kind), slices.Index(corporate.BudgetKinds(), b.Kind)), cmp.Compare(a.Name, b.Name))
				})
				return budgets, nil
			}
			k, err := parseBudgetKey(entry.Key())
			if err != nil || len(budgets) > 2*MaxBudgets {
				continue
			}
			b, err := decodeBudget(k, entry)
			if err != nil {
				return nil, err
			}
			budgets = append(budgets, b)
		case <-ctx.Done():
			return nil, fmt.Errorf("listing budgets: %w", ctx.Err())
		}
	}
}

func decodeBudget(k BudgetKey, entry jetstream.KeyValueEntry) (Budget, error) {
	var v budgetValue
	if len(entry.Value()) > 64<<10 || json.Unmarshal(entry.Value(), &v) != nil || v.V != version {
		return Budget{BudgetKey: k, Version: entry.Revision()}, fmt.Errorf("the budget of a %s cannot be read here: set it again, or upgrade", k.Kind)
	}
	v.BudgetKey, v.Version = k, entry.Revision()
	return v.Budget, v.Check()
}

// Budget is what somebody may spend now: by its own budget, else by that of everybody of its kind. One that cannot be read is an
// error: nothing may be decided then.
func (w *Watch) Budget(k BudgetKey, now time.Time) (limits corporate.Limits, has bool, err error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	b, has := w.budgets[k]
	if !has {
		k.Name = Everybody
		b, has = w.budgets[k]
	}
	if !has || b.err != nil {
		return limits, has, b.err
	}
	return b.Limits(now), true, nil
}

// knownBudget is a budget, or why it cannot be read.
type knownBudget struct {
	Budget

	err error
}

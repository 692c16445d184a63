package corporate

import (
	"cmp"
	"slices"
	"time"

	"flowgate/messages"
)

// BudgetKind is whose money a budget bounds.
type BudgetKind string

// The kinds of budgets.
const (
	BudgetTenant     BudgetKind = "tenant"
	BudgetDepartment BudgetKind = "department"
	BudgetUser       BudgetKind = "user"
	BudgetAgreement  BudgetKind = "agreement"
)

// BudgetKinds lists the kinds, in the order in which scopes of money are named.
func BudgetKinds() []BudgetKind {
	return []BudgetKind{BudgetTenant, BudgetDepartment, BudgetUser, BudgetAgreement}
}

// Known tells whether there is such a kind.
func (k BudgetKind) Known() bool { return slices.Contains(BudgetKinds(), k) }

// Budget is what one of them may spend now.
type Budget struct {
	Kind BudgetKind
	// Name is whose it is: of the tenant empty.
	Name string
	Limits
}

// reason is why a request is refused that does not fit into a window of a budget.
func (k BudgetKind) reason(day bool) messages.Reason {
	switch k {
	case BudgetDepartment:
		return messages.ReasonLimitDepartment
	case BudgetUser:
		return messages.ReasonLimitUser
	case BudgetAgreement:
		return messages.ReasonLimitAgreement
	case BudgetTenant:
	}
	if day {
		return messages.ReasonLimitDay
	}
	return messages.ReasonLimitMonth
}

// ScopeName names a budget in the ledger, before its window.
func ScopeName(tenant string, kind BudgetKind, name string) string {
	if kind == BudgetTenant {
		return "tenant:" + tenant
	}
	return string(kind) + ":" + tenant + "/" + name
}

// DayWindow and MonthWindow name the windows of a moment, at the end of a scope's name.
func DayWindow(at time.Time) string { return ":day:" + at.Format("2006-01-02") }

// MonthWindow names the month of a moment.
func MonthWindow(at time.Time) string { return ":month:" + at.Format("2006-01") }

// budgets are those that a request counts in. What the tenant's own says takes the place of the settings' limits.
func budgets(f Facts, p Policy) []Budget {
	tenant := Budget{Kind: BudgetTenant, Limits: p.Limits}
	all := []Budget{tenant}
	for _, b := range f.Budgets {
		if b.Kind != BudgetTenant {
			all = append(all, b)
			continue
		}
		all[0].Request, all[0].Day, all[0].Month = cmp.Or(b.Request, tenant.Request), cmp.Or(b.Day, tenant.Day), cmp.Or(b.Month, tenant.Month)
	}
	return agreementBudget(all, f.Agreement)
}

// requestLimit is what one request may cost: the least of the words of its budgets; 0: none says anything.
func requestLimit(f Facts, p Policy) int64 {
	least := int64(0)
	for _, b := range budgets(f, p) {
		if b.Request > 0 && (least == 0 || b.Request < least) {
			least = b.Request
		}
	}
	return least
}

// reserve names the amount and the scopes of money. Without limits nothing is reserved.
func reserve(d *Decision, f Facts, p Policy) {
	now := f.Now.In(p.Location)
	for _, b := range budgets(f, p) {
		scope := ScopeName(f.Tenant, b.Kind, b.Name)
		if b.Day > 0 {
			d.Scopes = append(d.Scopes, Scope{scope + DayWindow(now), b.Day, b.Kind.reason(true)})
		}
		if b.Month > 0 {
			d.Scopes = append(d.Scopes, Scope{scope + MonthWindow(now), b.Month, b.Kind.reason(false)})
		}
	}
	if len(d.Scopes) == 0 {
		return
	}
	d.Amount = d.Section.BoundMicroUSD * int64(d.Section.BillableAttempts)
	d.Section.ReservedMicroUSD = d.Amount
	for _, s := range d.Scopes {
		d.Section.Scopes = append(d.Section.Scopes, s.Name)
	}
}

package corporate

import "strings"

// lastMark is the mark, in percent, that comes after the settings' own.
const lastMark = 95

// Marks are the parts of a limit, in percent, of which people want to know when they are spent: the settings' threshold, and
// lastMark where that is above it.
func Marks(threshold float64) []float64 {
	if threshold >= lastMark {
		return []float64{threshold}
	}
	return []float64{threshold, lastMark}
}

// Passed are the marks that so much spent (in micro-dollars, as the limit) has reached. What is held is not counted: it comes back.
func Passed(marks []float64, spent, limit int64) []float64 {
	var passed []float64
	for _, m := range marks {
		if limit > 0 && float64(spent)*100 >= m*float64(limit) {
			passed = append(passed, m)
		}
	}
	return passed
}

// ReadScope reads whose budget a scope of money is, out of its name without the window: what ScopeName was told. The name of a
// tenant's own is empty.
func ReadScope(scope string) (tenant string, kind BudgetKind, name string, ok bool) {
	word, rest, _ := strings.Cut(scope, ":")
	if kind = BudgetKind(word); kind == BudgetTenant {
		return rest, kind, "", rest != ""
	}
	tenant, name, ok = strings.Cut(rest, "/")
	return tenant, kind, name, ok && kind.Known()
}

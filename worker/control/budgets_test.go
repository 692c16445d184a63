package control_test

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"flowgate/pipelines/corporate"
	"flowgate/worker/control"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func budget(kind corporate.BudgetKind, name string, day int64) control.Budget {
	return control.Budget{BudgetKey: control.BudgetKey{Tenant: "acme", Kind: kind, Name: name}, Day: day, Reason: "plan", By: "ops", At: noon}
}

func TestABudgetHoldsEverywhereUntilItIsCleared(t *testing.T) {
	js := setup(t)
	if _, err := control.SetBudget(t.Context(), js, budget(corporate.BudgetUser, control.Everybody, 5)); err != nil {
		t.Fatal(err)
	}
	w := watch(t, js)
	limit := func(kind corporate.BudgetKind, name string) int64 {
		l, has, err := w.Budget(control.BudgetKey{Tenant: "acme", Kind: kind, Name: name}, noon)
		if err != nil {
			t.Error(err)
		}
		if !has {
			return -1
		}
		return l.Day
	}
	until(t, "everybody has one", func() bool { return limit(corporate.BudgetUser, "anna") == 5 })
	for _, name := range []string{"anna", "a.b:c/d *>", "größe"} {
		if _, err := control.SetBudget(t.Context(), js, budget(corporate.BudgetUser, name, 7)); err != nil {
			t.Fatal(err)
		}
		until(t, "has its own", func() bool { return limit(corporate.BudgetUser, name) == 7 })
	}
	if limit(corporate.BudgetUser, "bob") != 5 || limit(corporate.BudgetDepartment, "anna") != -1 {
		t.Error("somebody else has it")
	}
	list, err := control.ListBudgets(t.Context(), js, "acme")
	if err != nil || len(list) != 4 || list[0].Name != control.Everybody || list[1].Name != "a.b:c/d *>" {
		t.Errorf("listed %+v: %v", list, err)
	}
	if other, err := control.ListBudgets(t.Context(), js, "other"); err != nil || len(other) != 0 {
		t.Errorf("another tenant has %+v: %v", other, err)
	}
	for _, want := range []bool{true, false} {
		if cleared, err := control.ClearBudget(t.Context(), js, budget(corporate.BudgetUser, "anna", 0).BudgetKey); err != nil || cleared != want {
			t.Errorf("cleared %v: %v", cleared, err)
		}
	}
	until(t, "anna has everybody's", func() bool { return limit(corporate.BudgetUser, "anna") == 5 })
}

func TestARaiseEndsAndNeedsAnother(t *testing.T) {
	js := setup(t)
	b := budget(corporate.BudgetDepartment, "research", 10)
	if _, err := control.RaiseBudget(t.Context(), js, b.BudgetKey, control.Raise{}, noon); err == nil {
		t.Error("raised what is not there")
	}
	if _, err := control.SetBudget(t.Context(), js, b); err != nil {
		t.Fatal(err)
	}
	good := control.Raise{Day: 30, Until: noon.Add(time.Hour), Reason: "quarter", By: "anna", Approver: "maria"}
	for name, change := range map[string]func(*control.Raise){
		"by oneself":        func(r *control.Raise) { r.Approver = "anna" },
		"by nobody":         func(r *control.Raise) { r.Approver = " " },
		"without a reason":  func(r *control.Raise) { r.Reason = "" },
		"in the past":       func(r *control.Raise) { r.Until = noon },
		"lower":             func(r *control.Raise) { r.Day = 10 },
		"of another window": func(r *control.Raise) { r.Month = 30 },
		"negative":          func(r *control.Raise) { r.Day = -1 },
		"absurd":            func(r *control.Raise) { r.Day = math.MaxInt64 },
		"of nothing":        func(r *control.Raise) { r.Day = 0 },
	} {
		r := good
		change(&r)
		if _, err := control.RaiseBudget(t.Context(), js, b.BudgetKey, r, noon); err == nil {
			t.Errorf("raised %s", name)
		}
	}
	raised, err := control.RaiseBudget(t.Context(), js, b.BudgetKey, good, noon)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]int64{0: 30, time.Hour - 1: 30, time.Hour: 10, -time.Hour: 30} {
		if got := raised.Limits(noon.Add(at)).Day; got != want {
			t.Errorf("after %s it is %d, want %d", at, got, want)
		}
	}
	// Set anew, the raise stays as far as it is one.
	b.Day = 20
	if set, err := control.SetBudget(t.Context(), js, b); err != nil || set.Limits(noon).Day != 30 {
		t.Errorf("%+v: %v", set, err)
	}
	b.Day = 40
	if set, err := control.SetBudget(t.Context(), js, b); err != nil || set.Limits(noon).Day != 40 || len(set.Raises) != 0 {
		t.Errorf("%+v: %v", set, err)
	}
	for i := range 25 {
		good.Day = int64(50 + i)
		_, err = control.RaiseBudget(t.Context(), js, b.BudgetKey, good, noon)
	}
	if err == nil || !strings.Contains(err.Error(), "20 raises hold") {
		t.Errorf("25 raises: %v", err)
	}
}

func TestBudgetsAtOnceAreAllKept(t *testing.T) {
	js := setup(t)
	b := budget(corporate.BudgetUser, "anna", 10)
	if _, err := control.SetBudget(t.Context(), js, b); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r := control.Raise{Day: int64(20 + i), Until: noon.Add(time.Hour), Reason: "r", By: "anna", Approver: "maria"}
			if _, err := control.RaiseBudget(t.Context(), js, b.BudgetKey, r, noon); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := control.ListBudgets(t.Context(), js, "acme"); err != nil || len(list) != 1 || len(list[0].Raises) != 4 {
		t.Errorf("%+v: %v", list, err)
	}
}

func TestABadBudgetIsRefusedAndAnUnreadableOneStops(t *testing.T) {
	js := setup(t)
	for name, change := range map[string]func(*control.Budget){
		"no limit":    func(b *control.Budget) { b.Day = 0 },
		"negative":    func(b *control.Budget) { b.Month = -1 },
		"absurd":      func(b *control.Budget) { b.Request = math.MaxInt64 },
		"no reason":   func(b *control.Budget) { b.Reason = " " },
		"no name":     func(b *control.Budget) { b.Name = "" },
		"no kind":     func(b *control.Budget) { b.Kind = "team" },
		"no tenant":   func(b *control.Budget) { b.Tenant = "a.b" },
		"a long name": func(b *control.Budget) { b.Name = strings.Repeat("x", control.MaxName+1) },
	} {
		b := budget(corporate.BudgetUser, "anna", 5)
		change(&b)
		if _, err := control.SetBudget(t.Context(), js, b); err == nil {
			t.Errorf("%s: it is set", name)
		}
	}
	kv, err := js.KeyValue(t.Context(), control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	w := watch(t, js)
	k := control.BudgetKey{Tenant: "acme", Kind: corporate.BudgetUser, Name: "anna"}
	for i, value := range []string{"{", `{"v":2,"day_microusd":5}`, `{"v":1,"day_microusd":-5,"reason":"x"}`, ""} {
		if _, err := kv.PutString(t.Context(), "budget.acme.user.anna", value); err != nil {
			t.Fatal(err)
		}
		until(t, fmt.Sprint("unreadable ", i), func() bool { _, _, err := w.Budget(k, noon); return err != nil })
		if _, err := control.SetBudget(t.Context(), js, budget(corporate.BudgetUser, "anna", 5)); err != nil {
			t.Fatal(err)
		}
		until(t, "mended", func() bool { l, has, err := w.Budget(k, noon); return err == nil && has && l.Day == 5 })
	}
}

package control_test

import (
	"math"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/control"
)

func limit(kind corporate.RateKind, name string, minute int64) control.Limit {
	return control.Limit{LimitKey: control.LimitKey{Tenant: "acme", Kind: kind, Name: name}, RequestsMinute: minute, Reason: "plan", By: "ops", At: noon}
}

func TestALimitHoldsEverywhereUntilItIsCleared(t *testing.T) {
	js := setup(t)
	w := watch(t, js)
	holds := func(tenant string, kind corporate.RateKind, name string) int64 {
		l, has, err := w.Limit(control.LimitKey{Tenant: tenant, Kind: kind, Name: name})
		if err != nil {
			t.Error(err)
		}
		if !has {
			return -1
		}
		return l.RequestsMinute
	}
	if holds("acme", corporate.RateUser, "anna") != -1 {
		t.Error("a limit holds that nobody set")
	}
	backend := limit(corporate.RateBackend, "openai", 9)
	backend.Tenant = messages.SystemTenant
	for _, l := range []control.Limit{limit(corporate.RateUser, control.Everybody, 5), limit(corporate.RateUser, "größe.b c", 7), limit(corporate.RateTenant, control.Everybody, 8), backend} {
		for range 2 { // what is set again takes its place
			if _, err := control.SetLimit(t.Context(), js, l); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(t, "all are heard", func() bool { return holds(messages.SystemTenant, corporate.RateBackend, "openai") == 9 })
	if holds("acme", corporate.RateUser, "anna") != 5 || holds("acme", corporate.RateUser, "größe.b c") != 7 || holds("other", corporate.RateUser, "anna") != -1 || holds("acme", corporate.RateTenant, "acme") != 8 {
		t.Error("somebody has another's limit")
	}
	list, err := control.ListLimits(t.Context(), js, "acme")
	if err != nil || len(list) != 4 || list[0].Kind != corporate.RateTenant || list[3].Kind != corporate.RateBackend {
		t.Errorf("listed %+v: %v", list, err)
	}
	if other, err := control.ListLimits(t.Context(), js, "other"); err != nil || len(other) != 1 {
		t.Errorf("another tenant has %+v: %v", other, err)
	}
	for _, want := range []bool{true, false} {
		if cleared, err := control.ClearLimit(t.Context(), js, limit(corporate.RateUser, control.Everybody, 0).LimitKey); err != nil || cleared != want {
			t.Errorf("cleared %v: %v", cleared, err)
		}
	}
	until(t, "it is lifted", func() bool { return holds("acme", corporate.RateUser, "anna") == -1 })
}

func TestLimitsThatMayNotBeKept(t *testing.T) {
	for name, change := range map[string]func(*control.Limit){
		"negative":              func(l *control.Limit) { l.RequestsMinute = -1 },
		"absurd":                func(l *control.Limit) { l.TokensHour = math.MaxInt64 },
		"of nothing":            func(l *control.Limit) { l.RequestsMinute = 0 },
		"of nobody":             func(l *control.Limit) { l.Name = "" },
		"of an unknown kind":    func(l *control.Limit) { l.Kind = "team" },
		"of another tenant":     func(l *control.Limit) { l.Kind = corporate.RateTenant },
		"of a tenant's backend": func(l *control.Limit) { l.Kind = corporate.RateBackend },
		"without a reason":      func(l *control.Limit) { l.Reason = " " },
		"with another excess":   func(l *control.Limit) { l.Excess = "maybe" },
		"of a long name":        func(l *control.Limit) { l.Name = strings.Repeat("x", control.MaxName+1) },
		"of two lines":          func(l *control.Limit) { l.By = "a\nb" },
	} {
		l := limit(corporate.RateUser, "anna", 5)
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		if change(&l); l.Check() == nil {
			t.Errorf("a limit %s may be kept", name)
		}
	}
}

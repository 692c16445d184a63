package corporate_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"flowgate/pipelines/corporate"
)

func TestMarksAreThoseOfTheSettingsAndTheLast(t *testing.T) {
	for threshold, want := range map[float64][]float64{80: {80, 95}, 0.5: {0.5, 95}, 95: {95}, 99: {99}, 100: {100}} {
		if got := corporate.Marks(threshold); !slices.Equal(got, want) {
			t.Errorf("threshold %v: %v, want %v", threshold, got, want)
		}
	}
}

func TestAMarkIsPassedAtItsPart(t *testing.T) {
	const limit = 1_000_000
	for spent, want := range map[int64][]float64{
		0: nil, 799_999: nil, 800_000: {80}, 949_999: {80}, 950_000: {80, 95}, limit: {80, 95}, 2 * limit: {80, 95}, math.MaxInt64: {80, 95},
	} {
		if got := corporate.Passed(corporate.Marks(80), spent, limit); !slices.Equal(got, want) {
			t.Errorf("%d spent: %v, want %v", spent, got, want)
		}
	}
	if got := corporate.Passed(corporate.Marks(80), 5, 0); got != nil {
		t.Errorf("no limit has marks %v", got)
	}
}

func TestAScopeIsReadAsItWasNamed(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		tenant := rapid.StringMatching(`[a-z0-9_-]{1,63}`).Draw(r, "tenant")
		kind := rapid.SampledFrom(corporate.BudgetKinds()).Draw(r, "kind")
		name := rapid.String().Draw(r, "name")
		if kind == corporate.BudgetTenant {
			name = ""
		}
		gotTenant, gotKind, gotName, ok := corporate.ReadScope(corporate.ScopeName(tenant, kind, name))
		if !ok || gotTenant != tenant || gotKind != kind || gotName != name {
			r.Errorf("%s %s %q became %s %s %q, %t", tenant, kind, name, gotTenant, gotKind, gotName, ok)
		}
	})
	for _, bad := range []string{"", "tenant:", "user:acme", "team:acme/x", "acme"} {
		if _, _, _, ok := corporate.ReadScope(bad); ok {
			t.Errorf("%q is a scope", bad)
		}
	}
}

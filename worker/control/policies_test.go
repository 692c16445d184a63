package control_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/pipelines/policy"
	"flowgate/worker/control"
)

func bundle(t *testing.T, name string, cases ...policy.Case) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Bundle{
		Name: name, Rules: []policy.Rule{{ID: "no-hr", Effect: policy.EffectDeny, When: `department == "hr"`}}, Cases: cases,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func activate(t *testing.T, js jetstream.JetStream, p *policy.Policy) (now, before control.ActivePolicy, changed bool) {
	t.Helper()
	now, before, changed, err := control.Activate(t.Context(), js, p, "a test", "ops", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return now, before, changed
}

func TestAnActivatedPolicyIsInForceEverywhere(t *testing.T) {
	js := setup(t)
	if _, has, err := control.Active(t.Context(), js); has || err != nil {
		t.Fatalf("there is a policy at first: %v", err)
	}
	early := watch(t, js)
	first, second := bundle(t, "first"), bundle(t, "second", policy.Case{Name: "hr", Facts: policy.Facts{Department: "hr"}, Denied: "no-hr"})
	for i, p := range []*policy.Policy{first, second, first} {
		now, before, changed := activate(t, js, p)
		if !changed || now.Version != p.Version() || (before.Version == "") != (i == 0) {
			t.Fatalf("%+v, before %+v, changed %v", now, before, changed)
		}
		late := watch(t, js)
		for _, w := range []*control.Watch{early, late} {
			until(t, "in force", func() bool { got, err := w.Policy(); return err == nil && got.Version() == p.Version() })
		}
		if _, _, changed := activate(t, js, p); changed {
			t.Error("the same policy is activated twice")
		}
		active, has, err := control.Active(t.Context(), js)
		if err != nil || !has || active.Bundle.Name != p.Bundle().Name || active.Reason != "a test" || active.By != "ops" || active.Revision != now.Revision {
			t.Errorf("in force is %+v: %v", active, err)
		}
	}
}

func TestAPolicyThatFailsItsCasesIsNotActivated(t *testing.T) {
	js := setup(t)
	wrong := bundle(t, "wrong", policy.Case{Name: "hr may", Facts: policy.Facts{Department: "hr"}})
	if _, _, _, err := control.Activate(t.Context(), js, wrong, "a test", "ops", time.Now()); !errors.Is(err, control.ErrFailingCases) || !strings.Contains(err.Error(), "hr may") {
		t.Errorf("got %v", err)
	}
	if _, _, _, err := control.Activate(t.Context(), js, bundle(t, "right"), " ", "ops", time.Now()); err == nil {
		t.Error("activated without a reason")
	}
	if _, has, _ := control.Active(t.Context(), js); has {
		t.Error("it is in force")
	}
}

// TestOfActivationsAtOnceTheLastOneThatIsToldIsInForce: whoever was refused changed nothing.
func TestOfActivationsAtOnceTheLastOneThatIsToldIsInForce(t *testing.T) {
	js := setup(t)
	w := watch(t, js)
	for round := range 5 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var newest control.ActivePolicy
		won := 0
		for i := range 8 {
			p := bundle(t, fmt.Sprintf("r%d-%d", round, i))
			wg.Go(func() {
				now, _, changed, err := control.Activate(t.Context(), js, p, "a test", "ops", time.Now())
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, control.ErrActivatedMeanwhile):
				case err != nil || !changed:
					t.Errorf("changed %v: %v", changed, err)
				default:
					won++
					if now.Revision > newest.Revision {
						newest = now
					}
				}
			})
		}
		wg.Wait()
		if won == 0 {
			t.Fatal("nobody won")
		}
		until(t, "the newest is in force", func() bool { p, err := w.Policy(); return err == nil && p.Version() == newest.Version })
	}
}

func TestNobodyDecidesUnderAPolicyThatCannotBeUsed(t *testing.T) {
	js := setup(t)
	w := watch(t, js)
	kv, err := js.KeyValue(t.Context(), control.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{
		"", "{", `{"v":2,"version":"x","bundle":{}}`, `{"v":1,"version":"x","bundle":{"name":"n"}}`,
		`{"v":1,"version":"` + (policy.Bundle{Name: "n", Rules: []policy.Rule{{ID: "x"}}}).Version() + `","bundle":{"name":"n","rules":[{"id":"x","effect":"","when":""}]}}`,
	} {
		good := bundle(t, fmt.Sprintf("good-%d", len(value)))
		activate(t, js, good)
		until(t, "in force", func() bool { p, err := w.Policy(); return err == nil && p.Version() == good.Version() })
		if _, err := kv.PutString(t.Context(), "policy.active", value); err != nil {
			t.Fatal(err)
		}
		until(t, "unusable", func() bool { p, err := w.Policy(); return err != nil && p == nil })
	}
	if err := kv.Delete(t.Context(), "policy.active"); err != nil {
		t.Fatal(err)
	}
	until(t, "none in force", func() bool { p, err := w.Policy(); return err == nil && p == nil })
	if err := kv.Delete(t.Context(), "policy.active"); err != nil {
		t.Fatal(err)
	}
	activate(t, js, bundle(t, "after")) // behind the mark of what was removed
}

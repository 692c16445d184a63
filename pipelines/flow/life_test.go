package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowgate/messages"
)

var moment = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func did(act Act, by string) Change {
	return Change{Act: act, By: by, Reason: "ticket 1", At: moment}
}

// shelf has agreements as a store keeps them.
type shelf struct {
	all      []Entry
	revision int64
}

func (s *shelf) keep(changed []Entry, err error) error {
	if err != nil {
		return err
	}
	s.revision++
	for _, e := range changed {
		e.Revision = s.revision
		at := slices.IndexFunc(s.all, func(o Entry) bool { return o.Trigger == e.Trigger && o.Version == e.Version })
		if at < 0 {
			s.all = append(s.all, e)
			continue
		}
		s.all[at] = e
	}
	return nil
}

func (s *shelf) write(a Agreement, by string) error {
	return s.keep(Write(s.all, a, did(ActWrite, by)))
}

func (s *shelf) do(act Act, by string) error {
	return s.keep(Edit(s.all, "[Cost Analysis]", "", did(act, by)))
}

func (s *shelf) must(t *testing.T, acts ...string) {
	t.Helper()
	for _, a := range acts {
		act, by, _ := strings.Cut(a, " ")
		if err := s.do(Act(act), by); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
	}
}

func (s *shelf) states() string {
	var words []string
	for _, e := range s.all {
		words = append(words, e.Version+" "+string(e.State))
	}
	return strings.Join(words, ", ")
}

func versioned(version string) Agreement {
	a := cost()
	a.Version = version
	return a
}

func TestAVersionIsApprovedByAnotherPerson(t *testing.T) {
	s := &shelf{}
	if err := s.write(versioned("1"), "ann"); err != nil {
		t.Fatal(err)
	}
	if err := s.do(ActApprove, "bob"); !errors.Is(err, ErrState) {
		t.Errorf("a draft: %v", err)
	}
	s.must(t, "submit cy")
	for _, own := range []string{"ann", "cy", " ANN"} {
		if err := s.do(ActApprove, own); !errors.Is(err, ErrOwnApproval) {
			t.Errorf("%s: %v", own, err)
		}
	}
	s.must(t, "approve bob")
	if e := s.all[0]; e.State != StateApproved || e.Approver != "bob" || e.Author != "ann" || e.Submitter != "cy" || e.Refuses("acme", moment) != "" {
		t.Errorf("got %+v", e)
	}
	if err := s.do(ActApprove, "dan"); !errors.Is(err, ErrState) {
		t.Errorf("a second approval: %v", err)
	}
	for _, c := range []Change{{ActSuspend, "", "x", moment}, {ActSuspend, "bob", " ", moment}, {"burn", "bob", "x", moment}} {
		if _, err := Edit(s.all, "[Cost Analysis]", "", c); err == nil {
			t.Errorf("%+v was done", c)
		}
	}
}

func TestOneVersionIsInForce(t *testing.T) {
	s := &shelf{}
	for _, v := range []string{"1", "2"} {
		if err := s.write(versioned(v), "ann"); err != nil {
			t.Fatal(err)
		}
		s.must(t, "submit ann", "approve bob")
	}
	if got := s.states(); got != "1 retired, 2 approved" {
		t.Errorf("got %s", got)
	}
	s.must(t, "suspend bob")
	if err := s.write(versioned("3"), "ann"); err != nil {
		t.Fatal(err)
	}
	if g := Governing(s.all); len(g) != 1 || g[0].Version != "2" || g[0].Refuses("acme", moment) != messages.ReasonAgreementSuspended {
		t.Errorf("a draft beside a suspended version: %+v", g)
	}
	s.must(t, "submit ann", "approve bob")
	if got := s.states(); got != "1 retired, 2 retired, 3 approved" {
		t.Errorf("got %s", got)
	}
	s.must(t, "retire bob")
	if g := Governing(s.all); g[0].Version != "3" || g[0].Refuses("acme", moment) != messages.ReasonAgreementNotApproved {
		t.Errorf("retired: %+v", g)
	}
	if err := s.write(versioned("3"), "ann"); !errors.Is(err, ErrExists) {
		t.Errorf("the same version again: %v", err)
	}
	if _, err := Edit(s.all, "[None]", "", did(ActSuspend, "bob")); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown agreement: %v", err)
	}
	if _, err := Edit(s.all, "[Cost Analysis]", "9", did(ActSuspend, "bob")); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown version: %v", err)
	}
}

func TestADraftSaysNothingOfItsApproval(t *testing.T) {
	a := versioned("1")
	a.Approver = "somebody who never saw it"
	s := &shelf{}
	if err := s.write(a, "ann"); err != nil || s.all[0].Approver != "" {
		t.Errorf("%v, %+v", err, s.all)
	}
}

func TestSeedsYieldToWhatWasWritten(t *testing.T) {
	s := &shelf{}
	seed := func(a Agreement) error { return s.keep(Seed(s.all, a, did(ActSeed, "settings"))) }
	if err := seed(versioned("1")); err != nil || s.states() != "1 approved" {
		t.Fatalf("%v: %s", err, s.states())
	}
	if err := seed(versioned("2")); err != nil || s.states() != "1 approved" {
		t.Errorf("%v: %s", err, s.states())
	}
	other := cost()
	other.Trigger, other.DefaultFor = "[Other]", []string{"acme"}
	rival := other
	rival.Trigger = "[Rival]"
	if err := errors.Join(seed(other)); err != nil {
		t.Fatal(err)
	}
	if err := seed(rival); err == nil {
		t.Error("two defaults of one tenant")
	}
}

func TestWhoMayNotRunIsToldWhy(t *testing.T) {
	approved := func(change func(*Entry)) Entry {
		e := Entry{Agreement: versioned("1"), State: StateApproved}
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		e    Entry
		want messages.Reason
	}{
		"approved":      {approved(func(*Entry) {}), ""},
		"draft":         {approved(func(e *Entry) { e.State = StateDraft }), messages.ReasonAgreementNotApproved},
		"retired":       {approved(func(e *Entry) { e.State = StateRetired }), messages.ReasonAgreementNotApproved},
		"suspended":     {approved(func(e *Entry) { e.State = StateSuspended }), messages.ReasonAgreementSuspended},
		"expired":       {approved(func(e *Entry) { e.ValidUntil = moment }), messages.ReasonAgreementExpired},
		"not yet valid": {approved(func(e *Entry) { e.ValidFrom = moment.Add(1) }), messages.ReasonAgreementNotYetValid},
		"a neighbour's": {approved(func(e *Entry) { e.Tenants = []string{"other"} }), messages.ReasonAgreementNotAllowed},
		"its own":       {approved(func(e *Entry) { e.Tenants = []string{"other", "acme"} }), ""},
	} {
		if got := c.e.Refuses("acme", moment); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	e := approved(func(e *Entry) { e.ValidUntil = moment })
	if e.StateAt(moment) != StateExpired || e.StateAt(moment.Add(-1)) != StateApproved {
		t.Error("an expired version does not show as such")
	}
}

// Whatever people do, at most one version is in force, nobody approved what was their own, and every version came there by its acts.
func TestLifeHolds(t *testing.T) {
	people := []string{"ann", "bob", "cy"}
	rapid.Check(t, func(t *rapid.T) {
		s := &shelf{}
		for i := range rapid.IntRange(1, 40).Draw(t, "acts") {
			by := rapid.SampledFrom(people).Draw(t, "by")
			switch act := rapid.SampledFrom([]Act{ActWrite, ActSubmit, ActReturn, ActApprove, ActSuspend, ActResume, ActRetire, ActSeed}).Draw(t, "act"); act {
			case ActWrite:
				_ = s.write(versioned(fmt.Sprint(i)), by)
			case ActSeed:
				_ = s.keep(Seed(s.all, versioned(fmt.Sprint(i)), did(ActSeed, "settings")))
			case ActSubmit, ActReturn, ActApprove, ActSuspend, ActResume, ActRetire, ActSupersede:
				version := ""
				if len(s.all) > 0 && rapid.Bool().Draw(t, "named") {
					version = rapid.SampledFrom(s.all).Draw(t, "version").Version
				}
				_ = s.keep(Edit(s.all, "[Cost Analysis]", version, did(act, by)))
			}
			inForce := 0
			for _, e := range s.all {
				if e.InForce() {
					inForce++
				}
				if e.State == StateApproved && e.Author != "settings" && (e.Approver == "" || same(e.Approver, e.Author)) {
					t.Fatalf("%+v was approved by %q", e, e.Approver)
				}
			}
			if inForce > 1 {
				t.Fatalf("%d are in force: %s", inForce, s.states())
			}
		}
	})
}

func TestBoundsOfAnAgreementAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Agreement){
		"fallback_age_seconds": func(a *Agreement) { a.FallbackAgeSeconds = -1 },
		"limits.calls_day":     func(a *Agreement) { a.Limits.CallsDay = -1 },
		"limits.day_microusd":  func(a *Agreement) { a.Limits.DayMicroUSD = MaxLimit + 1 },
		"tenants":              func(a *Agreement) { a.Tenants = []string{"A b"} },
		"default_for":          func(a *Agreement) { a.DefaultFor = []string{"A b"} },
		"is not one of":        func(a *Agreement) { a.Tenants, a.DefaultFor = []string{"acme"}, []string{"other"} },
		"allowed: ":            func(a *Agreement) { a.Allowed.Data = []string{"colour"} },
	} {
		a := cost()
		change(&a)
		if _, err := NewBook([]Agreement{a}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	all, own := cost(), cost()
	all.DefaultFor = []string{Everybody}
	own.Trigger, own.DefaultFor = "[Own]", []string{"acme"}
	b := mustBook(t, all, own)
	if e, has := b.Default("acme"); !has || e.Trigger != "[Own]" {
		t.Errorf("got %+v", e)
	}
	if e, has := b.Default("other"); !has || e.Trigger != "[Cost Analysis]" {
		t.Errorf("got %+v", e)
	}
	if _, has := mustBook(t, cost()).Default("acme"); has {
		t.Error("a default out of nothing")
	}
}

func TestWhatNobodyApprovedGovernsNobody(t *testing.T) {
	draft, other := Entry{Agreement: versioned("1"), State: StateDraft}, Entry{Agreement: cost(), State: StateApproved}
	draft.DefaultFor, other.Trigger, other.DefaultFor = []string{"acme"}, "[Everybody's]", []string{Everybody}
	neighbours := Entry{Agreement: cost(), State: StateApproved}
	neighbours.Trigger, neighbours.Tenants = "[Error Analysis]", []string{"other"}
	b, err := Bind([]Entry{draft, other, neighbours})
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := b.Default("acme"); e.Trigger != "[Everybody's]" {
		t.Errorf("the default is %s", e.Trigger)
	}
	for _, text := range []string{"[Cost Analysis]", "run the error analysis"} {
		if m := b.MatchFor("acme", text); m.Trigger != "" || m.Ambiguous || len(m.Candidates) != 0 {
			t.Errorf("%s: %+v", text, m)
		}
		if m := b.Match(text); m.Trigger == "" {
			t.Errorf("%s: %+v", text, m)
		}
	}
	if m := b.MatchFor("other", "run the error analysis"); m.Trigger != "[Error Analysis]" {
		t.Errorf("got %+v", m)
	}
}

func TestAVersionThatIsValidLaterTakesNoneOutOfForce(t *testing.T) {
	s, later := &shelf{}, versioned("2")
	later.ValidFrom = moment.Add(time.Hour)
	for _, a := range []Agreement{versioned("1"), later} {
		if err := s.write(a, "ann"); err != nil {
			t.Fatal(err)
		}
		s.must(t, "submit ann")
		if err := s.do(ActApprove, "bob"); (err != nil) != (a.Version == "2") {
			t.Errorf("%s: %v", a.Version, err)
		}
	}
	if got := s.states(); got != "1 approved, 2 review" {
		t.Errorf("got %s", got)
	}
}

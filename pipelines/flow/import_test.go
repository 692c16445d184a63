package flow_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
)

func summary() flow.Agreement {
	return flow.Agreement{
		Trigger: "[Board Summary]", FlowEncoding: "@board#summary!write@reports", Action: "ask", Owner: "sales",
		Allowed: messages.Allowed{Models: []string{"m"}}, Limits: flow.Limits{CallsDay: 10}, Parameters: map[string]any{"days": 7, "of": map[string]any{"x": true}},
	}
}

func TestCompareNamesFields(t *testing.T) {
	t.Parallel()
	a, b := summary(), summary().Complete()
	b.Approver, b.Version, b.Parameters = "maria", "7", map[string]any{"days": 7.0, "of": map[string]any{"x": true}}
	if d := flow.Compare(a, b); len(d) != 0 {
		t.Errorf("the same content differs: %+v", d)
	}
	b.Limits, b.Allowed.Models, b.Owner = flow.Limits{DayMicroUSD: 5_000_000}, []string{"m", "n"}, ""
	b.Parameters = map[string]any{"days": 8, "of": map[string]any{"x": false, "version": "1"}}
	want := []flow.Difference{
		{"allowed.models", []any{"m"}, []any{"m", "n"}},
		{"limits.calls_day", 10.0, nil},
		{"limits.day_microusd", nil, 5_000_000.0},
		{"owner", "sales", nil},
		{"parameters.days", 7.0, 8.0},
		{"parameters.of.version", nil, "1"},
		{"parameters.of.x", true, false},
	}
	if d := flow.Compare(a, b); !reflect.DeepEqual(d, want) {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
}

func TestImportWritesWhatNoVersionHas(t *testing.T) {
	t.Parallel()
	write := flow.Change{Act: flow.ActWrite, By: "anna", Reason: "plan", At: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	first, written, err := flow.Import(nil, summary(), write)
	if err != nil || !written || first.State != flow.StateDraft || first.Author != "anna" || first.Version == "" {
		t.Fatalf("got %+v, %t, %v", first, written, err)
	}
	named := summary()
	named.Version = "2"
	otherwise := named
	otherwise.Owner = "finance"
	in := func(e flow.Entry, s flow.State) flow.Entry { e.State = s; return e }
	for name, c := range map[string]struct {
		all     []flow.Entry
		a       flow.Agreement
		written bool
		fault   error
	}{
		"the draft is there":              {all: []flow.Entry{first}, a: summary()},
		"under another name":              {all: []flow.Entry{first}, a: named},
		"it is in force":                  {all: []flow.Entry{in(first, flow.StateApproved)}, a: summary()},
		"it is suspended":                 {all: []flow.Entry{in(first, flow.StateSuspended)}, a: named},
		"it was retired":                  {all: []flow.Entry{in(first, flow.StateRetired)}, a: summary(), fault: flow.ErrExists},
		"it was retired, and has a name":  {all: []flow.Entry{in(first, flow.StateRetired)}, a: named, written: true},
		"its name has another content":    {all: []flow.Entry{{Agreement: named, State: flow.StateApproved}}, a: otherwise, fault: flow.ErrExists},
		"another version has another one": {all: []flow.Entry{first}, a: otherwise, written: true},
	} {
		e, written, err := flow.Import(c.all, c.a, write)
		if written != c.written || !errors.Is(err, c.fault) || c.fault == nil && (err != nil || e.Trigger != c.a.Trigger) {
			t.Errorf("%s: got %+v, %t, %v", name, e, written, err)
		}
	}
}

func TestWhoWroteItMayNotApproveItUnlookedUp(t *testing.T) {
	t.Parallel()
	for _, names := range [][2]string{{"anna", "anna (unverified)"}, {"anna (unverified)", "Anna"}, {"anna", " ANNA "}} {
		e := flow.Entry{Agreement: summary(), State: flow.StateReview, Author: names[0]}
		if _, err := e.Move(flow.Change{Act: flow.ActApprove, By: names[1], Reason: "mine"}); !errors.Is(err, flow.ErrOwnApproval) {
			t.Errorf("%s approves what %s wrote: %v", names[1], names[0], err)
		}
	}
}

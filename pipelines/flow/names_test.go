package flow_test

import (
	"strings"
	"testing"

	"flowgate/pipelines/flow"
)

// TestNamesThatNobodyCouldTellAreRefusedWhereTheyAreWritten, and stay readable where they were written before.
func TestNamesThatNobodyCouldTellAreRefusedWhereTheyAreWritten(t *testing.T) {
	t.Parallel()
	write := flow.Change{Act: flow.ActWrite, By: "anna", Reason: "plan"}
	seed := flow.Change{Act: flow.ActSeed, By: "settings", Reason: "plan"}
	for trigger, want := range map[string]string{
		"[A\tB]": "one line", "[A\x1b[31m]": "one line", "[A\u202eB]": "invisible", "[A\u200bB]": "invisible", "[A\u2028B]": "invisible",
		"[A\u00a0B]": "invisible", "[]": "more than brackets", "[ ]": "more than brackets",
	} {
		a := summary()
		a.Trigger = trigger
		_, written := flow.Write(nil, a, write)
		_, seeded := flow.Seed(nil, a, seed)
		for _, err := range []error{written, seeded, flow.CheckNames([]flow.Agreement{a})} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", trigger, err)
			}
		}
		if _, err := flow.Bind([]flow.Entry{{Agreement: a, State: flow.StateApproved}}); err != nil {
			t.Errorf("%q is on record and is not read: %v", trigger, err)
		}
	}
	hidden := summary()
	hidden.Owner = "sales\u200f"
	if err := flow.CheckNames([]flow.Agreement{hidden}); err == nil || !strings.Contains(err.Error(), "owner: has invisible") {
		t.Errorf("got %v", err)
	}
	for _, trigger := range []string{"[Überblick 2]", "ピザ", "§"} {
		a := summary()
		a.Trigger = trigger
		if err := flow.CheckNames([]flow.Agreement{a}); err != nil {
			t.Errorf("%q: %v", trigger, err)
		}
	}
}

// TestATriggerThatLooksLikeAnotherIsRefused unless the other one is retired, or both are there already.
func TestATriggerThatLooksLikeAnotherIsRefused(t *testing.T) {
	t.Parallel()
	write := flow.Change{Act: flow.ActWrite, By: "anna", Reason: "plan"}
	there := flow.Entry{Agreement: summary().Complete(), State: flow.StateApproved}
	for _, trigger := range []string{"[board summary]", "[Board  Summary]", "[ Board Summary ]", "[BoardSummary]"} {
		a := summary()
		a.Trigger = trigger
		for _, err := range []error{flow.CheckNames([]flow.Agreement{summary(), a}), last(flow.Write([]flow.Entry{there}, a, write))} {
			if err == nil || !strings.Contains(err.Error(), `differs from "[Board Summary]" only in`) {
				t.Errorf("%q: %v", trigger, err)
			}
		}
		gone := there
		gone.State = flow.StateRetired
		both := flow.Entry{Agreement: a.Complete(), State: flow.StateApproved}
		a.Owner = "finance"
		for _, all := range [][]flow.Entry{{gone}, {there, both}} {
			if _, err := flow.Write(all, a, write); err != nil {
				t.Errorf("%q: %v", trigger, err)
			}
		}
	}
}

func last(_ []flow.Entry, err error) error { return err }

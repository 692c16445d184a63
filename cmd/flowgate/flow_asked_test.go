package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/flow"
)

// TestOneThatCannotBeAskedForDoesNotEndTheRun, and what ends it leaves the names of the others.
func TestOneThatCannotBeAskedForDoesNotEndTheRun(t *testing.T) {
	t.Parallel()
	var entries []flow.Entry
	for _, trigger := range []string{"[A]", "[B\t]", "[C]", "[D]", "[E]"} {
		entries = append(entries, flow.Entry{Agreement: flow.Agreement{Trigger: trigger}})
	}
	broken := errors.New("the broker is gone")
	var r flowRun
	runs := agreementRuns{All: len(entries), LeftOut: []string{"[Own]"}}
	err := runs.each(entries, func(e flow.Entry, place string) (agreementRun, error) {
		if _, err := r.order(e.Trigger); err != nil {
			return agreementRun{}, fmt.Errorf("%w: %w", errNotAsked, err)
		}
		if e.Trigger == "[D]" {
			return agreementRun{}, broken
		}
		return agreementRun{Trigger: e.Trigger, Mode: messages.ExecutionReal, Status: messages.StatusSuccess}, nil
	})
	if !errors.Is(err, broken) || len(runs.Executions) != 3 || runs.Real != 2 || runs.Executions[1].Because == "" || len(runs.NotRun) != 1 {
		t.Fatalf("got %+v, %v", runs, err)
	}
	var b strings.Builder
	if err := runs.show(&b, &globals{}); !errors.Is(err, errSaid) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"it cannot be asked for: ", "not run: [E]", "2 of 5 were real and succeeded; 1 left out"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestTheDefaultReasonFitsEveryTrigger(t *testing.T) {
	t.Parallel()
	for trigger, want := range map[string]string{
		"[A]": "asked for by hand: flow run [A]", "[A\t]": "asked for by hand: flow run", "[A\u202e]": "asked for by hand: flow run",
		strings.Repeat("x", messages.MaxTextBytes): "asked for by hand: flow run",
	} {
		if got := askedByHand(trigger); got != want {
			t.Errorf("%.20q: %q", trigger, got)
		}
	}
}

// TestAPipelineWithoutAPromptAsksForAnAction of the shipped agreement, unless another one is named.
func TestAPipelineWithoutAPromptAsksForAnAction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args    []string
		trigger string
	}{
		{[]string{"--reason", "r"}, pipelineTrigger},
		{[]string{"--reason", "r", "--trigger", "[B]"}, "[B]"},
		{[]string{"--reason", "r", "Say OK"}, ""}, // correlated names it
	} {
		var s submission
		cmd := &cobra.Command{Use: "run"}
		s.bind(cmd)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		if err := s.agreed(cmd, cmd.Flags().Args()); err != nil {
			t.Fatal(err)
		}
		if _, r, err := s.read(cmd, cmd.Flags().Args()); err != nil || r.Trigger != c.trigger {
			t.Errorf("%v: trigger %q, %v", c.args, r.Trigger, err)
		}
	}
}

package main

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker/actions"
	"flowgate/worker/postgres"
)

// ranAgreements is what run --all says with --json.
type ranAgreements struct {
	Executions []agreementRun
	Real, All  int
}

// TestAgreementsAreRunAndTheirHistoryTold: one by its words with parameters of the caller's, all of them, one that is suspended, and one
// whose end is not waited for.
func TestAgreementsAreRunAndTheirHistoryTold(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	up.ready()

	var r messages.Result
	g.say("flow", "run", "cost analysis", "--param", "days=3", "--user", "anna", "--reason", "a test of runs", "--json").read(t, &r)
	var costs actions.CostReport
	if r.Execution == nil || r.Execution.Mode != messages.ExecutionReal || json.Unmarshal(r.Execution.Result, &costs) != nil || costs.Until.Sub(costs.Since) > 4*24*time.Hour {
		t.Fatalf("got %+v", r)
	}
	g.say("flow", "run", "[Cost Analysis]", "--param", "days=many").wants(t, exitFailed, "parameter days must be a whole number", "failed")
	for _, c := range [][]string{
		{"flow", "run"},
		{"flow", "run", "cost analysis", "--all"},
		{"flow", "run", "contest"},
		{"flow", "run", "cost analysis", "--param", "days"},
		{"flow", "run", "cost analysis", "--param", "days=1", "--param", "days=2"},
		{"flow", "run", "cost analysis", "--id", "a b"},
		{"flow", "history", "--mode", "good"},
		{"flow", "history", "--until", "tomorrow"},
		{"flow", "history", "[Cost Analysis]", "--trigger", "cost analysis"},
	} {
		g.say(c...).wants(t, exitUsage)
	}

	g.act("suspend", "[Error Analysis]", "maria")
	eventually(t, "runs of the suspended agreement are denied", func() bool {
		s := g.say("flow", "run", "[Error Analysis]")
		return s.code == exitFailed && strings.Contains(s.stdout, "denied (agreement_suspended)") && strings.Contains(s.stdout, "action    denied")
	})

	var all ranAgreements
	s := g.say("flow", "run", "--all", "--json")
	s.read(t, &all)
	real := 0
	for _, x := range all.Executions {
		if x.ID == "" || x.Trigger == "[Error Analysis]" || x.Trigger == "[Cost Analysis]" && !x.good() || !strings.Contains(s.stderr, x.Trigger+": "+string(x.Mode)) {
			t.Errorf("ran %+v, and told %s", x, s.stderr)
		}
		if x.good() {
			real++
		}
	}
	if len(all.Executions) != all.All || all.All < 4 || all.Real != real || (s.code == exitDone) != (real == all.All) {
		t.Errorf("code %d, %+v", s.code, all)
	}
	g.historyTells(real)

	// An interrupt ends the wait, and what was asked for goes on.
	g.say("pause", "agreement", "[Cost Analysis]", "--reason", "x").wants(t, exitDone)
	p := g.begin(g.command("flow", "run", "[Cost Analysis]", "--id", "waits"), "")
	p.until("its request waits", func() bool { return strings.Contains(g.say("result", "waits").stdout, "waits: pending") })
	p.signal(syscall.SIGINT)
	p.ended().wants(t, exitFailed, "waits is pending", "flowgate result waits --wait")
	up.stop()
}

// historyTells wants the executions of the test on record.
func (g *ground) historyTells(real int) {
	t := g.t
	t.Helper()
	var h agreementHistory
	count := func(trigger string) (n postgres.ExecutionCount) {
		for _, c := range h.LastHour {
			if c.Trigger == trigger {
				n = c
			}
		}
		return n
	}
	eventually(t, "all executions are on record", func() bool {
		g.say("flow", "history", "--json").read(t, &h)
		return len(h.Executions) >= 7 && count("[Cost Analysis]").Real == 2
	})
	if cost, errs := count("[Cost Analysis]"), count("[Error Analysis]"); cost.Failed != 1 || cost.All() != 3 || errs.Denied == 0 || len(h.Changes) != 7 {
		t.Errorf("the last hour has %+v, the changes are %d", h.LastHour, len(h.Changes))
	}
	if !slices.IsSortedFunc(h.Executions, func(a, b postgres.Execution) int { return b.EndedAt.Compare(a.EndedAt) }) {
		t.Errorf("the newest is not first: %+v", h.Executions)
	}
	h = agreementHistory{}
	g.say("flow", "history", "cost analysis", "--user", "anna", "--mode", "real", "--since", "1h", "--json").read(t, &h)
	if len(h.Executions) != 1 || h.Executions[0].UserID != "anna" || h.Executions[0].Action != actions.CostAnalysisAction || h.Changes == nil || len(h.Changes) != 0 || len(h.LastHour) != 1 {
		t.Errorf("got %+v", h)
	}
	shown := g.say("flow", "history", "--mode", "denied", "--trigger", "error analysis", "--limit", "1")
	shown.wants(t, exitDone, "executions in tenant default", "agreement_suspended", "last hour", "BECAUSE")
	if strings.Contains(shown.stdout, "changes of agreements") {
		t.Errorf("got %s", shown.stdout)
	}
	for line := range strings.SplitSeq(g.say("flow", "history").stdout, "\n") {
		if cellsOf(line) > tableWidth {
			t.Errorf("a line of %d cells: %s", cellsOf(line), line)
		}
	}
	g.say("flow", "history", "--until", "24h").wants(t, exitDone, "none")
}

func TestNotesStandBehindTheirRowsOrBelow(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	long := strings.Repeat("because of this ", 10)
	if err := notedTable(&b, "A B", [][]string{{"one", "1"}, {"two\x1b", "2"}, {"three", "3"}}, "NOTE", []string{"short\n", long, ""}); err != nil {
		t.Fatal(err)
	}
	want := "A      B  NOTE\none    1  short \ntwo\ufffd   2\n    " + strings.Join(wrapped([]string{long}, tableWidth-4), "\n    ") + "\nthree  3\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"flowgate/worker/chaos"
)

// TestChaos is the short form of `make chaos`: everything is killed, frozen, cut off and restarted, and every zero is zero.
// FLOWGATE_SEED names another seed.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := os.Getenv(envSeed)
	if seed == "" {
		seed = "42" // money is short in every third seed
	}
	dir := stateFolder(t)
	cmd := exec.Command(binary(t), "chaos", "--seed", seed, "--requests", "500", "--faults", "10", "--json", "--state", filepath.Join(dir, "chaos")) //nolint:gosec // the program under test
	g := &ground{t: t, state: dir}
	cmd.Env = environ()
	said := g.begin(cmd, "").endedWithin(15 * patience / 2)
	var report chaosReport
	if err := json.Unmarshal([]byte(said.stdout), &report); err != nil {
		t.Fatalf("seed %s: %v: %+v", seed, err, said)
	}
	said.wants(t, exitDone)
	if !report.OK || report.Accepted != 500 || report.Results != 500 || len(report.Struck) != 10 || report.ProviderCalls < 400 || report.Intents < 400 || report.DeadLetters == 0 {
		t.Errorf("%s", said.stdout)
	}
	t.Logf("%s: %d calls, %d repeated, %d exits that nobody asked for, %.1f s", report.Again, report.ProviderCalls, report.RepeatedCalls, report.UnaskedExits, report.Seconds)
}

func TestChaosPrintsItsPlanAndDoesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plan := func() string {
		said := flowgate(t, dir, "chaos", "--seed", "42", "--plan", "--json")
		said.wants(t, exitDone)
		return said.stdout
	}
	text := plan()
	var p chaos.Plan
	if err := json.Unmarshal([]byte(text), &p); err != nil || len(p.Schedule) != 10 || len(p.Mix) != 500 {
		t.Fatalf("%v: %d faults, %d requests", err, len(p.Schedule), len(p.Mix))
	}
	if plan() != text {
		t.Error("the same seed prints two plans")
	}
	flowgate(t, dir, "chaos", "--cluster", "2").wants(t, exitUsage, "cluster")
}

// TestChaosLeavesNothingBehindWhenInterrupted interrupts it under load.
func TestChaosLeavesNothingBehindWhenInterrupted(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	dir := filepath.Join(g.state, "chaos")
	cmd := exec.Command(binary(t), "chaos", "--state", dir, "--seed", "1") //nolint:gosec // the program under test
	cmd.Env = environ()
	c := g.begin(cmd, "")
	c.until("something was struck", func() bool { return strings.Contains(c.out.String(), "accepted: ") })
	c.signal(syscall.SIGINT)
	if s := c.ended(); s.code == exitDone {
		t.Errorf("an interrupted drill ended with %d", s.code)
	}
	eventually(t, "every process of the drill has ended", func() bool { return !strings.Contains(commandLines(t), dir) })
}

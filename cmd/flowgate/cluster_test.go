package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestClusterReplacesAWorkerOfEachKindUnderLoad is the short form of `make cluster`: three servers, three copies, two workers a
// layer.
func TestClusterReplacesAWorkerOfEachKindUnderLoad(t *testing.T) {
	t.Parallel()
	dir := stateFolder(t)
	said := flowgate(t, dir, "cluster", "--state", filepath.Join(dir, "cluster"), "--file", manyLines(t, 40), "--lasts", "8s", "--json")
	said.wants(t, exitDone)
	var report clusterReport
	if err := json.Unmarshal([]byte(said.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if !report.OK || report.Lines != 40 || report.Outcomes != 40 || report.Copies != 3 || len(report.Replaced) != len(layerWords()) || report.NATSBytes <= 0 || report.PostgresBytes <= 0 || report.Connections <= 0 {
		t.Errorf("%s", said.stdout)
	}
	t.Logf("started in %.1f s, batch %.1f s, everything %.1f s", report.StartSeconds, report.BatchSeconds, report.Seconds)
}

// TestClusterLeavesNothingBehindWhenInterrupted interrupts it once its processes are there.
func TestClusterLeavesNothingBehindWhenInterrupted(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	dir := filepath.Join(g.state, "cluster")
	c := g.begin(exec.Command(binary(t), "cluster", "--state", dir, "--lasts", "1m"), "") //nolint:gosec // the program under test
	c.until("the batch is sent", func() bool { return strings.Contains(c.out.String(), "Sending ") })
	eventually(t, "the processes of the cluster are seen", func() bool { return strings.Contains(commandLines(t), dir) })
	c.signal(syscall.SIGINT)
	if s := c.ended(); s.code == exitDone {
		t.Errorf("an interrupted rehearsal ended with %d", s.code)
	}
	eventually(t, "every process of the cluster has ended", func() bool { return !strings.Contains(commandLines(t), dir) })
}

// commandLines are those of every process of this machine: from /proc where there is one (a minimal system has no ps).
func commandLines(t *testing.T) string {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, p := range processes {
		line, err := os.ReadFile(p) //nolint:gosec // of the system's own making
		if err == nil {             // else it has ended meanwhile
			all.Write(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
			all.WriteByte('\n')
		}
	}
	if len(processes) > 0 {
		return all.String()
	}
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-ww", "-o", "args").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

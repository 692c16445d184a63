package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 wherever Linux runs.
const tick = 10 * time.Millisecond

// usage is what was used up to a moment, or between two.
type usage struct {
	// process is user and system time of this process, the load's included; postgres that of the Postgres processes.
	process, postgres time.Duration
	// allocated counts bytes.
	allocated uint64
}

func (u usage) minus(before usage) usage {
	return usage{
		process: u.process - before.process, postgres: max(0, u.postgres-before.postgres),
		allocated: u.allocated - before.allocated,
	}
}

// meter reads usage; postmaster 0 leaves Postgres out.
type meter struct{ postmaster int }

func (m *meter) read() (usage, error) {
	var u usage
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return u, fmt.Errorf("reading this process's CPU time: %w", err)
	}
	u.process = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	u.allocated = stats.TotalAlloc
	if m.postmaster == 0 {
		return u, nil
	}
	var err error
	u.postgres, err = treeCPU("/proc", m.postmaster)
	return u, err
}

// process is one line of /proc/<pid>/stat.
type process struct {
	parent int
	// cpu is user and system time, also of children that have ended and were waited for: the sum over a tree of processes
	// loses nothing when one of them ends.
	cpu time.Duration
}

// treeCPU sums the CPU time of a process and all that descend from it.
func treeCPU(proc string, root int) (time.Duration, error) {
	stats, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	if err != nil {
		return 0, fmt.Errorf("listing processes: %w", err)
	}
	all := make(map[int]process, len(stats))
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		data, err := os.ReadFile(path) //nolint:gosec // a path of /proc
		if err != nil {
			continue // ended meanwhile
		}
		if p, err := parseStat(data); err == nil {
			all[pid] = p
		}
	}
	if _, found := all[root]; !found {
		return 0, fmt.Errorf("reading the CPU time of process %d: not found in %s", root, proc)
	}
	children := make(map[int][]int)
	for pid, p := range all {
		children[p.parent] = append(children[p.parent], pid)
	}
	var sum time.Duration
	for tree := []int{root}; len(tree) > 0; tree = tree[1:] {
		sum += all[tree[0]].cpu
		tree = append(tree, children[tree[0]]...)
	}
	return sum, nil
}

// parseStat reads a stat line; the command in parentheses may hold anything, parentheses too.
func parseStat(data []byte) (process, error) {
	const parent, utime, times = 1, 11, 4 // places behind the command (proc_pid_stat(5), field 3 is place 0)
	end := bytes.LastIndexByte(data, ')')
	fields := bytes.Fields(data[end+1:])
	if end < 0 || len(fields) < utime+times {
		return process{}, fmt.Errorf("reading a stat line of %d fields", len(fields))
	}
	p := process{}
	var err error
	if p.parent, err = strconv.Atoi(string(fields[parent])); err != nil {
		return process{}, fmt.Errorf("reading the parent in a stat line: %w", err)
	}
	for _, field := range fields[utime : utime+times] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return process{}, fmt.Errorf("reading a time in a stat line: %w", err)
		}
		p.cpu += time.Duration(n) * tick
	}
	return p, nil
}

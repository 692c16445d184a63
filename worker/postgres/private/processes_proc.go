//go:build linux

package private

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// processesOn returns the live processes of a server, or of initdb, that work in dir or name it on their command line.
// Zombies, strangers with the number of a dead server, and a shell that stands in the folder are not among them.
func processesOn(dir string) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	here, err := os.Stat(dir)
	if err != nil {
		here = nil // initdb may be about to make it
	}
	var found []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, ok := inspect(pid, dir, here); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

// inspect says no for a process that ended meanwhile or is another user's; the latter cannot be the server of our data.
func inspect(pid int, dir string, here os.FileInfo) (process, bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return process{}, false
	}
	if len(line) == 0 {
		// A kernel thread, or a process on its way out, which keeps the shared memory for a moment longer: its name is left.
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || strings.TrimSpace(string(name)) != "postgres" {
			return process{}, false
		}
		line = []byte("postgres: exiting")
	}
	args := strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00")
	name := filepath.Base(args[0])
	main := name == "postgres" || name == "postmaster" || name == "initdb"
	if !main && !strings.HasPrefix(args[0], "postgres:") {
		return process{}, false
	}
	named := slices.Contains(args, dir) || slices.Contains(args, "--pgdata="+dir)
	if !named {
		cwd, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil || here == nil || !os.SameFile(cwd, here) {
			return process{}, false
		}
	}
	parent, dead := status(pid)
	return process{pid: pid, parent: parent, main: main}, !dead
}

// status reads the parent and whether the process is dead or a zombie from "pid (name) state parent …"; the name may
// hold anything.
func status(pid int) (parent int, dead bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, true
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0, true
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, err != nil || fields[0] == "Z" || fields[0] == "X"
}

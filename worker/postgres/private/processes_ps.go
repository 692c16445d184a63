//go:build unix && !linux

package private

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// processesOn returns the live postmaster, or initdb, that names dir on its command line. Children of a dead postmaster
// do not; the server itself refuses to start while they hold its shared memory.
func processesOn(dir string) ([]process, error) {
	out, err := exec.Command("ps", "-axww", "-o", "pid=,ppid=,stat=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var found []process
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.HasPrefix(fields[2], "Z") {
			continue
		}
		name := filepath.Base(fields[3])
		if name != "postgres" && name != "postmaster" && name != "initdb" {
			continue
		}
		if !strings.Contains(line, "-D "+dir+" ") && !strings.Contains(line, "--pgdata="+dir+" ") {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		found = append(found, process{pid: pid, parent: parent, main: true})
	}
	return found, nil
}

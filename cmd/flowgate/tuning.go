package main

import (
	"os"
	"runtime/debug"

	"flowgate/configs"
)

// gcPercent trades memory for speed: the live heap is small, and most of what is allocated are messages on their way. It is
// that of short commands; a process that serves takes performance.memory.
const gcPercent = 300

// tune bounds the memory of this process as settings say; Go's own variables win.
func tune(s configs.MemoryPerformance) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(s.GCFrequency)
	}
	if os.Getenv("GOMEMLIMIT") == "" && s.MaxUsageMB > 0 {
		debug.SetMemoryLimit(int64(s.MaxUsageMB) << 20)
	}
}

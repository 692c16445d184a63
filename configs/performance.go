package configs

import "time"

// Performance is the user's section of that name.
type Performance struct {
	ConnectionPool ConnectionPool     `yaml:"connection_pool"`
	Request        RequestPerformance `yaml:"request"`
	Memory         MemoryPerformance  `yaml:"memory"`
}

// ConnectionPool is how connections to backends are kept.
type ConnectionPool struct {
	// Enabled keeps connections for the next call.
	Enabled bool `yaml:"enabled"`
	// MaxConnections bounds the connections to a backend, and with them the calls in flight; 0 to 100000, 0 is
	// as many as flowgate.concurrency allows calls.
	MaxConnections int `yaml:"max_connections"`
	MaxRetries     int `yaml:"max_retries" void:"calls are tried again as the section retry says; a second count would multiply with it"`
}

// RequestPerformance is how backends are asked.
type RequestPerformance struct {
	// Compression lets backends compress their answers.
	Compression bool `yaml:"compression"`
	// Timeout bounds one call where flowgate.backends has no timeout of its own; 1 to 3600 seconds.
	Timeout time.Duration `yaml:"timeout_seconds" unit:"seconds"`
	// KeepAlive keeps connections for the next call.
	KeepAlive bool `yaml:"keep_alive"`
}

// MemoryPerformance bounds the memory of a process that serves.
type MemoryPerformance struct {
	// MaxUsageMB is what the process tries to stay below, in MiB; 0 is no bound, else 64 to 1048576. GOMEMLIMIT wins.
	MaxUsageMB int `yaml:"max_usage_mb"`
	// GCFrequency is by how many percent memory grows before garbage is collected: less is more often; 10 to 10000. GOGC wins.
	GCFrequency int `yaml:"gc_frequency"`
}

func defaultPerformance() Performance {
	return Performance{
		ConnectionPool: ConnectionPool{Enabled: true},
		Request:        RequestPerformance{Compression: true, Timeout: 10 * time.Minute, KeepAlive: true},
		Memory:         MemoryPerformance{GCFrequency: 300},
	}
}

// CallsAtOnce bounds the calls in flight in one process, of all classes together: a call that waits for a connection would spend its
// time with waiting.
func (s Settings) CallsAtOnce() int {
	if most := s.Performance.ConnectionPool.MaxConnections; most > 0 {
		return min(s.Flowgate.Concurrency.AI, most)
	}
	return s.Flowgate.Concurrency.AI
}

func (p Performance) validate(out *faults) {
	const key = "performance."
	out.between(key+"connection_pool.max_connections", p.ConnectionPool.MaxConnections, 0, 100_000)
	if p.Request.Timeout < time.Second || p.Request.Timeout > time.Hour {
		out.add(key+"request.timeout_seconds", "must be from 1 to 3600 seconds")
	}
	if p.Memory.MaxUsageMB != 0 {
		out.between(key+"memory.max_usage_mb", p.Memory.MaxUsageMB, 64, 1<<20)
	}
	out.between(key+"memory.gc_frequency", p.Memory.GCFrequency, 10, 10_000)
}

package configs

import "time"

// Performance is the user's section of that name.
type Performance struct {
	ConnectionPool ConnectionPool     `yaml:"connection_pool"`
	Request        RequestPerformance `yaml:"request"`
	Memory         MemoryPerformance  `yaml:"memory"`
}

// ConnectionPool bounds connections to providers.
type ConnectionPool struct {
	Enabled        bool `yaml:"enabled"`
	MaxConnections int  `yaml:"max_connections"`
	MaxRetries     int  `yaml:"max_retries"`
}

// RequestPerformance is how providers are asked.
type RequestPerformance struct {
	Compression bool          `yaml:"compression"`
	Timeout     time.Duration `yaml:"timeout_seconds" unit:"seconds"`
	KeepAlive   bool          `yaml:"keep_alive"`
}

// MemoryPerformance bounds the memory of the process.
type MemoryPerformance struct {
	MaxUsageMB  int `yaml:"max_usage_mb"`
	GCFrequency int `yaml:"gc_frequency"`
}

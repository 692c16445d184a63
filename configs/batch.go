package configs

import "time"

// Batch is the user's section of that name: how files of requests are fanned out.
type Batch struct {
	Default BatchPolicy            `yaml:"default"`
	Models  map[string]BatchPolicy `yaml:"models"`
}

// BatchPolicy is for one family; what it leaves out is the default's.
type BatchPolicy struct {
	BatchSize  *int           `yaml:"batch_size"`
	MaxWorkers *int           `yaml:"max_workers"`
	Timeout    *time.Duration `yaml:"timeout_seconds" unit:"seconds"`
}

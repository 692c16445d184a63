package configs

import "time"

// S3 is the user's section of that name: where large bodies and files are kept.
type S3 struct {
	Bucket            string        `yaml:"bucket"`
	Region            string        `yaml:"region"`
	Prefix            string        `yaml:"prefix"`
	ConnectionTimeout time.Duration `yaml:"connection_timeout" unit:"seconds"`
	MaxRetries        int           `yaml:"max_retries"`
}

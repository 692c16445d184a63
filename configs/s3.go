package configs

import (
	"regexp"
	"strings"
	"time"
)

// S3 is the user's section of that name: where objects are.
type S3 struct {
	// Bucket is empty where S3 is not used.
	Bucket string `yaml:"bucket"`
	// Region is the bucket's; empty is that of AWS in general.
	Region string `yaml:"region"`
	// Prefix is what the keys of our objects begin with.
	Prefix string `yaml:"prefix"`
	// Endpoint is a server with S3's protocol; empty is AWS. AWS_ENDPOINT_URL_S3 wins over it.
	Endpoint string `yaml:"endpoint"`
	// ConnectionTimeout bounds making one connection; 0.1 to 300 seconds.
	ConnectionTimeout time.Duration `yaml:"connection_timeout" unit:"seconds"`
	// MaxRetries is how often a failed call is repeated; 0 to 20.
	MaxRetries int `yaml:"max_retries"`
}

func defaultS3() S3 { return S3{ConnectionTimeout: 30 * time.Second, MaxRetries: 3} }

var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (s S3) validate(out *faults) {
	const key = "s3."
	if s.Bucket != "" && !bucketForm.MatchString(s.Bucket) {
		out.add(key+"bucket", "must be the name of a bucket: 3 to 63 of a-z 0-9 . -")
	}
	if len(s.Prefix) > 512 || strings.ContainsAny(s.Prefix, "\x00\n\r") || strings.HasPrefix(s.Prefix, "/") {
		out.add(key+"prefix", "must be at most 512 bytes on one line and not begin with /")
	}
	out.region(key+"region", s.Region)
	out.endpoint(key+"endpoint", s.Endpoint)
	if s.ConnectionTimeout < 100*time.Millisecond || s.ConnectionTimeout > 5*time.Minute {
		out.add(key+"connection_timeout", "must be from 0.1 to 300 seconds")
	}
	out.between(key+"max_retries", s.MaxRetries, 0, 20)
}

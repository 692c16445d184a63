package configs

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Retry is how often and how fast calls that failed are tried again.
type Retry struct {
	// Default holds for every model whose family has nothing else.
	Default RetryPolicy `yaml:"default"`
	// Models has what differs, by family: claude, titan, llama, nova, gpt. A model is of the family that its id contains.
	Models map[string]RetryOverride `yaml:"models"`
}

// RetryPolicy is an exponential policy: BaseDelay, times BackoffFactor each time, up to MaxDelay.
type RetryPolicy struct {
	// MaxRetries is how many transient failures end a request; 1 to 100. Left out it is flowgate.transient_attempts.
	MaxRetries int `yaml:"max_retries"`
	// BaseDelay and MaxDelay are in seconds.
	BaseDelay time.Duration `yaml:"base_delay" unit:"seconds"`
	MaxDelay  time.Duration `yaml:"max_delay" unit:"seconds"`
	// BackoffFactor is 1 to 100.
	BackoffFactor float64 `yaml:"backoff_factor"`
}

// RetryOverride is what a family has of its own; what it leaves out is the default's.
type RetryOverride struct {
	MaxRetries    *int           `yaml:"max_retries"`
	BaseDelay     *time.Duration `yaml:"base_delay" unit:"seconds"`
	MaxDelay      *time.Duration `yaml:"max_delay" unit:"seconds"`
	BackoffFactor *float64       `yaml:"backoff_factor"`
}

func defaultRetry() Retry {
	return Retry{Default: RetryPolicy{
		MaxRetries: defaultFlowgate().TransientAttempts, BaseDelay: time.Second, MaxDelay: time.Minute, BackoffFactor: 2,
	}, Models: map[string]RetryOverride{}}
}

// Families are the complete policies of the families that have one of their own.
func (r Retry) Families() map[string]RetryPolicy {
	families := make(map[string]RetryPolicy, len(r.Models))
	for family, o := range r.Models {
		p := r.Default
		override(&p.MaxRetries, o.MaxRetries)
		override(&p.BaseDelay, o.BaseDelay)
		override(&p.MaxDelay, o.MaxDelay)
		override(&p.BackoffFactor, o.BackoffFactor)
		families[family] = p
	}
	return families
}

func override[T any](value, own *T) {
	if own != nil {
		*value = *own
	}
}

func (r Retry) validate(out *faults) {
	const key = "retry.default."
	var inherited faults
	r.Default.validate(&inherited, key)
	wrong := map[string]bool{}
	for _, one := range inherited {
		if fault, ok := errors.AsType[*Fault](one); ok {
			wrong[strings.TrimPrefix(fault.Key, key)] = true
		}
	}
	*out = append(*out, inherited...)
	families := r.Families()
	for _, family := range slices.Sorted(maps.Keys(families)) {
		own := "retry.models." + clip(family) + "."
		var found faults
		families[family].validate(&found, own)
		for _, one := range found {
			// What a family only inherits is reported where it stands.
			if fault, ok := errors.AsType[*Fault](one); ok && !wrong[strings.TrimPrefix(fault.Key, own)] {
				*out = append(*out, one)
			}
		}
	}
}

func (p RetryPolicy) validate(out *faults, key string) {
	out.between(key+"max_retries", p.MaxRetries, 1, 100)
	if p.BaseDelay < time.Millisecond || p.BaseDelay > time.Hour {
		out.add(key+"base_delay", "must be from 0.001 to 3600 seconds")
	}
	if p.MaxDelay < p.BaseDelay || p.MaxDelay > 24*time.Hour {
		out.add(key+"max_delay", "must be from base_delay to 86400 seconds")
	}
	if math.IsNaN(p.BackoffFactor) || p.BackoffFactor < 1 || p.BackoffFactor > 100 {
		out.add(key+"backoff_factor", "must be from 1 to 100")
	}
}

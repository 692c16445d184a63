package configs

import (
	"maps"
	"slices"
	"time"
)

// Batch is the user's section of that name: how `flowgate batch submit` fans a file of requests out.
type Batch struct {
	// Default holds for every file that is not of one family that has something else.
	Default BatchPolicy `yaml:"default"`
	// Models has what differs, by family, for files whose every line asks a model of it.
	Models map[string]BatchOverride `yaml:"models"`
}

// BatchPolicy is how a file is sent: MaxWorkers groups of BatchSize requests are on their way to the queue at once.
type BatchPolicy struct {
	// BatchSize and MaxWorkers are 1 to 1000.
	BatchSize  int `yaml:"batch_size"`
	MaxWorkers int `yaml:"max_workers"`
	// Timeout is after how much time without any result the command stops waiting; what was sent goes on, and the same
	// command collects it later. 0 waits for ever; else up to 86400 seconds.
	Timeout time.Duration `yaml:"timeout_seconds" unit:"seconds"`
}

// BatchOverride is what a family has of its own; what it leaves out is the default's.
type BatchOverride struct {
	BatchSize  *int           `yaml:"batch_size"`
	MaxWorkers *int           `yaml:"max_workers"`
	Timeout    *time.Duration `yaml:"timeout_seconds" unit:"seconds"`
}

func defaultBatch() Batch {
	return Batch{Default: BatchPolicy{BatchSize: 16, MaxWorkers: 16}, Models: map[string]BatchOverride{}}
}

// Window is how many requests are on their way at once.
func (p BatchPolicy) Window() int { return p.BatchSize * p.MaxWorkers }

// Families are the complete policies of the families that have one of their own.
func (b Batch) Families() map[string]BatchPolicy {
	families := make(map[string]BatchPolicy, len(b.Models))
	for family, o := range b.Models {
		p := b.Default
		override(&p.BatchSize, o.BatchSize)
		override(&p.MaxWorkers, o.MaxWorkers)
		override(&p.Timeout, o.Timeout)
		families[family] = p
	}
	return families
}

func (b Batch) validate(out *faults) {
	b.Default.validate(out, "batch.default.")
	families := b.Families()
	for _, family := range slices.Sorted(maps.Keys(families)) {
		var own faults
		families[family].validate(&own, "")
		b.Default.drop(&own)
		for _, one := range faultsIn(own.join()) {
			out.add("batch.models."+clip(family)+"."+one.Key, "%s", one.Text)
		}
	}
}

// drop takes away what a family only inherits.
func (p BatchPolicy) drop(own *faults) {
	var inherited faults
	p.validate(&inherited, "")
	for _, wrong := range faultsIn(inherited.join()) {
		*own = slices.DeleteFunc(*own, func(err error) bool { return err.Error() == wrong.Error() })
	}
}

func (p BatchPolicy) validate(out *faults, key string) {
	out.between(key+"batch_size", p.BatchSize, 1, 1000)
	out.between(key+"max_workers", p.MaxWorkers, 1, 1000)
	if p.Timeout != 0 && (p.Timeout < time.Second || p.Timeout > 24*time.Hour) {
		out.add(key+"timeout_seconds", "must be 0, or from 1 to 86400 seconds")
	}
}

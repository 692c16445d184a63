package configs

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Cache is the user's section of that name: the response cache.
type Cache struct {
	// Enabled false turns the cache of every family off.
	Enabled bool `yaml:"enabled"`
	// Default holds for every model whose family has nothing else.
	Default CachePolicy `yaml:"default"`
	// Models has what differs, by family: claude, titan, llama, nova, gpt. A model is of the family that its id contains.
	Models map[string]CacheOverride `yaml:"models"`
	// Sampled false keeps only answers to requests of temperature 0.
	Sampled bool `yaml:"sampled"`
	// MemoryMB bounds the answers that a process keeps in memory beside their files, in MiB; 0 to 65536.
	MemoryMB int `yaml:"memory_mb"`
	// Shared is the level that workers of other machines share.
	Shared CacheShared `yaml:"shared"`
	// EncryptionKey, where it is set, encrypts what is stored; at least 16 characters.
	EncryptionKey Secret `yaml:"encryption_key"`
}

// CachePolicy is how a family's answers are cached.
type CachePolicy struct {
	Enabled bool `yaml:"enabled"`
	// CacheDir is where files are; one that is not absolute is in the state folder.
	CacheDir string `yaml:"cache_dir"`
	// ExpirationHours is for how long an answer is used again; above 0, to 8760.
	ExpirationHours float64 `yaml:"expiration_hours"`
	Compression     bool    `yaml:"compression"`
	// MaxCacheSizeMB bounds the files of a family, in MiB; 1 to 1000000.
	MaxCacheSizeMB int `yaml:"max_cache_size_mb"`
}

// CacheOverride is what a family has of its own; what it leaves out is the default's.
type CacheOverride struct {
	Enabled         *bool    `yaml:"enabled"`
	CacheDir        *string  `yaml:"cache_dir" void:"the files of all families are in one folder: cache.default.cache_dir"`
	ExpirationHours *float64 `yaml:"expiration_hours"`
	Compression     *bool    `yaml:"compression"`
	MaxCacheSizeMB  *int     `yaml:"max_cache_size_mb"`
}

// CacheShared is the level that workers share: the bucket flowgate_cache, and S3 for what is too large for it.
type CacheShared struct {
	Enabled bool `yaml:"enabled"`
	// MaxSizeMB bounds the bucket, in MiB; 1 to 1000000.
	MaxSizeMB int `yaml:"max_size_mb"`
}

func defaultCache() Cache {
	return Cache{
		Enabled: true, Sampled: true, MemoryMB: 64, Shared: CacheShared{Enabled: true, MaxSizeMB: 256},
		Default: CachePolicy{Enabled: true, CacheDir: ".bedrock_cache", ExpirationHours: 1, Compression: true, MaxCacheSizeMB: 256},
		Models: map[string]CacheOverride{
			"claude": {ExpirationHours: new(48.0)}, "titan": {ExpirationHours: new(12.0)}, "llama": {ExpirationHours: new(24.0)},
		},
	}
}

// TTL is for how long an answer is used again.
func (p CachePolicy) TTL() time.Duration {
	return time.Duration(p.ExpirationHours * float64(time.Hour))
}

// Families are the complete policies of the families that have one of their own.
func (c Cache) Families() map[string]CachePolicy {
	families := make(map[string]CachePolicy, len(c.Models))
	for family, o := range c.Models {
		p := c.Default
		override(&p.Enabled, o.Enabled)
		override(&p.ExpirationHours, o.ExpirationHours)
		override(&p.Compression, o.Compression)
		override(&p.MaxCacheSizeMB, o.MaxCacheSizeMB)
		families[family] = p
	}
	return families
}

// CacheInForce is the cache as it holds, by all sections that have a word in it: off where money is not to be saved by it, no answer
// kept for longer than data may be. inMemory tells that nothing may be written, since it could not be encrypted.
func (s Settings) CacheInForce() (c Cache, inMemory bool) {
	c = s.Cache
	c.Enabled = c.Enabled && s.CostOptimization.Strategy.UseCaching
	if days := s.Security.Data.CacheRetentionDays; days > 0 {
		most := float64(days) * 24
		c.Default.ExpirationHours = min(c.Default.ExpirationHours, most)
		c.Models = maps.Clone(c.Models)
		for family, o := range c.Models {
			if o.ExpirationHours != nil && *o.ExpirationHours > most {
				o.ExpirationHours = &most
				c.Models[family] = o
			}
		}
	}
	return c, s.Security.Data.EncryptCache && !c.EncryptionKey.IsSet()
}

// LongestTTL is the longest time for which any family's answers are used again.
func (c Cache) LongestTTL() time.Duration {
	longest := c.Default.TTL()
	for _, p := range c.Families() {
		longest = max(longest, p.TTL())
	}
	return longest
}

// leastKey is the least length of an encryption key, in characters.
const leastKey = 16

// familyForm is the form of a family that can name a folder.
var familyForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

func (c Cache) validate(out *faults) {
	c.Default.validate(out, "cache.default.")
	if c.Default.CacheDir == "" || len(c.Default.CacheDir) > 4000 || strings.ContainsAny(c.Default.CacheDir, "\x00\n\r") {
		out.add("cache.default.cache_dir", "must be a folder, such as .bedrock_cache")
	}
	families := c.Families()
	for _, family := range slices.Sorted(maps.Keys(families)) {
		if !familyForm.MatchString(family) {
			out.add("cache.models."+clip(family), "must be a name of a-z, 0-9, . _ and -, which is a part of the ids of its models")
			continue
		}
		var own faults
		families[family].validate(&own, "")
		c.Default.drop(&own)
		for _, one := range faultsIn(own.join()) {
			out.add("cache.models."+clip(family)+"."+one.Key, "%s", one.Text)
		}
	}
	out.between("cache.memory_mb", c.MemoryMB, 0, 65536)
	out.between("cache.shared.max_size_mb", c.Shared.MaxSizeMB, 1, 1_000_000)
	if key := c.EncryptionKey.Reveal(); key != "" && len(key) < leastKey {
		out.add("cache.encryption_key", "must have at least %d characters, such as those of `openssl rand -base64 32`", leastKey)
	}
}

// drop takes away what a family only inherits.
func (p CachePolicy) drop(own *faults) {
	var inherited faults
	p.validate(&inherited, "")
	for _, wrong := range faultsIn(inherited.join()) {
		*own = slices.DeleteFunc(*own, func(err error) bool { return err.Error() == wrong.Error() })
	}
}

func (p CachePolicy) validate(out *faults, key string) {
	const year = 8760
	if h := p.ExpirationHours; math.IsNaN(h) || h > year || p.TTL() < time.Second {
		out.add(key+"expiration_hours", "must be from 0.001 to %d hours", year)
	}
	out.between(key+"max_cache_size_mb", p.MaxCacheSizeMB, 1, 1_000_000)
}

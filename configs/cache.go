package configs

// Cache is the user's section of that name: the response cache.
type Cache struct {
	// Enabled turns the cache of every family on or off.
	Enabled *bool                  `yaml:"enabled"`
	Default CachePolicy            `yaml:"default"`
	Models  map[string]CachePolicy `yaml:"models"`
	// Sampled caches answers whatever their temperature.
	Sampled *bool `yaml:"sampled"`
}

// CachePolicy is how a family's answers are cached; what a family leaves out is the default's.
type CachePolicy struct {
	Enabled         *bool    `yaml:"enabled"`
	CacheDir        string   `yaml:"cache_dir"`
	ExpirationHours *float64 `yaml:"expiration_hours"`
	Compression     *bool    `yaml:"compression"`
	MaxCacheSizeMB  *int     `yaml:"max_cache_size_mb"`
}

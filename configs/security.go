package configs

// Security is the user's section of that name.
type Security struct {
	Data   SecurityData   `yaml:"data"`
	Access SecurityAccess `yaml:"access"`
}

// SecurityData is how stored data are protected.
type SecurityData struct {
	EncryptCache       bool `yaml:"encrypt_cache"`
	MaskSensitiveData  bool `yaml:"mask_sensitive_data"`
	CacheRetentionDays int  `yaml:"cache_retention_days"`
}

// SecurityAccess is who may ask, and how often.
type SecurityAccess struct {
	RequireAuth bool      `yaml:"require_auth"`
	RateLimit   RateLimit `yaml:"rate_limit"`
}

// RateLimit bounds how often a user may ask.
type RateLimit struct {
	Enabled           bool `yaml:"enabled"`
	RequestsPerMinute int  `yaml:"requests_per_minute"`
	RequestsPerHour   int  `yaml:"requests_per_hour"`
}

package configs

// Security is the user's section of that name.
type Security struct {
	Data   SecurityData   `yaml:"data"`
	Access SecurityAccess `yaml:"access"`
}

// SecurityData is how stored data are protected.
type SecurityData struct {
	EncryptCache bool `yaml:"encrypt_cache" later:"there is no cache yet that could be encrypted"`
	// MaskSensitiveData false flags what flowgate.privacy would mask; logs and metrics never hold prompts, answers or secrets.
	MaskSensitiveData  bool `yaml:"mask_sensitive_data"`
	CacheRetentionDays int  `yaml:"cache_retention_days" later:"there is no cache yet whose files could be removed"`
}

// SecurityAccess is who may ask, and how often.
type SecurityAccess struct {
	RequireAuth bool      `yaml:"require_auth" later:"the broker decides who may publish; proof of who a user is comes with identities"`
	RateLimit   RateLimit `yaml:"rate_limit" later:"requests are not counted by minute and hour yet: nobody is held back; limits on money hold"`
}

// RateLimit bounds how often a user may ask.
type RateLimit struct {
	Enabled           bool `yaml:"enabled"`
	RequestsPerMinute int  `yaml:"requests_per_minute"`
	RequestsPerHour   int  `yaml:"requests_per_hour"`
}

func defaultSecurity() Security { return Security{Data: SecurityData{MaskSensitiveData: true}} }

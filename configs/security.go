package configs

// Security is the user's section of that name.
type Security struct {
	Data   SecurityData   `yaml:"data"`
	Access SecurityAccess `yaml:"access"`
}

// SecurityData is how stored data are protected.
type SecurityData struct {
	// EncryptCache lets no answer be stored that is not encrypted, with cache.encryption_key.
	EncryptCache bool `yaml:"encrypt_cache"`
	// MaskSensitiveData false flags what flowgate.privacy would mask; logs and metrics never hold prompts, answers or secrets.
	MaskSensitiveData bool `yaml:"mask_sensitive_data"`
	// CacheRetentionDays is for how long an answer is cached at most, whatever the section cache says; 0 is no bound of its own.
	CacheRetentionDays int `yaml:"cache_retention_days"`
}

// SecurityAccess is who may ask, and how often.
type SecurityAccess struct {
	RequireAuth bool `yaml:"require_auth" later:"the broker decides who may publish; proof of who a user is comes with identities"`
	// RateLimit holds for a tenant of which `flowgate limit set tenant` says nothing.
	RateLimit RateLimit `yaml:"rate_limit"`
}

// RateLimit bounds how many requests of a tenant are let through; 0 is no limit of that window.
type RateLimit struct {
	// Enabled false lifts both.
	Enabled           bool  `yaml:"enabled"`
	RequestsPerMinute int64 `yaml:"requests_per_minute"`
	RequestsPerHour   int64 `yaml:"requests_per_hour"`
}

// InForce are the limits that hold: none where the section is not enabled.
func (r RateLimit) InForce() (minute, hour int64) {
	if !r.Enabled {
		return 0, 0
	}
	return r.RequestsPerMinute, r.RequestsPerHour
}

// mostRate is the highest limit on requests, which keeps what is counted far from overflow.
const mostRate = 1_000_000_000_000

func (s Security) validate(out *faults) {
	out.between("security.data.cache_retention_days", s.Data.CacheRetentionDays, 0, 3650)
	const key = "security.access.rate_limit."
	r := s.Access.RateLimit
	for _, limit := range []struct {
		key   string
		value int64
	}{{"requests_per_minute", r.RequestsPerMinute}, {"requests_per_hour", r.RequestsPerHour}} {
		if limit.value < 0 || limit.value > mostRate {
			out.add(key+limit.key, "must be from 0 (no limit) to %d", int64(mostRate))
		}
	}
	if r.Enabled && r.RequestsPerMinute == 0 && r.RequestsPerHour == 0 {
		out.add(key+"enabled", "is true, so requests_per_minute or requests_per_hour must be above 0")
	}
}

func defaultSecurity() Security { return Security{Data: SecurityData{MaskSensitiveData: true}} }

package configs

import (
	"strings"
	"testing"
	"time"
)

func TestCacheOfFamilies(t *testing.T) {
	f := Default().Cache.Families()
	for family, want := range map[string]time.Duration{"claude": 48 * time.Hour, "titan": 12 * time.Hour, "llama": 24 * time.Hour} {
		if p := f[family]; p.TTL() != want || p.MaxCacheSizeMB != 256 || !p.Enabled || !p.Compression {
			t.Errorf("%s: %+v", family, p)
		}
	}
	if d := Default().Cache; d.Default.TTL() != time.Hour || d.LongestTTL() != 48*time.Hour || len(f) != 3 {
		t.Errorf("%+v", d)
	}
	s, _ := mustLoad(t, "cache: {default: {compression: false, max_cache_size_mb: 5}, models: {gpt: {expiration_hours: 0.5, enabled: false}}}", environment())
	f = s.Cache.Families()
	if p := f["gpt"]; len(f) != 1 || p.Enabled || p.Compression || p.MaxCacheSizeMB != 5 || p.TTL() != 30*time.Minute {
		t.Errorf("%+v", f)
	}
}

func TestUsersCacheHolds(t *testing.T) {
	s, _, err := Load(userFile(t, "settings.yaml"), environment("FLOWGATE_ENVIRONMENT", "production", "POSTGRES_PASSWORD", "x"))
	if err != nil {
		t.Fatal(err)
	}
	c, inMemory := s.CacheInForce()
	f := c.Families()
	if !c.Enabled || !inMemory || c.Default.MaxCacheSizeMB != 100 || c.Default.TTL() != 24*time.Hour {
		t.Errorf("%+v, in memory: %t", c, inMemory)
	}
	if f["claude"].TTL() != 48*time.Hour || f["claude"].MaxCacheSizeMB != 200 || f["titan"].MaxCacheSizeMB != 50 || f["llama"].TTL() != 24*time.Hour {
		t.Errorf("%+v", f)
	}
}

func TestOtherSectionsHaveAWordInTheCache(t *testing.T) {
	s, _ := mustLoad(t, "cost_optimization: {strategy: {use_caching: false}}", environment())
	if c, _ := s.CacheInForce(); c.Enabled {
		t.Error("use_caching: false left it on")
	}
	s, _ = mustLoad(t, "security: {data: {cache_retention_days: 1}}", environment())
	c, _ := s.CacheInForce()
	if f := c.Families(); f["claude"].TTL() != 24*time.Hour || f["titan"].TTL() != 12*time.Hour || c.Default.TTL() != time.Hour || c.LongestTTL() != 24*time.Hour {
		t.Errorf("%+v", f)
	}
	if s.Cache.LongestTTL() != 48*time.Hour {
		t.Error("the settings themselves were changed")
	}
	const key = "cache: {encryption_key: 0123456789abcdef}\n"
	for text, want := range map[string]bool{"": false, key: false, "security: {data: {encrypt_cache: true}}": true, key + "security: {data: {encrypt_cache: true}}": false} {
		s, w := mustLoad(t, text, environment())
		if _, inMemory := s.CacheInForce(); inMemory != want || (len(w) > 0) != want {
			t.Errorf("%q: in memory %t, %v", text, inMemory, w)
		}
	}
}

func TestFaultsOfTheCacheNameTheKey(t *testing.T) {
	for text, want := range map[string]string{
		"cache: {default: {expiration_hours: 0}}":              "cache.default.expiration_hours: must be from 0.001 to 8760 hours",
		"cache: {models: {claude: {expiration_hours: 9000}}}":  "cache.models.claude.expiration_hours: must be",
		"cache: {default: {max_cache_size_mb: 0}}":             "cache.default.max_cache_size_mb: must be from 1 to 1000000",
		"cache: {default: {cache_dir: \"\"}}":                  "cache.default.cache_dir: must be a folder",
		"cache: {models: {../etc: {enabled: true}}}":           "cache.models.../etc: must be a name",
		"cache: {models: {.: {enabled: true}}}":                "cache.models..: must be a name",
		"cache: {memory_mb: -1}":                               "cache.memory_mb: must be",
		"cache: {shared: {max_size_mb: 0}}":                    "cache.shared.max_size_mb: must be",
		"cache: {encryption_key: hunter2}":                     "cache.encryption_key: must have at least 16 characters",
		"security: {data: {cache_retention_days: -1}}":         "security.data.cache_retention_days: must be",
		"cache: {default: {max_cache_size_mb: 0}, models: {}}": "cache.default.max_cache_size_mb",
	} {
		_, _, err := load("s.yaml", []byte(text), environment())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

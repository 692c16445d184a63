package configs

import "time"

// Development is the user's section of that name.
type Development struct {
	DevMode DevMode `yaml:"dev_mode"`
}

// DevMode replaces models by mocks.
type DevMode struct {
	Enabled   bool          `yaml:"enabled"`
	UseMocks  bool          `yaml:"use_mocks"`
	MockDelay time.Duration `yaml:"mock_delay" unit:"seconds"`
}

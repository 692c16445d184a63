package configs

import "time"

// Development is the user's section of that name.
type Development struct {
	DevMode DevMode `yaml:"dev_mode"`
}

// DevMode replaces models by the labelled offline backend.
type DevMode struct {
	Enabled bool `yaml:"enabled" void:"nothing but mocks belongs to it here, and use_mocks decides on them"`
	// UseMocks lets no other backend answer than the offline one, whatever is configured; refused in production.
	UseMocks bool `yaml:"use_mocks"`
	// MockDelay is how long such an answer takes where flowgate.backends.offline.latency is not given; 0 to 3600 seconds.
	MockDelay time.Duration `yaml:"mock_delay" unit:"seconds"`
}

func (d DevMode) validate(out *faults, production bool) {
	if d.UseMocks && production {
		out.add("development.dev_mode.use_mocks", "must be false in production: answers would be pretended")
	}
	if d.MockDelay < 0 || d.MockDelay > time.Hour {
		out.add("development.dev_mode.mock_delay", "must be from 0 to 3600 seconds")
	}
}

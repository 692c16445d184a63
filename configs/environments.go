package configs

// EnvironmentSettings are what differs in one environment, by its name under environments.
type EnvironmentSettings struct {
	Logging     Logging          `yaml:"logging"`
	Cache       EnvironmentCache `yaml:"cache"`
	Security    Security         `yaml:"security"`
	Development Development      `yaml:"development"`
}

// EnvironmentCache turns the cache on or off in one environment.
type EnvironmentCache struct {
	Enabled *bool `yaml:"enabled"`
}

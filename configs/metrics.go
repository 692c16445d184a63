package configs

// Metrics is the user's section of that name.
type Metrics struct {
	Enabled    bool              `yaml:"enabled"`
	Collection MetricsCollection `yaml:"collection"`
	Export     MetricsExport     `yaml:"export"`
}

// MetricsCollection says what is measured.
type MetricsCollection struct {
	ResponseTimes      bool `yaml:"response_times"`
	CachePerformance   bool `yaml:"cache_performance"`
	RetryStatistics    bool `yaml:"retry_statistics"`
	CostEstimates      bool `yaml:"cost_estimates"`
	ValidationFailures bool `yaml:"validation_failures"`
}

// MetricsExport says where measurements go.
type MetricsExport struct {
	ToFile     bool   `yaml:"to_file"`
	FilePath   string `yaml:"file_path"`
	ToConsole  bool   `yaml:"to_console"`
	ToExternal bool   `yaml:"to_external"`
}

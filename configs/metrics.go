package configs

// Metrics is the user's section of that name.
type Metrics struct {
	Enabled    bool              `yaml:"enabled" void:"metrics are always counted; flowgate.http says whether and where they can be scraped"`
	Collection MetricsCollection `yaml:"collection" void:"every metric is counted all the time; whoever scrapes them chooses"`
	Export     MetricsExport     `yaml:"export" void:"metrics are scraped, not written anywhere; a file of them would be a second, older truth"`
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

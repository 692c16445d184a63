package configs

// CostOptimization is the user's section of that name. Its limits hold whatever enabled says.
type CostOptimization struct {
	Enabled  bool         `yaml:"enabled" void:"limits hold as long as they are given; write none for no limit"`
	Limits   CostLimits   `yaml:"limits"`
	Strategy CostStrategy `yaml:"strategy" later:"the choice of models and backends by price comes with several backends"`
}

// CostLimits bound what is spent, in dollars; none is no limit.
type CostLimits struct {
	// RequestLimit bounds the worst case of one request.
	RequestLimit Dollars `yaml:"request_limit"`
	// DailyLimit and MonthlyLimit bound days and months of the calendar, in flowgate.timezone.
	DailyLimit   Dollars `yaml:"daily_limit"`
	MonthlyLimit Dollars `yaml:"monthly_limit"`
	// AlertThreshold is in percent of a limit.
	AlertThreshold float64 `yaml:"alert_threshold" later:"nobody is alerted yet; limits hold"`
}

// CostStrategy says how money is to be saved.
type CostStrategy struct {
	PreferCheaper   bool `yaml:"prefer_cheaper"`
	FallbackOnError bool `yaml:"fallback_on_error"`
	UseCaching      bool `yaml:"use_caching"`
}

func defaultCostOptimization() CostOptimization {
	const dollar = 1_000_000
	return CostOptimization{Limits: CostLimits{RequestLimit: 1 * dollar, DailyLimit: 100 * dollar, MonthlyLimit: 3000 * dollar}}
}

func (c CostOptimization) validate(out *faults) {
	for _, limit := range []struct {
		key   string
		value Dollars
	}{{"request_limit", c.Limits.RequestLimit}, {"daily_limit", c.Limits.DailyLimit}, {"monthly_limit", c.Limits.MonthlyLimit}} {
		if limit.value < 0 {
			out.add("cost_optimization.limits."+limit.key, "must not be negative")
		}
	}
}

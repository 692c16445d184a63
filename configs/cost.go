package configs

import "math"

// CostOptimization is the user's section of that name.
type CostOptimization struct {
	// Enabled false lifts every limit on money.
	Enabled  bool         `yaml:"enabled"`
	Limits   CostLimits   `yaml:"limits"`
	Strategy CostStrategy `yaml:"strategy"`
	// UnknownModels says what becomes of a request for a model that has no price: refuse, or dearest, which holds and charges it at the
	// dearest price of the table in each class of tokens.
	UnknownModels string `yaml:"unknown_models"`
}

// What becomes of requests for models without a price.
const (
	UnknownRefuse  = "refuse"
	UnknownDearest = "dearest"
)

// CostLimits bound what is spent, in dollars; none is no limit.
type CostLimits struct {
	// RequestLimit bounds the worst case of one request.
	RequestLimit Dollars `yaml:"request_limit"`
	// DailyLimit and MonthlyLimit bound days and months of the calendar, in flowgate.timezone.
	DailyLimit   Dollars `yaml:"daily_limit"`
	MonthlyLimit Dollars `yaml:"monthly_limit"`
	// AlertThreshold is the part of a day's or month's limit, in percent, of which an alert tells when it is spent, of every budget;
	// above 0, to 100. Another one comes at 95.
	AlertThreshold float64 `yaml:"alert_threshold"`
}

// CostStrategy says how money is to be saved.
type CostStrategy struct {
	PreferCheaper bool `yaml:"prefer_cheaper" later:"the model that was asked for is taken, at the first backend of flowgate.backends.order that serves it"`
	// FallbackOnError has another backend asked at once where a call failed; false: it is tried again where it failed, or ends.
	FallbackOnError bool `yaml:"fallback_on_error"`
	// UseCaching false turns the cache off.
	UseCaching bool `yaml:"use_caching"`
}

func defaultCostOptimization() CostOptimization {
	const dollar = 1_000_000
	return CostOptimization{Enabled: true, UnknownModels: UnknownRefuse, Strategy: CostStrategy{FallbackOnError: true, UseCaching: true}, Limits: CostLimits{
		RequestLimit: 1 * dollar, DailyLimit: 100 * dollar, MonthlyLimit: 3000 * dollar, AlertThreshold: 80,
	}}
}

// InForce are the limits that hold: none where the section is not enabled.
func (c CostOptimization) InForce() CostLimits {
	if !c.Enabled {
		return CostLimits{RequestLimit: NoLimit, DailyLimit: NoLimit, MonthlyLimit: NoLimit, AlertThreshold: c.Limits.AlertThreshold}
	}
	return c.Limits
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
	if c.UnknownModels != UnknownRefuse && c.UnknownModels != UnknownDearest {
		out.add("cost_optimization.unknown_models", "must be refuse or dearest")
	}
	if t := c.Limits.AlertThreshold; math.IsNaN(t) || t <= 0 || t > 100 {
		out.add("cost_optimization.limits.alert_threshold", "must be above 0 and at most 100 percent")
	}
}

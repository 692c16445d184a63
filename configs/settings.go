package configs

import (
	"net"
	"strconv"
	"time"
)

// Settings is everything that an operator can set. The sections bear the names of the user's settings.yaml; flowgate is
// our own. Fields with the tag later or void are understood and checked, and have no effect (see fate.go).
type Settings struct {
	// Flowgate is how this deployment runs.
	Flowgate Flowgate `yaml:"flowgate"`
	// AWS has the default model and the aliases of models.
	AWS AWS `yaml:"aws"`
	// Retry is how often and how fast failed calls are tried again.
	Retry Retry `yaml:"retry"`
	// CostOptimization has the limits on money.
	CostOptimization CostOptimization `yaml:"cost_optimization"`

	// Postgres is the database's address in parts.
	Postgres Postgres `yaml:"postgres"`
	// S3 is where objects are.
	S3 S3 `yaml:"s3"`

	// Cache is how answers are kept, so that nobody pays twice for one.
	Cache Cache `yaml:"cache"`
	// Batch is how files of requests are fanned out.
	Batch Batch `yaml:"batch"`
	// Logging is what is logged, and where.
	Logging Logging `yaml:"logging"`
	// Performance has connections, times and memory.
	Performance Performance `yaml:"performance"`
	// Development has the mocks.
	Development Development `yaml:"development"`
	// Security has users and data.
	Security Security `yaml:"security"`
	// Metrics and Integrations are about other services.
	Metrics      Metrics      `yaml:"metrics"`
	Integrations Integrations `yaml:"integrations"`

	Validation Validation `yaml:"validation" later:"answers are passed on as the model gave them until their validation comes"`

	// Environments are what differs where.
	Environments Environments `yaml:"environments"`
}

// Default is what holds where neither a file nor the environment says otherwise. It is valid.
func Default() Settings {
	return Settings{
		Flowgate: defaultFlowgate(), AWS: defaultAWS(), Retry: defaultRetry(), CostOptimization: defaultCostOptimization(),
		Postgres: defaultPostgres(), S3: defaultS3(), Cache: defaultCache(),
		Batch: defaultBatch(), Logging: defaultLogging(), Performance: defaultPerformance(), Security: defaultSecurity(),
		Integrations: Integrations{Prometheus: Prometheus{Port: 4280}},
	}
}

// complete fills in what depends on other settings.
func (s *Settings) complete(given origins) {
	const retries, attempts = "retry.default.max_retries", "flowgate.transient_attempts"
	if _, own := given[retries]; !own && s.Flowgate.TransientAttempts > 0 {
		s.Retry.Default.MaxRetries = s.Flowgate.TransientAttempts
		given.inherit(retries, attempts)
	}
	const http, port = "flowgate.http", "integrations.prometheus.port"
	if _, own := given[http]; !own && s.Integrations.Prometheus.Enabled {
		s.Flowgate.HTTP = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Integrations.Prometheus.Port))
		given.inherit(http, port)
	}
	b := &s.Flowgate.Backends
	for name, timeout := range map[string]*time.Duration{
		AnthropicName: &b.Anthropic.Timeout, OpenAIName: &b.OpenAI.Timeout, BedrockName: &b.Bedrock.Timeout, MLflowName: &b.MLflow.Timeout,
	} {
		call := "flowgate.backends." + name + ".timeout"
		if _, own := given[call]; !own {
			*timeout = s.Performance.Request.Timeout
			given.inherit(call, "performance.request.timeout_seconds")
		}
	}
	const latency, delay = "flowgate.backends.offline.latency", "development.dev_mode.mock_delay"
	if _, own := given[latency]; !own && s.Development.DevMode.UseMocks {
		s.Flowgate.Backends.Offline.Latency = s.Development.DevMode.MockDelay
		given.inherit(latency, delay)
	}
}

// Validate reports every fault of the settings at once; each is a *Fault with its key.
func (s Settings) Validate() error {
	var f faults
	s.Flowgate.validate(&f, s.Environments)
	s.AWS.validate(&f)
	s.Retry.validate(&f)
	s.CostOptimization.validate(&f)
	s.Security.validate(&f)
	s.Postgres.validate(&f)
	f.between("integrations.prometheus.port", s.Integrations.Prometheus.Port, 0, 65535)
	s.S3.validate(&f)
	s.Integrations.validate(&f)
	s.Cache.validate(&f)
	s.Batch.validate(&f)
	s.Logging.validate(&f)
	s.Performance.validate(&f)
	s.Development.DevMode.validate(&f, s.Flowgate.Production())
	return f.join()
}

// warnings are about values that are in order and yet surprising.
func (s Settings) warnings(given origins) []Warning {
	var w []Warning
	add := func(key, text string) { w = append(w, Warning{Key: key, Line: given[key].Line, Text: text}) }
	if !s.CostOptimization.Enabled {
		add("cost_optimization.enabled", "no limit on money holds")
	}
	if !s.Security.Data.MaskSensitiveData {
		add("security.data.mask_sensitive_data", "personal data and secrets reach models and answers: what flowgate.privacy masks is flagged only")
	}
	if _, inMemory := s.CacheInForce(); inMemory {
		add("security.data.encrypt_cache", "cache.encryption_key is not set: nothing can be encrypted, so answers are kept in memory alone")
	}
	if s.Development.DevMode.UseMocks {
		add("development.dev_mode.use_mocks", "no model is asked, whatever backends are configured")
	}
	for _, limits := range []struct {
		key, other  string
		less, limit Dollars
	}{
		{"request_limit", "daily_limit", s.CostOptimization.Limits.RequestLimit, s.CostOptimization.Limits.DailyLimit},
		{"daily_limit", "monthly_limit", s.CostOptimization.Limits.DailyLimit, s.CostOptimization.Limits.MonthlyLimit},
	} {
		if limits.limit != NoLimit && limits.less > limits.limit {
			key := "cost_optimization.limits." + limits.key
			add(key, "is above "+limits.other+", which holds first")
		}
	}
	return w
}

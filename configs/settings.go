package configs

import "errors"

// Settings is everything that an operator can set. The sections bear the names of the user's settings.yaml; flowgate is
// our own. Fields with the tag later are understood and checked, and have no effect yet.
type Settings struct {
	// Flowgate is how this deployment runs.
	Flowgate Flowgate `yaml:"flowgate"`
	// AWS has the default model and the aliases of models.
	AWS AWS `yaml:"aws"`
	// Retry is how often and how fast failed calls are tried again.
	Retry Retry `yaml:"retry"`
	// CostOptimization has the limits on money.
	CostOptimization CostOptimization `yaml:"cost_optimization"`

	Postgres     Postgres                       `yaml:"postgres" later:""`
	S3           S3                             `yaml:"s3" later:""`
	Cache        Cache                          `yaml:"cache" later:""`
	Validation   Validation                     `yaml:"validation" later:""`
	Batch        Batch                          `yaml:"batch" later:""`
	Metrics      Metrics                        `yaml:"metrics" later:""`
	Logging      Logging                        `yaml:"logging" later:""`
	Security     Security                       `yaml:"security" later:""`
	Performance  Performance                    `yaml:"performance" later:""`
	Development  Development                    `yaml:"development" later:""`
	Integrations Integrations                   `yaml:"integrations" later:""`
	Environments map[string]EnvironmentSettings `yaml:"environments" later:""`
}

// Default is what holds where neither a file nor the environment says otherwise. It is valid.
func Default() Settings {
	return Settings{Flowgate: defaultFlowgate(), AWS: defaultAWS(), Retry: defaultRetry(), CostOptimization: defaultCostOptimization()}
}

// Load reads the settings: the defaults, over them the file, over it the environment. An empty path leaves the file out.
// The error names every fault at once, each with file, line and key where it has them; it never shows a value that may be
// a secret. The warnings are keys that do not do what their author may expect. env is os.LookupEnv outside of tests; nil
// is an empty environment.
func Load(path string, env func(string) (string, bool)) (Settings, []Warning, error) {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	var data []byte
	if path != "" {
		var err error
		if data, err = readFile(path, MaxSettingsBytes); err != nil {
			return Settings{}, nil, err
		}
	}
	return load(path, data, env)
}

// load is Load of a file's content.
func load(file string, data []byte, env Lookup) (Settings, []Warning, error) {
	s := Default()
	d, err := decodeYAML(file, data, env, &s)
	if err != nil {
		return Settings{}, nil, err
	}
	origin := s.applyEnvironment(env)
	s.complete(d)
	if err := located(s.Validate(), d, origin); err != nil {
		return Settings{}, nil, err
	}
	return s, append(d.warnings, s.warnings(d)...), nil
}

// complete fills in what depends on other settings.
func (s *Settings) complete(d *decoder) {
	_, given := d.lines["retry.default.max_retries"]
	if !given && s.Flowgate.TransientAttempts > 0 {
		s.Retry.Default.MaxRetries = s.Flowgate.TransientAttempts
	}
}

// Validate reports every fault of the settings at once; each is a *Fault with its key.
func (s Settings) Validate() error {
	var f faults
	s.Flowgate.validate(&f, s.Environments)
	s.AWS.validate(&f)
	s.Retry.validate(&f)
	s.CostOptimization.validate(&f)
	return f.join()
}

// warnings are about values that are in order and yet surprising.
func (s Settings) warnings(d *decoder) []Warning {
	var w []Warning
	for _, limits := range []struct {
		key, other  string
		less, limit Dollars
	}{
		{"request_limit", "daily_limit", s.CostOptimization.Limits.RequestLimit, s.CostOptimization.Limits.DailyLimit},
		{"daily_limit", "monthly_limit", s.CostOptimization.Limits.DailyLimit, s.CostOptimization.Limits.MonthlyLimit},
	} {
		if limits.limit != NoLimit && limits.less > limits.limit {
			key := "cost_optimization.limits." + limits.key
			w = append(w, Warning{Key: key, Line: d.lines[key], Text: "is above " + limits.other + ", which holds first"})
		}
	}
	return w
}

// located adds to faults where their values come from: file and line, or the variable.
func located(err error, d *decoder, origin map[string]string) error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return err
	}
	for _, one := range joined.Unwrap() {
		var fault *Fault
		if !errors.As(one, &fault) {
			continue
		}
		if name, given := origin[fault.Key]; given {
			fault.File = "environment variable " + name
		} else if line, given := d.lines[fault.Key]; given {
			fault.File, fault.Line = d.file, line
		}
	}
	return err
}

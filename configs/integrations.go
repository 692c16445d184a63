package configs

// Integrations is the user's section of that name.
type Integrations struct {
	MLflow     MLflow     `yaml:"mlflow"`
	Wandb      Wandb      `yaml:"wandb" void:"nothing is sent to Weights & Biases; the record in Postgres has every request"`
	Prometheus Prometheus `yaml:"prometheus"`
}

// MLflow is an MLflow server.
type MLflow struct {
	// Enabled has its gateway asked as a backend, and its health watched; flowgate.backends.allowed that names mlflow does the same. Without
	// either no MLFLOW_TRACKING_URI that lies about for other programs opens a way out.
	Enabled bool `yaml:"enabled"`
	// TrackingURI is where the server is. MLFLOW_TRACKING_URI wins over it.
	TrackingURI    Secret `yaml:"tracking_uri"`
	ExperimentName string `yaml:"experiment_name" later:"calls are not logged as experiments"`
}

// Wandb is a project of Weights & Biases.
type Wandb struct {
	Enabled     bool   `yaml:"enabled"`
	ProjectName string `yaml:"project_name"`
}

// Prometheus is where metrics are scraped: where flowgate.http is left out and this is enabled, its port on loopback.
type Prometheus struct {
	Enabled bool `yaml:"enabled"`
	Port    int  `yaml:"port"`
}

func (i Integrations) validate(out *faults) {
	const key = "integrations.mlflow.tracking_uri"
	uri := i.MLflow.TrackingURI
	switch {
	case i.MLflow.Enabled && !uri.IsSet():
		out.add(key, "is needed where integrations.mlflow.enabled is true")
	case uri.IsSet() && !absolute(uri.Reveal(), "http", "https"):
		out.add(key, "must be an http or https URL")
	}
}

package configs

// Integrations is the user's section of that name.
type Integrations struct {
	MLflow     MLflow     `yaml:"mlflow" later:"other services are not asked yet"`
	Wandb      Wandb      `yaml:"wandb" later:"other services are not asked yet"`
	Prometheus Prometheus `yaml:"prometheus"`
}

// MLflow is an MLflow server.
type MLflow struct {
	Enabled        bool   `yaml:"enabled"`
	TrackingURI    Secret `yaml:"tracking_uri"`
	ExperimentName string `yaml:"experiment_name"`
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

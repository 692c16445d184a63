package configs

// Variable is an environment variable that is obeyed.
type Variable struct {
	Name string
	// Key is the setting that it wins over; empty where it wins over none.
	Key string
	// Secret tells that NAME_FILE may name a file that holds the value.
	Secret bool
	// About says what it is for, where no setting does.
	About string

	set func(*Settings, string)
}

// Variables is the table of them; the README lists it. An empty variable counts as not set.
func Variables() []Variable {
	return []Variable{
		{Name: "FLOWGATE_ENVIRONMENT", Key: "flowgate.environment", set: func(s *Settings, v string) { s.Flowgate.Environment = v }},
		{Name: "FLOWGATE_STATE", Key: "flowgate.state_dir", set: func(s *Settings, v string) { s.Flowgate.StateDir = v }},
		{Name: "FLOWGATE_HTTP", Key: "flowgate.http", set: func(s *Settings, v string) { s.Flowgate.HTTP = v }},
		{Name: "NATS_URL", Key: "flowgate.nats_url", Secret: true, set: func(s *Settings, v string) { s.Flowgate.NATSURL = NewSecret(v) }},
		{Name: "NATS_USER", Key: "flowgate.nats.user", set: func(s *Settings, v string) { s.Flowgate.NATS.User = v }},
		{Name: "NATS_PASSWORD", Key: "flowgate.nats.password", Secret: true, set: func(s *Settings, v string) { s.Flowgate.NATS.Password = NewSecret(v) }},
		{Name: "NATS_CREDS", Key: "flowgate.nats.credentials_file", set: func(s *Settings, v string) { s.Flowgate.NATS.CredentialsFile = v }},
		{Name: "NATS_NKEY", Key: "flowgate.nats.nkey_file", set: func(s *Settings, v string) { s.Flowgate.NATS.NKeyFile = v }},
		{Name: "NATS_CA", Key: "flowgate.nats.ca_file", set: func(s *Settings, v string) { s.Flowgate.NATS.CAFile = v }},
		{Name: "NATS_CERT", Key: "flowgate.nats.cert_file", set: func(s *Settings, v string) { s.Flowgate.NATS.CertFile = v }},
		{Name: "NATS_KEY", Key: "flowgate.nats.key_file", set: func(s *Settings, v string) { s.Flowgate.NATS.KeyFile = v }},
		{Name: "DATABASE_URL", Key: "flowgate.database_url", Secret: true, set: func(s *Settings, v string) { s.Flowgate.DatabaseURL = NewSecret(v) }},
		{Name: "ANTHROPIC_BASE_URL", Key: "flowgate.backends.anthropic.base_url", set: func(s *Settings, v string) { s.Flowgate.Backends.Anthropic.BaseURL = v }},
		{Name: "ANTHROPIC_API_KEY", Key: "flowgate.backends.anthropic.api_key", Secret: true, set: func(s *Settings, v string) { s.Flowgate.Backends.Anthropic.APIKey = NewSecret(v) }},
		{Name: "ANTHROPIC_AUTH_TOKEN", Key: "flowgate.backends.anthropic.auth_token", Secret: true, set: func(s *Settings, v string) { s.Flowgate.Backends.Anthropic.AuthToken = NewSecret(v) }},
		{Name: "OPENAI_BASE_URL", Key: "flowgate.backends.openai.base_url", set: func(s *Settings, v string) { s.Flowgate.Backends.OpenAI.BaseURL = v }},
		{Name: "OPENAI_API_KEY", Key: "flowgate.backends.openai.api_key", Secret: true, set: func(s *Settings, v string) { s.Flowgate.Backends.OpenAI.APIKey = NewSecret(v) }},
		{Name: "MLFLOW_TRACKING_URI", Key: "integrations.mlflow.tracking_uri", Secret: true, set: func(s *Settings, v string) { s.Integrations.MLflow.TrackingURI = NewSecret(v) }},
		{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Key: "flowgate.telemetry.otlp_endpoint", set: func(s *Settings, v string) { s.Flowgate.Telemetry.OTLPEndpoint = v }},
		{Name: "OTEL_EXPORTER_OTLP_HEADERS", About: "headers for the collector of spans, such as its key"},
		{Name: "AWS_REGION", Key: "aws.region", set: func(s *Settings, v string) { s.AWS.Region = v }},
		{Name: "AWS_PROFILE", Key: "aws.bedrock.credentials.profile", About: "the profile of the shared files of AWS"},
		{Name: "AWS_ENDPOINT_URL_S3", Key: "s3.endpoint", set: func(s *Settings, v string) { s.S3.Endpoint = v }},
		{Name: "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", Key: "aws.bedrock.endpoint", set: func(s *Settings, v string) { s.AWS.Bedrock.Endpoint = v }},
		{Name: "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_BEARER_TOKEN_BEDROCK", About: "credentials of AWS, after those of a role"},
		{Name: "AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE", About: "files of AWS profiles, where they are not in ~/.aws"},
		{Name: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", About: "the IAM role of a container; the platform sets them"},
		{Name: "AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME", About: "an IAM role by web identity; the platform sets them"},
		{Name: "AWS_EC2_METADATA_DISABLED", About: "`true`: no IAM role of an instance is looked for"},
		{Name: "AWS_DEFAULT_REGION", About: "the region, after `AWS_REGION`"},
		{Name: "AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_STS", About: "other servers for every service of AWS, for STS"},
		{Name: "AWS_CA_BUNDLE", About: "certificates to trust in calls to AWS, beside the system's"},
		{Name: "MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD", About: "credentials of MLflow"},
		{Name: "GOMEMLIMIT", Key: "performance.memory.max_usage_mb", About: "Go's own form of the bound of memory"},
		{Name: "GOGC", Key: "performance.memory.gc_frequency", About: "Go's own form of the collector's pace"},
		{Name: "PG_BINDIR", About: "the folder with `initdb` and `postgres` for a Postgres of flowgate's own"},
		{Name: "FLOWGATE_FETCH_POSTGRES", About: "`1` fetches these programs where there are none, `0` refuses that"},
		{Name: "FLOWGATE_CACHE", About: "where they are kept, and what new databases are copied from"},
		{Name: "HTTPS_PROXY, HTTP_PROXY, NO_PROXY", About: "proxies on the way to backends"},
	}
}

// applyVariables lets the environment win. It adds to given which variable each key comes from, and reports what is wrong
// with files of secrets.
func (s *Settings) applyVariables(env Lookup, given origins) []error {
	var wrong faults
	for _, v := range Variables() {
		if v.set == nil {
			continue
		}
		value, from, file, err := v.read(env)
		if err != nil {
			wrong = append(wrong, &Fault{File: "environment variable " + from, Text: err.Error()})
			continue
		}
		if value != "" {
			v.set(s, value)
			given[v.Key] = Origin{Source: FromVariable, Variable: from, SecretFile: file}
		}
	}
	return wrong
}

// read is the value of the variable, the name of the one that has it, and the file of a secret.
func (v Variable) read(env Lookup) (value, from, file string, err error) {
	if v.Secret {
		return variableOrFile(env, v.Name)
	}
	value, _ = env(v.Name)
	return value, v.Name, "", nil
}

// environmentName is the environment that holds: the variable's, else the file's.
func (s *Settings) environmentName(env Lookup) string {
	if name, _ := env("FLOWGATE_ENVIRONMENT"); name != "" {
		return name
	}
	return s.Flowgate.Environment
}

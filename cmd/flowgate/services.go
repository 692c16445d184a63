package main

import (
	"cmp"
	"slices"

	"flowgate/configs"
	"flowgate/worker/sessions"
)

// The services whose health is watched, in the order in which they are shown.
const (
	servicePostgres  = "postgres"
	serviceNATS      = "nats"
	serviceS3        = "s3"
	serviceAnthropic = configs.AnthropicName
	serviceOpenAI    = configs.OpenAIName
	serviceBedrock   = configs.BedrockName
	serviceMLflow    = configs.MLflowName
)

func serviceNames() []string {
	return []string{servicePostgres, serviceNATS, serviceS3, serviceBedrock, serviceMLflow, serviceOpenAI, serviceAnthropic}
}

// services are what settings say of the services beside broker and database: how each is asked, or why it is not.
type services struct {
	aws    *sessions.Sessions
	probes []sessions.Probe
	unused []sessions.Unused
	closed []func()
}

func (s *services) close() {
	for _, c := range slices.Backward(s.closed) {
		c()
	}
}

// newServices wires what settings name. It asks nobody.
func newServices(s configs.Settings, env configs.Lookup) (*services, error) {
	clients, err := sessions.New(awsOptions(s, env))
	if err != nil {
		return nil, usageError{err}
	}
	all := &services{aws: clients, closed: []func(){clients.Close}}
	if s.S3.Bucket == "" {
		all.not(serviceS3, "s3.bucket is not set")
	} else {
		all.probes = append(all.probes, sessions.S3Probe{Sessions: clients})
	}
	for _, f := range detect(s, env) {
		if f.Name == configs.OfflineName {
			continue
		}
		if why := unwatched(s, f); why != "" {
			all.not(f.Name, why)
		} else if err := all.backend(s, env, f.Name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// unwatched says why nobody asks for the health of a backend; empty where somebody does.
func unwatched(s configs.Settings, f found) string {
	if f.Name == serviceMLflow && f.Address != "" && mlflowNamed(s) {
		return barred(s, serviceMLflow) // its health is no secret: it may travel unencrypted
	}
	return f.skipped()
}

// backend adds the probe of one that is used.
func (s *services) backend(settings configs.Settings, env configs.Lookup, name string) error {
	switch name {
	case serviceAnthropic:
		return s.http(sessions.NewAnthropic(anthropicAccess(settings, env)))
	case serviceOpenAI:
		return s.http(sessions.NewOpenAI(openaiAccess(settings, env)))
	case serviceMLflow:
		return s.http(sessions.NewMLflow(mlflowAccess(settings, env)))
	}
	s.probes = append(s.probes, sessions.BedrockProbe{Sessions: s.aws})
	return nil
}

func (s *services) not(service, why string) {
	s.unused = append(s.unused, sessions.Unused{Service: service, Why: why})
}

func (s *services) http(p *sessions.HTTPProbe, err error) error {
	if err != nil {
		return usageError{err}
	}
	s.probes, s.closed = append(s.probes, p), append(s.closed, p.Close)
	return nil
}

// awsOptions are those of the clients of AWS out of settings.
func awsOptions(s configs.Settings, env configs.Lookup) sessions.Options {
	given := s.AWS.Bedrock.Credentials
	return sessions.Options{
		Env: env, Region: s.AWS.Region, Profile: given.Profile,
		Keys: sessions.Keys{ID: given.AccessKeyID.Reveal(), Secret: given.SecretAccessKey.Reveal(), Token: given.SessionToken.Reveal()},
		S3: sessions.S3Options{
			Bucket: s.S3.Bucket, Prefix: s.S3.Prefix, Region: s.S3.Region, Endpoint: s.S3.Endpoint,
			ConnectTimeout: s.S3.ConnectionTimeout, Retries: s.S3.MaxRetries,
		},
		Bedrock: sessions.BedrockOptions{Region: s.AWS.Bedrock.Region, Endpoint: s.AWS.Bedrock.Endpoint, Model: s.AWS.Bedrock.Model("")},
	}
}

func mlflowAccess(s configs.Settings, env configs.Lookup) sessions.HTTPAccess {
	a := sessions.HTTPAccess{URL: s.Integrations.MLflow.TrackingURI.Reveal()}
	a.Bearer, _ = env("MLFLOW_TRACKING_TOKEN")
	a.User, _ = env("MLFLOW_TRACKING_USERNAME")
	a.Password, _ = env("MLFLOW_TRACKING_PASSWORD")
	switch {
	case a.Bearer != "":
		a.Source = "environment (MLFLOW_TRACKING_TOKEN)"
	case a.User != "":
		a.Source = "environment (MLFLOW_TRACKING_USERNAME)"
	}
	return a
}

func anthropicAccess(s configs.Settings, env configs.Lookup) sessions.HTTPAccess {
	a := s.Flowgate.Backends.Anthropic
	return sessions.HTTPAccess{
		URL: cmp.Or(a.BaseURL, anthropicAddress), Key: a.APIKey.Reveal(), Bearer: a.AuthToken.Reveal(), Source: detectAnthropic(s, env).Source,
	}
}

func openaiAccess(s configs.Settings, env configs.Lookup) sessions.HTTPAccess {
	o := s.Flowgate.Backends.OpenAI
	return sessions.HTTPAccess{URL: cmp.Or(o.BaseURL, openAIAddress), Bearer: o.APIKey.Reveal(), Source: detectOpenAI(s, env).Source}
}

// source tells whether a setting comes from its variable or from the file.
func source(env configs.Lookup, variable, key string) string {
	for _, name := range []string{variable, variable + "_FILE"} {
		if value, _ := env(name); value != "" {
			return "environment (" + name + ")"
		}
	}
	return "settings (" + key + ")"
}

// databaseSource names where the database's address comes from; empty where there is none.
func databaseSource(s configs.Settings, env configs.Lookup) string {
	switch {
	case s.Flowgate.DatabaseURL.IsSet():
		return source(env, "DATABASE_URL", "flowgate.database_url")
	case s.DatabaseURL().IsSet():
		return "settings (postgres)"
	}
	return ""
}

// brokerSource names where the broker's address comes from; empty where there is none.
func brokerSource(s configs.Settings, env configs.Lookup) string {
	if s.Flowgate.NATSURL.IsSet() {
		return source(env, "NATS_URL", "flowgate.nats_url")
	}
	return ""
}

// monitorOptions are those of a monitor of these services, in the order in which they are shown.
func monitorOptions(s configs.Settings, probes []sessions.Probe, unused []sessions.Unused) sessions.MonitorOptions {
	p := s.Flowgate.Probes
	return sessions.MonitorOptions{Probes: probes, Unused: unused, Interval: p.Interval, Timeout: p.Timeout, Slow: p.Slow}
}

package main

import (
	"maps"

	"flowgate/configs"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/corporate"
	"flowgate/worker/broker"
	"flowgate/worker/postgres"
)

// databaseOptions are those of the database out of settings.
func databaseOptions(s configs.Settings) postgres.Options {
	o := postgres.DefaultOptions()
	o.Schema = s.Flowgate.DatabaseSchema
	o.MaxConns = s.Postgres.ConnectionPoolSize
	o.Retries, o.RetryDelay = s.Postgres.MaxRetries, s.Postgres.RetryDelay
	return o
}

// access is how the broker of settings is reached, by a process that may wait for it or by a command that does not.
func access(s configs.Settings, patient bool) (broker.Access, error) {
	n := s.Flowgate.NATS
	if err := n.CheckFiles(); err != nil {
		return broker.Access{}, err
	}
	a := broker.Access{
		URL: s.Flowgate.NATSURL.Reveal(), User: n.User, Password: n.Password.Reveal(), CredentialsFile: n.CredentialsFile,
		NKeyFile: n.NKeyFile, CAFile: n.CAFile, CertFile: n.CertFile, KeyFile: n.KeyFile,
	}
	if patient {
		a.Wait = n.ConnectWait
	}
	return a, nil
}

// modelDefaults are what requests of a model have where they say nothing themselves.
func modelDefaults(s configs.Settings) map[string]corporate.ModelDefaults {
	all := map[string]corporate.ModelDefaults{}
	for id, p := range s.AWS.Bedrock.Parameters() {
		if p.MaxTokens != nil || p.Temperature != nil || p.TopP != nil || p.TopK != nil || len(p.StopSequences) > 0 {
			all[id] = corporate.ModelDefaults{MaxTokens: p.MaxTokens, Temperature: p.Temperature, TopP: p.TopP, TopK: p.TopK, Stop: p.StopSequences}
		}
	}
	return all
}

// batchPolicy is how a file of requests is sent: that of the family of models that every line asks for, else the default.
func batchPolicy(s configs.Settings, models []string) configs.BatchPolicy {
	families := s.Batch.Families()
	family := ""
	for i, model := range models {
		of := ai.Family(s.AWS.Bedrock.Model(model), maps.Keys(families))
		if i > 0 && of != family {
			return s.Batch.Default
		}
		family = of
	}
	if policy, own := families[family]; own && family != "" {
		return policy
	}
	return s.Batch.Default
}

// matchTexts tells whether a prompt that names no trigger runs under the FLOW agreement that its text means.
func matchTexts(s configs.Settings) bool { return s.Flowgate.Admission.MatchTexts }

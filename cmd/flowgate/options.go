package main

import (
	"flowgate/configs"
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

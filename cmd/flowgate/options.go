package main

import (
	"flowgate/configs"
	"flowgate/worker/postgres"
)

// databaseOptions are those of a pool out of settings.
func databaseOptions(s configs.Settings) postgres.Options {
	o := postgres.DefaultOptions()
	o.MaxConns = s.Postgres.ConnectionPoolSize
	return o
}

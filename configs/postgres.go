package configs

import "time"

// Postgres is the user's section of that name: the database's address in parts.
type Postgres struct {
	Host       string `yaml:"host"`
	Port       int    `yaml:"port"`
	DBName     string `yaml:"db_name"`
	DBUser     string `yaml:"db_user"`
	DBPassword Secret `yaml:"db_password"`
	SSLMode    string `yaml:"ssl_mode"`
	// ConnectionPoolSize bounds the connections.
	ConnectionPoolSize int           `yaml:"connection_pool_size"`
	MaxRetries         int           `yaml:"max_retries"`
	RetryDelay         time.Duration `yaml:"retry_delay" unit:"seconds"`
}

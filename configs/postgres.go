package configs

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Postgres is the user's section of that name: the database's address in parts, and how it is used. Where host is empty,
// the address is flowgate.database_url, or the private server.
type Postgres struct {
	// Host is a name, an address, or the folder of a socket.
	Host string `yaml:"host"`
	// Port is 1 to 65535.
	Port       int    `yaml:"port"`
	DBName     string `yaml:"db_name"`
	DBUser     string `yaml:"db_user"`
	DBPassword Secret `yaml:"db_password"`
	// SSLMode is libpq's: disable, allow, prefer, require, verify-ca or verify-full.
	SSLMode string `yaml:"ssl_mode"`
	// ConnectionPoolSize bounds the connections of a process; 2 to 1000. Held locks have one more each.
	ConnectionPoolSize int `yaml:"connection_pool_size"`
	// MaxRetries is how often a start tries again to reach a database that does not answer; 0 to 1000.
	MaxRetries int `yaml:"max_retries"`
	// RetryDelay is the pause between; 0.1 to 300 seconds.
	RetryDelay time.Duration `yaml:"retry_delay" unit:"seconds"`
}

func defaultPostgres() Postgres {
	return Postgres{Port: 5432, DBName: "flowgate", SSLMode: "prefer", ConnectionPoolSize: 8, MaxRetries: 3, RetryDelay: time.Second}
}

// DatabaseURL is where the database is: DATABASE_URL, else flowgate.database_url, else the section postgres where it has a
// host, else empty: a private server of our own.
func (s Settings) DatabaseURL() Secret {
	if s.Flowgate.DatabaseURL.IsSet() {
		return s.Flowgate.DatabaseURL
	}
	return s.Postgres.url()
}

// url is the section as a URL.
func (p Postgres) url() Secret {
	if p.Host == "" {
		return Secret{}
	}
	query := url.Values{"sslmode": {p.SSLMode}}
	u := url.URL{Scheme: "postgres", Path: "/" + p.DBName, Host: net.JoinHostPort(strings.Trim(p.Host, "[]"), strconv.Itoa(p.Port))}
	if strings.HasPrefix(p.Host, "/") { // the folder of a socket
		u.Host = ""
		query.Set("host", p.Host)
		query.Set("port", strconv.Itoa(p.Port))
	}
	switch {
	case p.DBUser != "" && p.DBPassword.IsSet():
		u.User = url.UserPassword(p.DBUser, p.DBPassword.Reveal())
	case p.DBUser != "":
		u.User = url.User(p.DBUser)
	case p.DBPassword.IsSet():
		query.Set("password", p.DBPassword.Reveal())
	}
	u.RawQuery = query.Encode()
	return NewSecret(u.String())
}

func (p Postgres) validate(out *faults) {
	const key = "postgres."
	modes := []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	if !slices.Contains(modes, p.SSLMode) {
		out.add(key+"ssl_mode", "must be one of %s", strings.Join(modes, ", "))
	}
	if strings.ContainsAny(p.Host, " ,@?#\t\n") || strings.Contains(p.Host, "://") {
		out.add(key+"host", "must be a host's name or address, or the folder of a socket; a whole URL goes into flowgate.database_url")
	}
	if p.Host != "" && p.DBName == "" {
		out.add(key+"db_name", "must name the database")
	}
	out.between(key+"port", p.Port, 1, 65535)
	out.between(key+"connection_pool_size", p.ConnectionPoolSize, 2, 1000)
	out.between(key+"max_retries", p.MaxRetries, 0, 1000)
	if p.RetryDelay < 100*time.Millisecond || p.RetryDelay > 5*time.Minute {
		out.add(key+"retry_delay", "must be from 0.1 to 300 seconds")
	}
}

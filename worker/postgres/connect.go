package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// leastVersion is the oldest major version of the server: partitions are made with INCLUDING COMPRESSION.
const leastVersion = 14

// connConfig reads the URL and sets what every connection of this package has.
func connConfig(url string, options Options) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, unreadable(err)
	}
	set(config, options)
	return config, nil
}

// set gives a connection what every connection of this package has.
func set(config *pgx.ConnConfig, options Options) {
	config.ConnectTimeout = options.ConnectTimeout
	dialer := &net.Dialer{
		Timeout:         options.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	config.DialFunc = dialer.DialContext
	params := config.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "flowgate"
	}
	params["timezone"] = "GMT" // UTC is a file of tzdata, which small machines lack
	params["search_path"] = options.Schema
	params["lock_timeout"] = milliseconds(options.LockTimeout)
	params["idle_in_transaction_session_timeout"] = milliseconds(options.IdleInTransaction)
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// patiently connects, and again while the server is not there yet, as often as the options say.
func patiently(ctx context.Context, options Options, connect func() error) error {
	for try := 0; ; try++ {
		err := connect()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if lasting(err) || try >= options.Retries {
			return err
		}
		if options.OnWait != nil {
			options.OnWait(err)
		}
		if pause(ctx, options.RetryDelay) != nil {
			return err
		}
	}
}

// errOld is about a server that is too old.
var errOld = errors.New("the database is too old")

// lasting tells faults that do not pass by waiting.
func lasting(err error) bool {
	if state := sqlState(err); state != "" {
		return state != stateStarting && state != stateCrowded
	}
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	return errors.Is(err, errOld) || verification || name || authority || strings.Contains(err.Error(), "refused TLS")
}

// line is an error on one line: pgx gives every address that it tried a line of its own.
type line struct{ error }

func (l line) Error() string { return strings.Join(strings.Fields(l.error.Error()), " ") }
func (l line) Unwrap() error { return l.error }

// unreadable is about the URL itself; pgx leaves the password out.
func unreadable(err error) error {
	if _, file := errors.AsType[*fs.PathError](err); file {
		return fmt.Errorf("reading a file that the postgres url names: %w", line{err})
	}
	return fmt.Errorf("reading the postgres url: %w", line{err})
}

// unreached says what to do about a connection that could not be made. The errors of pgx name host, role and database.
func unreached(err error) error {
	hint := ""
	switch state := sqlState(err); {
	case strings.HasPrefix(state, "28"):
		hint = ": check role and password in DATABASE_URL, and pg_hba.conf"
	case state == stateNoDatabase:
		hint = ": make the database first, or name another in DATABASE_URL"
	case state == stateCrowded:
		hint = ": raise max_connections of the server, or lower postgres.connection_pool_size"
	case state == "" && lasting(err):
		hint = ": see sslmode and sslrootcert in DATABASE_URL"
	}
	return fmt.Errorf("connecting to postgres: %w%s", line{err}, hint)
}

// checkVersion refuses a server that is too old.
func checkVersion(conn *pgconn.PgConn) error {
	version := conn.ParameterStatus("server_version") // such as 15.18 (Debian 15.18-0+deb12u1), or 19beta1
	digits := strings.IndexFunc(version+".", func(r rune) bool { return r < '0' || r > '9' })
	if major, err := strconv.Atoi(version[:digits]); err != nil || major < leastVersion {
		return fmt.Errorf("%w: it is Postgres %s, must be %d or later", errOld, version, leastVersion)
	}
	return nil
}

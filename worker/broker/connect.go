package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/worker"
)

// Access is how a broker that is not flowgate's own is reached. Files are named by path. The caller MUST have
// made sure that those which hold a secret are not open to others.
type Access struct {
	// URL is one URL or several of one cluster, separated by commas: nats, tls, ws or wss. It may hold user and password.
	URL string
	// User and Password log in; so do, in their place, a file of JWT credentials or one with the seed of an nkey.
	User, Password            string
	CredentialsFile, NKeyFile string
	// CAFile has the certificates of the authorities to trust in place of the system's; CertFile and KeyFile are the
	// client's own certificate.
	CAFile, CertFile, KeyFile string
	// Wait is how long a broker that is not there yet is waited for; 0: one try at each of its servers.
	Wait time.Duration
	// GiveUp closes the connection where its login is refused meanwhile: whoever waits for a command wants to know.
	GiveUp bool
}

// dialWait bounds one try at one server, with its greeting and the TLS handshake.
const dialWait = 3 * time.Second

// Connect connects and makes sure that the broker is one that flowgate can work with. The connection then comes back by
// itself for ever, also where its credentials are refused meanwhile, since files may be renewed (unless it is to give up). What is wrong is one
// sentence without secrets.
func Connect(ctx context.Context, a Access, options ...nats.Option) (*nats.Conn, error) {
	at := addresses(a.URL)
	own, err := a.options()
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker at %s: %w", at, err)
	}
	options = append(append([]nats.Option{nats.Timeout(dialWait)}, options...), own...)
	wait, cancel := context.WithTimeout(ctx, a.Wait)
	defer cancel()
	for delays, round := worker.DefaultDelays(), 1; ; round++ {
		conn, err := nats.Connect(a.URL, options...)
		if err == nil {
			if err = checkVersion(conn.ConnectedServerVersion()); err != nil {
				conn.Close()
				return nil, fmt.Errorf("connecting to the broker at %s: %w", at, err)
			}
			return conn, nil
		}
		if lasting(err) || !delays.Pause(wait, round) {
			return nil, fmt.Errorf("connecting to the broker at %s: %w", at, explain(err))
		}
	}
}

func (a Access) options() ([]nats.Option, error) {
	var options []nats.Option
	if !a.GiveUp {
		options = append(options, nats.IgnoreAuthErrorAbort())
	}
	if a.User != "" || a.Password != "" {
		options = append(options, nats.UserInfo(a.User, a.Password))
	}
	if a.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(a.CredentialsFile))
	}
	if a.NKeyFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(a.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the seed of an nkey from %s: %w", a.NKeyFile, err)
		}
		options = append(options, nkey)
	}
	if a.CAFile != "" {
		options = append(options, nats.RootCAs(a.CAFile))
	}
	if a.CertFile != "" {
		options = append(options, nats.ClientCert(a.CertFile, a.KeyFile))
	}
	return options, nil
}

// addresses are the hosts of URLs, without what may be secret in them.
func addresses(urls string) string {
	var hosts []string
	for one := range strings.SplitSeq(urls, ",") {
		at := strings.TrimSpace(one)
		if !strings.Contains(at, "://") {
			at = "nats://" + at
		}
		u, err := url.Parse(at)
		if err != nil || u.Host == "" {
			hosts = append(hosts, "(an unreadable address)")
			continue
		}
		hosts = append(hosts, u.Scheme+"://"+u.Host)
	}
	return strings.Join(hosts, ", ")
}

// lasting tells faults that do not pass by waiting.
func lasting(err error) bool {
	var record tls.RecordHeaderError
	var file *os.PathError
	return refused(err) || certificate(err) || errors.As(err, &record) || errors.As(err, &file) ||
		errors.Is(err, nats.ErrSecureConnWanted) || errors.Is(err, nats.ErrNkeysNotSupported) || errors.Is(err, nats.ErrNoInfoReceived)
}

func refused(err error) bool {
	for _, known := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func certificate(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	// where our own certificate is missing, the server hangs up or answers with a text
	return errors.Is(err, nats.ErrTLS) || verification || alert || name || authority || strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "parsing root certificate")
}

// explain says what to do. The errors of the library name hosts, never credentials.
func explain(err error) error {
	switch {
	case refused(err):
		return fmt.Errorf("%w: it refuses user and password, NATS_CREDS or NATS_NKEY: is the credential suspended or rotated?", err)
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("%w: nobody accepts connections there: start it, or name another in NATS_URL", err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("%w: it speaks no TLS, and the address begins with tls:// or a certificate is set", err)
	case errors.Is(err, nats.ErrNoInfoReceived):
		return fmt.Errorf("%w: what answers there is no NATS server", err)
	case errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: nothing answers within %s", err, dialWait)
	case certificate(err):
		return fmt.Errorf("%w (TLS: the authorities to trust are in NATS_CA, the client's own certificate in NATS_CERT and NATS_KEY)", err)
	}
	return err
}

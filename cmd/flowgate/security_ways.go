package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"flowgate/configs"
	"flowgate/worker/postgres"
	"flowgate/worker/security"
)

// databaseFiles are the files with secrets that a database's address names.
func databaseFiles(address string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	var all []string
	for _, name := range []string{"sslkey", "passfile"} {
		if path := u.Query().Get(name); path != "" {
			all = append(all, path)
		}
	}
	return all
}

func (a *audited) lookAtTransport(context.Context, time.Time) *security.Look {
	var all []security.Endpoint
	unread := false
	if a.postgresPID != 0 {
		all = append(all, security.Endpoint{What: "database", Local: true})
	} else if ways, err := postgres.Ways(a.dbURL); err == nil {
		for _, w := range ways {
			all = append(all, security.Endpoint{
				What: "database", Host: w.Host, Encrypted: w.Encrypted, Unverified: w.Unverified,
				Mend: "add sslmode=verify-full and sslrootcert to DATABASE_URL (postgres.ssl_mode in settings)",
			})
		}
	} else {
		unread = true
	}
	all = append(append(all, a.brokerWays()...), a.webWays()...)
	l := security.Transport(all)
	if unread {
		l.Unseen("the database's address cannot be read")
	}
	return l
}

// brokerWays are how connections to the broker travel.
func (a *audited) brokerWays() []security.Endpoint {
	if a.broker != nil {
		e := security.Endpoint{
			What: "listener of the built-in NATS server", Listens: true,
			Mend: "let flowgate.listen be a loopback address, and use NATS servers of yours with TLS for other machines",
		}
		if doors, err := a.broker.Doors(); err == nil {
			e.Local, e.Host = doors.NoListener, doors.Host
		}
		return []security.Endpoint{e}
	}
	e := security.Endpoint{What: "NATS server", Mend: "let that server want TLS, and let NATS_URL begin with tls://"}
	if at, err := url.Parse(a.conn.ConnectedUrl()); err == nil {
		e.Host, e.Encrypted = at.Hostname(), at.Scheme == "tls" || at.Scheme == "wss"
	}
	if _, err := a.conn.TLSConnectionState(); err == nil {
		e.Encrypted = true
	}
	return []security.Endpoint{e}
}

// webWays are the addresses of settings and environment that are spoken to over HTTP, and what listens for it.
func (a *audited) webWays() []security.Endpoint {
	s, f := a.settings, a.settings.Flowgate
	var all []security.Endpoint
	for _, one := range []struct{ what, address, mend string }{
		{"S3", s.S3.Endpoint, "let s3.endpoint be an https address"},
		{"Bedrock", s.AWS.Bedrock.Endpoint, "let aws.bedrock.endpoint be an https address"},
		{"Anthropic", f.Backends.Anthropic.BaseURL, "let flowgate.backends.anthropic.base_url be an https address"},
		{"OpenAI", f.Backends.OpenAI.BaseURL, "let flowgate.backends.openai.base_url be an https address"},
		{"MLflow", s.Integrations.MLflow.TrackingURI.Reveal(), "let integrations.mlflow.tracking_uri be an https address"},
		{"collector of traces", f.Telemetry.OTLPEndpoint, "let flowgate.telemetry.otlp_endpoint be an https address"},
	} {
		if u, err := url.Parse(one.address); one.address != "" && err == nil {
			all = append(all, security.Endpoint{What: one.what, Host: u.Hostname(), Encrypted: u.Scheme == "https", Mend: one.mend})
		}
	}
	if a.console != nil {
		if u, err := url.Parse(a.console.URL()); err == nil {
			e := security.Endpoint{What: "HTTP listener", Host: u.Hostname(), Listens: true, Mend: "let flowgate.http be a loopback address, and put a proxy with TLS and a password before it"}
			if ip := net.ParseIP(e.Host); ip != nil && ip.IsUnspecified() {
				e.Host = ""
			}
			all = append(all, e)
		}
	}
	return all
}

func (a *audited) lookAtExpiry(ctx context.Context, now time.Time) *security.Look {
	all := a.tokens()
	l := &security.Look{}
	if login, err := a.db.Login(ctx); err != nil {
		l.Unseen("%s", err)
	} else {
		all = append(all, security.Credential{What: "password of the database's role " + login.Role, Ends: login.Ends, Mend: "as an administrator: ALTER ROLE … VALID UNTIL …"})
	}
	if ways, err := postgres.Ways(a.dbURL); err == nil {
		for _, w := range ways {
			if !w.Ends.IsZero() {
				all = append(all, security.Credential{What: "client's certificate for the database at " + w.Host, Ends: w.Ends, Mend: "put a newer certificate in its place"})
			}
		}
	}
	all = append(append(all, a.brokerKeys(l)...), a.awsKeys(ctx)...)
	l.Add(security.Expiry(all, now))
	return l
}

// tokens are the secrets of settings and the tokens of the environment: those that are JWTs say when they end.
func (a *audited) tokens() []security.Credential {
	var all []security.Credential
	add := func(what, text string) {
		c := security.Credential{What: what, Mend: "get a new one from who gave it"}
		c.Ends, _ = security.EndOfToken(text)
		all = append(all, c)
	}
	secrets := a.settings.Secrets()
	for key, secret := range secrets {
		text := secret.Reveal()
		if path := a.secretFiles[key]; path != "" {
			if now, err := readSome(path); err == nil {
				text = now // what the next start reads
			}
		}
		add("setting "+key, text)
	}
	for _, name := range []string{"AWS_BEARER_TOKEN_BEDROCK", "MLFLOW_TRACKING_TOKEN"} {
		if text, _ := a.env(name); text != "" {
			add("environment variable "+name, text)
		}
	}
	slices.SortFunc(all, func(x, y security.Credential) int { return strings.Compare(x.What, y.What) })
	return all
}

// brokerKeys are what opens the broker, where it is not our own.
func (a *audited) brokerKeys(l *security.Look) []security.Credential {
	if a.broker != nil {
		return nil
	}
	n := a.settings.Flowgate.NATS
	var all []security.Credential
	if n.CredentialsFile != "" {
		data, err := readSome(n.CredentialsFile)
		token, parsed := nkeys.ParseDecoratedJWT([]byte(data))
		if err != nil || parsed != nil || strings.Count(token, ".") != 2 {
			l.Unseen("the credentials file %s cannot be read", n.CredentialsFile)
		} else {
			ends, _ := security.EndOfToken(token)
			all = append(all, security.Credential{What: "credentials file " + n.CredentialsFile, Ends: ends, Mend: "let the account's operator sign a new one"})
		}
	}
	if n.CertFile != "" {
		if ends, err := endOfCertificate(n.CertFile); err != nil {
			l.Unseen("the certificate %s cannot be read", n.CertFile)
		} else {
			all = append(all, security.Credential{What: "client's certificate " + n.CertFile, Ends: ends, Mend: "put a newer certificate in its place"})
		}
	}
	if state, err := a.conn.TLSConnectionState(); err == nil && len(state.PeerCertificates) > 0 {
		all = append(all, security.Credential{What: "certificate of the NATS server", Ends: state.PeerCertificates[0].NotAfter, Mend: "renew it on that server"})
	}
	return all
}

// awsKeys are those of AWS that are in use.
func (a *audited) awsKeys(ctx context.Context) []security.Credential {
	var all []security.Credential
	if a.services == nil {
		return nil
	}
	if a.settings.S3.Bucket != "" {
		if s3, err := a.services.aws.S3(ctx); err == nil {
			all = append(all, security.Credential{What: "AWS credentials of S3 from " + s3.Credentials.Source(), Ends: s3.Credentials.Ends(), Renewed: true, Mend: "renew them where they come from"})
		}
	}
	if slices.Contains(a.serving, configs.BedrockName) {
		if b, err := a.services.aws.Bedrock(ctx); err == nil {
			all = append(all, security.Credential{What: "AWS credentials of Bedrock from " + b.Credentials.Source(), Ends: b.Credentials.Ends(), Renewed: true, Mend: "renew them where they come from"})
		}
	}
	return all
}

// publicKey is that of the seed in a file; empty where there is none.
func publicKey(path string) string {
	seed, err := readSome(path)
	if path == "" || err != nil {
		return ""
	}
	pair, err := nkeys.ParseDecoratedNKey([]byte(seed))
	if err != nil {
		return ""
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return ""
	}
	return public
}

// readSome reads a small file.
func readSome(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // settings name it
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // opened for reading: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, configs.MaxSecretBytes))
	return strings.TrimSpace(string(data)), err
}

// endOfCertificate is when the first certificate of a file in PEM form ends.
func endOfCertificate(path string) (time.Time, error) {
	data, err := readSome(path)
	if err != nil {
		return time.Time{}, err
	}
	rest := []byte(data)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return time.Time{}, io.ErrUnexpectedEOF
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, err
		}
		return leaf.NotAfter, nil
	}
}

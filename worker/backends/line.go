package backends

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"flowgate/pipelines/ai"
)

// Defaults of backends that speak HTTP.
const (
	// DefaultTimeout bounds one call as a whole.
	DefaultTimeout = 10 * time.Minute
	// DefaultDialTimeout bounds each of connecting and TLS.
	DefaultDialTimeout = 10 * time.Second
	// DefaultMaxConnections bounds the connections to the provider.
	DefaultMaxConnections = 128
	// DefaultMaxResponseBytes bounds one answer's body.
	DefaultMaxResponseBytes = 16 << 20
)

// HTTPOptions are how a backend speaks HTTP. Of the environment only the standard HTTPS_PROXY, HTTP_PROXY and NO_PROXY count.
type HTTPOptions struct {
	// AllowInsecure lets prompts and key travel unencrypted to hosts that are not loopback.
	AllowInsecure bool
	// Timeout bounds one call, from waiting for a connection to the answer's last byte; left out it is DefaultTimeout. What
	// was sent when it ends is in doubt.
	Timeout time.Duration
	// DialTimeout bounds connecting, and once more TLS; left out it is DefaultDialTimeout.
	DialTimeout time.Duration
	// MaxConnections bounds the open connections; calls over it wait. Left out it is DefaultMaxConnections.
	MaxConnections int
	// NewConnections makes a connection for every call instead of keeping them.
	NewConnections bool
	// Uncompressed asks for answers as they are; else the server may compress them.
	Uncompressed bool
	// MaxResponseBytes bounds an answer's body, in bytes, decompressed; left out it is DefaultMaxResponseBytes.
	MaxResponseBytes int64
}

func (o HTTPOptions) validate(errs *optionErrors) {
	for _, bound := range []struct {
		field string
		value int64
	}{
		{"timeout", int64(o.Timeout)},
		{"dial_timeout", int64(o.DialTimeout)},
		{"max_connections", int64(o.MaxConnections)},
		{"max_response_bytes", o.MaxResponseBytes},
	} {
		if bound.value < 0 {
			errs.add(bound.field, "must not be negative; left out it is the default")
		}
	}
}

// validateBase judges a base URL; nil: it is none. example is a right one.
func (o HTTPOptions) validateBase(errs *optionErrors, field, value, example string) *url.URL {
	base, err := url.Parse(value)
	switch {
	case err != nil || base.Hostname() == "" || (base.Scheme != "https" && base.Scheme != "http"):
		errs.add(field, "must be an absolute URL such as %s", example)
		return nil
	case base.User != nil:
		errs.add(field, "must not hold credentials; the key has an option of its own")
	case base.RawQuery != "" || base.Fragment != "":
		errs.add(field, "must have neither query nor fragment")
	case base.Scheme == "http" && !o.AllowInsecure && !loopback(base.Hostname()):
		errs.add(field, "must be https, since %q is not loopback; allow_insecure permits http", base.Hostname())
	}
	return base
}

// validateSecret judges what is sent as a header, and never repeats it.
func validateSecret(errs *optionErrors, field, value string) {
	if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		errs.add(field, "must be printable ASCII without spaces, as the environment or the secret's file may have added")
	}
}

func (o HTTPOptions) withDefaults() HTTPOptions {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = DefaultDialTimeout
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.MaxResponseBytes == 0 {
		o.MaxResponseBytes = DefaultMaxResponseBytes
	}
	return o
}

// line is the way to a provider: its connections, and what bounds a call.
type line struct {
	client    *http.Client
	transport *http.Transport
	options   HTTPOptions
}

// newLine makes a line. It connects nowhere yet.
func newLine(options HTTPOptions) *line {
	options = options.withDefaults()
	transport := newTransport(options)
	return &line{
		client: &http.Client{
			Transport: transport,
			// A redirect is a second request, and may lead elsewhere: it is reported, never followed.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		transport: transport, options: options,
	}
}

// Close frees idle connections. Calls in flight go on.
func (l *line) Close() { l.transport.CloseIdleConnections() }

// begin begins an exchange, and bounds ctx by what a call may take. The client is that of this exchange alone.
func (l *line) begin(ctx context.Context, p *protocol) (*exchange, doer, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	x := &exchange{protocol: p, maxBytes: l.options.MaxResponseBytes}
	return x, x.through(ctx, l.client), cancel
}

// newTransport never replays a request by itself: net/http does so only for connections on which nothing was written, and
// for requests that it holds to be idempotent, which a POST without an Idempotency-Key is not.
func newTransport(options HTTPOptions) *http.Transport {
	dialer := &net.Dialer{Timeout: options.DialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		DisableKeepAlives:      options.NewConnections,
		DisableCompression:     options.Uncompressed,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    options.DialTimeout,
		MaxConnsPerHost:        options.MaxConnections,
		MaxIdleConns:           options.MaxConnections,
		MaxIdleConnsPerHost:    options.MaxConnections,
		IdleConnTimeout:        30 * time.Second, // less than servers keep them, so that few requests meet a closing one
		MaxResponseHeaderBytes: 1 << 20,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// requestIDOf is what joins a call with the provider's logs, "<tenant>/<id>/<epoch>/<attempt>"; empty where it could not be sent as it is.
func requestIDOf(call *ai.Call, most int) string {
	id := callID(call)
	for i := range len(id) {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return ""
		}
	}
	if len(id) > most {
		return ""
	}
	return id
}

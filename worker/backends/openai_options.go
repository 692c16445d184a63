package backends

import (
	"net"
	"net/url"
	"strings"
	"time"
)

// Defaults of the OpenAI backend.
const (
	DefaultOpenAIBaseURL = "https://api.openai.com/v1"
	// DefaultTimeout bounds one call as a whole.
	DefaultTimeout = 10 * time.Minute
	// DefaultDialTimeout bounds each of connecting and TLS.
	DefaultDialTimeout = 10 * time.Second
	// DefaultMaxConnections bounds the connections to the provider.
	DefaultMaxConnections = 128
	// DefaultMaxResponseBytes bounds one answer's body.
	DefaultMaxResponseBytes = 16 << 20
)

// MaxTokensField is the name under which a server takes the bound of an answer.
type MaxTokensField string

// The names. OpenAI's newer models refuse max_tokens, Ollama and older vLLM know nothing else.
const (
	// MaxTokensByHost is max_completion_tokens for api.openai.com and max_tokens for every other host.
	MaxTokensByHost     MaxTokensField = ""
	MaxCompletionTokens MaxTokensField = "max_completion_tokens"
	MaxTokens           MaxTokensField = "max_tokens"
)

// OpenAIOptions configure the OpenAI backend. No option is read from the environment, but for the standard HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY.
type OpenAIOptions struct {
	// APIKey is sent as bearer token. It is required for api.openai.com; servers such as Ollama need none.
	APIKey string
	// BaseURL is where chat/completions is found, version included: http://127.0.0.1:11434/v1 for Ollama. Left out it is
	// DefaultOpenAIBaseURL. It is https, except for loopback or with AllowInsecure.
	BaseURL string
	// AllowInsecure lets prompts and key travel unencrypted to hosts that are not loopback.
	AllowInsecure bool
	// MaxTokensField is the name that max_tokens is sent under.
	MaxTokensField MaxTokensField
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

// Validate names every option that is wrong. It never repeats the key.
func (o OpenAIOptions) Validate() error {
	errs := optionErrors{backend: OpenAIName}
	o = o.withDefaults()
	base, err := url.Parse(o.BaseURL)
	switch {
	case err != nil || base.Hostname() == "" || (base.Scheme != "https" && base.Scheme != "http"):
		errs.add("base_url", "must be an absolute URL such as %s", DefaultOpenAIBaseURL)
	case base.User != nil:
		errs.add("base_url", "must not hold credentials; the key has an option of its own")
	case base.RawQuery != "" || base.Fragment != "":
		errs.add("base_url", "must have neither query nor fragment")
	case base.Scheme == "http" && !o.AllowInsecure && !loopback(base.Hostname()):
		errs.add("base_url", "must be https, since %q is not loopback; allow_insecure permits http", base.Hostname())
	case o.APIKey == "" && isOpenAI(base):
		errs.add("api_key", "is required for %s", base.Hostname())
	}
	if strings.ContainsFunc(o.APIKey, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		errs.add("api_key", "must be printable ASCII without spaces, as the environment or the secret's file may have added")
	}
	switch o.MaxTokensField {
	case MaxTokensByHost, MaxCompletionTokens, MaxTokens:
	default:
		errs.add("max_tokens_field", "must be %s, %s or empty, is %q", MaxCompletionTokens, MaxTokens, string(o.MaxTokensField))
	}
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
	return errs.join()
}

func (o OpenAIOptions) withDefaults() OpenAIOptions {
	if o.BaseURL == "" {
		o.BaseURL = DefaultOpenAIBaseURL
	}
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

// tokensField resolves MaxTokensByHost.
func (o OpenAIOptions) tokensField(base *url.URL) MaxTokensField {
	switch {
	case o.MaxTokensField != MaxTokensByHost:
		return o.MaxTokensField
	case isOpenAI(base):
		return MaxCompletionTokens
	}
	return MaxTokens
}

func isOpenAI(base *url.URL) bool { return strings.EqualFold(base.Hostname(), "api.openai.com") }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

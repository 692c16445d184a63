package configs

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Backends says which backends may be used, in which order, and how.
type Backends struct {
	// Allowed, where it has any, are the only backends that may be used: a stray key opens no other way out. Empty allows
	// every backend that is configured.
	Allowed []string `yaml:"allowed"`
	// Order is the order in which they are tried.
	Order   []string       `yaml:"order"`
	Offline OfflineBackend `yaml:"offline"`
	OpenAI  OpenAIBackend  `yaml:"openai"`
}

// OfflineBackend answers without a model, and says so.
type OfflineBackend struct {
	// Latency is how long an answer takes; 0s to 1h.
	Latency time.Duration `yaml:"latency"`
	// AllowInProduction permits it in the environment production.
	AllowInProduction bool `yaml:"allow_in_production"`
}

// OpenAIBackend is OpenAI, or any server that speaks its protocol.
type OpenAIBackend struct {
	// BaseURL is where chat/completions is found, version included; empty is OpenAI itself. OPENAI_BASE_URL wins over it.
	BaseURL string `yaml:"base_url"`
	// APIKey is OpenAI's key; servers of one's own may need none. OPENAI_API_KEY wins over it.
	APIKey Secret `yaml:"api_key"`
	// Timeout bounds one call; 1s to 1h.
	Timeout time.Duration `yaml:"timeout"`
	// Region is where it processes what it is asked, in words that flowgate.privacy.regions uses; empty: nobody says.
	Region string `yaml:"region"`
	// Models, where it has any, are the only exact model ids that this backend serves.
	Models []string `yaml:"models"`
	// AllowInsecure lets prompts and key travel unencrypted to a host that is not this machine.
	AllowInsecure bool `yaml:"allow_insecure"`
	// MaxTokensField is the name under which the server takes max_tokens: max_tokens, max_completion_tokens, or empty for
	// the one that fits the host.
	MaxTokensField string `yaml:"max_tokens_field"`
}

// Configured tells whether there is anything to call: a key, or a server of one's own.
func (o OpenAIBackend) Configured() bool { return o.APIKey.IsSet() || o.BaseURL != "" }

// BackendNames lists the backends in the order in which they are tried by default.
func BackendNames() []string { return []string{"anthropic", "openai", "bedrock", "mlflow", "offline"} }

// Allows tells whether a backend may be used.
func (b Backends) Allows(name string) bool {
	return slices.Contains(b.Order, name) && (len(b.Allowed) == 0 || slices.Contains(b.Allowed, name))
}

func defaultBackends() Backends {
	return Backends{Allowed: []string{}, Order: BackendNames(), OpenAI: OpenAIBackend{Timeout: 10 * time.Minute, Models: []string{}}}
}

func (b Backends) validate(out *faults) {
	for _, list := range []struct {
		key   string
		names []string
	}{{"flowgate.backends.allowed", b.Allowed}, {"flowgate.backends.order", b.Order}} {
		out.names(list.key, list.names)
		for _, name := range list.names {
			if !slices.Contains(BackendNames(), name) {
				out.add(list.key, "%q is none of %s", clip(name), strings.Join(BackendNames(), ", "))
			}
		}
	}
	if len(b.Order) == 0 {
		out.add("flowgate.backends.order", "must name a backend")
	}
	if b.Offline.Latency < 0 || b.Offline.Latency > time.Hour {
		out.add("flowgate.backends.offline.latency", "must be from 0s to 1h")
	}
	b.OpenAI.validate(out)
}

func (o OpenAIBackend) validate(out *faults) {
	const key = "flowgate.backends.openai."
	if o.BaseURL != "" {
		base, err := url.Parse(o.BaseURL)
		switch {
		case err != nil || base.Hostname() == "" || base.Scheme != "https" && base.Scheme != "http":
			out.add(key+"base_url", "must be an absolute URL, such as https://api.openai.com/v1")
		case base.User != nil || base.RawQuery != "" || base.Fragment != "":
			out.add(key+"base_url", "must have neither credentials nor query nor fragment; the key has api_key")
		case base.Scheme == "http" && !o.AllowInsecure && !loopback(base.Hostname()):
			out.add(key+"base_url", "must be https, since its host is not this machine; allow_insecure permits http")
		}
	}
	if o.Timeout < time.Second || o.Timeout > time.Hour {
		out.add(key+"timeout", "must be from 1s to 1h")
	}
	if !slices.Contains([]string{"", "max_tokens", "max_completion_tokens"}, o.MaxTokensField) {
		out.add(key+"max_tokens_field", "must be max_tokens, max_completion_tokens or empty")
	}
	out.names(key+"models", o.Models)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

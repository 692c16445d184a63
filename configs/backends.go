package configs

import (
	"maps"
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
	Order     []string         `yaml:"order"`
	Breaker   Breaker          `yaml:"breaker"`
	Anthropic AnthropicBackend `yaml:"anthropic"`
	OpenAI    OpenAIBackend    `yaml:"openai"`
	Bedrock   BedrockBackend   `yaml:"bedrock"`
	MLflow    MLflowBackend    `yaml:"mlflow"`
	Offline   OfflineBackend   `yaml:"offline"`
}

// Breaker keeps calls from backends and models that fail.
type Breaker struct {
	// Failures in a row open it; 1 to 1000.
	Failures int `yaml:"failures"`
	// Open is how long it stays open before one call tries, doubled after each trial that fails up to MaxOpen; 100ms to 1h, to 24h.
	Open    time.Duration `yaml:"open"`
	MaxOpen time.Duration `yaml:"max_open"`
	// QuotaHold is how long a backend is left alone whose quota is used up; 1s to 24h.
	QuotaHold time.Duration `yaml:"quota_hold"`
	// AuthHold is how long one is left alone that refuses the credentials; 0s to 24h, 0s is until the process restarts.
	AuthHold time.Duration `yaml:"auth_hold"`
}

func (b Breaker) validate(out *faults) {
	const key, day = "flowgate.backends.breaker.", 24 * time.Hour
	out.between(key+"failures", b.Failures, 1, 1000)
	if b.Open < 100*time.Millisecond || b.Open > time.Hour {
		out.add(key+"open", "must be from 100ms to 1h")
	}
	if b.MaxOpen < b.Open || b.MaxOpen > day {
		out.add(key+"max_open", "must be from open to 24h")
	}
	if b.QuotaHold < time.Second || b.QuotaHold > day {
		out.add(key+"quota_hold", "must be from 1s to 24h")
	}
	if b.AuthHold < 0 || b.AuthHold > day {
		out.add(key+"auth_hold", "must be from 0s to 24h")
	}
}

// OfflineBackend answers without a model, and says so.
type OfflineBackend struct {
	// Latency is how long an answer takes; 0s to 1h.
	Latency time.Duration `yaml:"latency"`
	// AllowInProduction permits it in the environment production.
	AllowInProduction bool `yaml:"allow_in_production"`
}

// The names of backends.
const (
	AnthropicName = "anthropic"
	OpenAIName    = "openai"
	BedrockName   = "bedrock"
	MLflowName    = "mlflow"
	OfflineName   = "offline"
)

// BackendNames lists the backends in the order in which they are tried by default.
func BackendNames() []string {
	return []string{AnthropicName, OpenAIName, BedrockName, MLflowName, OfflineName}
}

// Allows tells whether a backend may be used.
func (b Backends) Allows(name string) bool {
	return slices.Contains(b.Order, name) && (len(b.Allowed) == 0 || slices.Contains(b.Allowed, name))
}

// Names tells whether the backends that may be used are listed, and this one is on the list.
func (b Backends) Names(name string) bool { return slices.Contains(b.Allowed, name) }

func defaultBackends() Backends {
	const timeout = 10 * time.Minute
	return Backends{
		Allowed: []string{}, Order: BackendNames(),
		Breaker:   Breaker{Failures: 5, Open: 5 * time.Second, MaxOpen: time.Minute, QuotaHold: 5 * time.Minute, AuthHold: time.Minute},
		Anthropic: AnthropicBackend{Timeout: timeout, Models: []string{}, Names: map[string]string{}},
		OpenAI:    OpenAIBackend{Timeout: timeout, Models: []string{}, Names: map[string]string{}, API: APIAuto},
		Bedrock:   BedrockBackend{Timeout: timeout, Models: []string{}, Names: map[string]string{}},
		MLflow:    MLflowBackend{Timeout: timeout, Models: []string{}, Names: map[string]string{}, Path: MLflowAuto},
	}
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
	b.Breaker.validate(out)
	b.Anthropic.validate(out)
	b.OpenAI.validate(out)
	b.Bedrock.validate(out)
	b.MLflow.validate(out)
}

// base judges the address of a server that is asked with a key of its own.
func (f *faults) base(key, address, example string, insecure bool) {
	if address == "" {
		return
	}
	base, err := url.Parse(address)
	switch {
	case err != nil || base.Hostname() == "" || base.Scheme != "https" && base.Scheme != "http":
		f.add(key, "must be an absolute URL, such as %s", example)
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		f.add(key, "must have neither credentials nor query nor fragment; the key has api_key")
	case base.Scheme == "http" && !insecure && !Loopback(base.Hostname()):
		f.add(key, "must be https, since its host is not this machine; allow_insecure permits http")
	}
}

// served judges what every backend of models has: the bound of a call, the models, and what they are called there.
func (f *faults) served(key string, timeout time.Duration, models []string, names map[string]string) {
	if timeout < time.Second || timeout > time.Hour {
		f.add(key+"timeout", "must be from 1s to 1h")
	}
	f.names(key+"models", models)
	for _, id := range slices.Sorted(maps.Keys(names)) {
		if name := names[id]; strings.TrimSpace(id) != id || strings.TrimSpace(name) != name || id == "" || name == "" {
			f.add(key+"names."+clip(id), "must map the id of a model to what it is called at this backend")
		}
	}
}

// oneOf judges a choice.
func (f *faults) oneOf(key, value string, choices ...string) {
	if !slices.Contains(choices, value) {
		f.add(key, "must be one of %s", strings.Join(choices, ", "))
	}
}

// Loopback tells whether a host is this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

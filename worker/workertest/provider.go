package workertest

import (
	"context"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"testing"

	"flowgate/pipelines/ai"
	"flowgate/worker/provider"
)

// ProviderKey is the API key that a Provider takes, and no other.
const ProviderKey = "sk-test-5f2ab91c"

// Provider is the fake provider of worker/provider, scripted for each request on its own.
type Provider struct {
	*provider.Server

	mu      sync.Mutex
	replies map[string][]provider.Reply
}

// NewProvider starts a provider that answers every call. It ends with the test.
func NewProvider(t testing.TB, change ...func(*provider.Options)) *Provider {
	t.Helper()
	p := &Provider{replies: make(map[string][]provider.Reply)}
	options := provider.Options{Listen: "127.0.0.1:0", Script: p.script, Key: ProviderKey}
	for _, c := range change {
		c(&options)
	}
	server, err := provider.New(options)
	if err != nil {
		t.Fatalf("starting the fake provider: %v", err)
	}
	p.Server = server
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the fake provider: %v", err)
		}
	})
	return p
}

// Reply answers the calls of a request with replies, one after the other; the last one stays.
func (p *Provider) Reply(call ai.Call, replies ...provider.Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replies[call.String()] = replies
}

func (p *Provider) script(ask provider.Ask) provider.Reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	replies := p.replies[ask.Key]
	switch {
	case len(replies) == 0:
		return provider.Reply{Outcome: provider.Success}
	case len(replies) > 1:
		p.replies[ask.Key] = replies[1:]
	}
	return replies[0]
}

// keyVariables are the variables of the environment that lead to a real provider.
func keyVariables() []string {
	return []string{
		"OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS",
		"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_PROFILE", "ANTHROPIC_CUSTOM_HEADERS",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD",
	}
}

// ProxyVariables are those that lead net/http through a proxy.
func ProxyVariables() []string {
	return []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
}

// Keyless takes every variable that leads to a real provider from the environment, and more besides. A TestMain calls it; what was there
// is returned, for tests that a person has asked to be real.
func Keyless(more ...string) map[string]string {
	taken := map[string]string{}
	for _, name := range append(keyVariables(), more...) {
		if os.Getenv(proxyVariable) != "" && strings.HasSuffix(name, "_PROXY") {
			continue // the test of the proxy set it
		}
		if value, there := os.LookupEnv(name); there {
			taken[name] = value
			_ = os.Unsetenv(name) // it fails for no name of these
		}
	}
	return taken
}

// quietLog takes what test servers log of the clients that hang up on them.
var quietLog = log.New(io.Discard, "", 0)

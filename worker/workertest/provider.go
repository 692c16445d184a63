package workertest

import (
	"context"
	"io"
	"log"
	"maps"
	"os"
	"slices"
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

// keyVariables are the variables of the environment that lead SDKs to a real provider.
var keyVariables = map[string]bool{
	"OPENAI_API_KEY": true, "OPENAI_BASE_URL": true, "OPENAI_ORG_ID": true, "OPENAI_PROJECT_ID": true, "OPENAI_CUSTOM_HEADERS": true,
	"OPENAI_ADMIN_KEY": true, "ANTHROPIC_API_KEY": true, "ANTHROPIC_AUTH_TOKEN": true, "ANTHROPIC_BASE_URL": true, "ANTHROPIC_PROFILE": true,
	"ANTHROPIC_CUSTOM_HEADERS": true, "AWS_ACCESS_KEY_ID": true, "AWS_SECRET_ACCESS_KEY": true, "AWS_SESSION_TOKEN": true, "AWS_PROFILE": true,
	"AWS_BEARER_TOKEN_BEDROCK": true, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": true, "AWS_WEB_IDENTITY_TOKEN_FILE": true, "MLFLOW_TRACKING_URI": true,
	"MLFLOW_TRACKING_TOKEN": true, "MLFLOW_TRACKING_USERNAME": true, "MLFLOW_TRACKING_PASSWORD": true,
	"HTTP_PROXY": true, "HTTPS_PROXY": true, "NO_PROXY": true, "http_proxy": true, "https_proxy": true, "no_proxy": true,
}

// Keyless takes every variable from the environment that leads to a real provider or to a proxy. A TestMain calls it; what was there is
// returned, for tests that a person has asked to be real.
func Keyless() map[string]string {
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(keyVariables)) {
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

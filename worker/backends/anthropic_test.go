package backends

import (
	"testing"

	"flowgate/worker/workertest"
)

// claude is a backend for a test server; change may change its options.
func claude(t testing.TB, url string, change ...func(*AnthropicOptions)) *Anthropic {
	t.Helper()
	options := AnthropicOptions{APIKey: workertest.ProviderKey, BaseURL: url}
	for _, c := range change {
		c(&options)
	}
	b, err := NewAnthropic(options)
	if err != nil {
		t.Fatalf("NewAnthropic: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}

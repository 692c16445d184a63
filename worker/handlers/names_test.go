package handlers_test

import (
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
	"flowgate/worker/backends"
	"flowgate/worker/handlers"
	"flowgate/worker/provider"
	"flowgate/worker/sessions"
	"flowgate/worker/workertest"
)

// TestBedrockAnswersByItsOwnNameWhatAnthropicCannot has both protocols for real, at a provider whose Anthropic is overloaded.
func TestBedrockAnswersByItsOwnNameWhatAnthropicCannot(t *testing.T) {
	const there = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
	fake := workertest.NewProvider(t, func(o *provider.Options) {
		o.Script = func(a provider.Ask) provider.Reply {
			if a.Protocol == provider.Anthropic {
				return provider.Reply{Outcome: provider.Quota}
			}
			return provider.Reply{Outcome: provider.Success}
		}
	})
	first, err := backends.NewAnthropic(backends.AnthropicOptions{APIKey: workertest.ProviderKey, BaseURL: fake.Root()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Close)
	key := provider.DefaultAWS()[0]
	aws, err := sessions.New(sessions.Options{
		Keys: sessions.Keys{ID: key.ID, Secret: key.Secret}, Bedrock: sessions.BedrockOptions{Region: "us-east-1", Endpoint: fake.Root()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(aws.Close)
	second, err := backends.NewBedrock(backends.BedrockOptions{Session: aws.Bedrock})
	if err != nil {
		t.Fatal(err)
	}
	layer := alone(t)
	layer.Backends = []handlers.Serving{
		{Backend: first, Menu: ai.Menu{Prefixes: ai.AnthropicPrefixes()}, Region: "us"},
		{Backend: second, Menu: ai.Menu{Prefixes: ai.BedrockPrefixes(), Names: map[string]string{model: there}, Profiles: true}, Region: "us-east-1"},
	}
	policy := layer.Policy()
	if policy.Prices, err = pricing.NewTable([]pricing.Row{{Model: model, Input: 3_000_000, Output: 15_000_000}, {Model: there, Input: 3_300_000, Output: 16_500_000}}); err != nil {
		t.Fatal(err)
	}
	layer.Policy = func() ai.Policy { return policy }
	e, _ := handled(t, layer, messages.Request{Prompt: "hi"})
	if len(e.History) != 2 || e.History[0].Backend != "anthropic" || e.History[0].Class != string(ai.ClassQuota) || e.History[0].Billing != messages.BillingNone || e.History[1].Model != there {
		t.Fatalf("history %+v", e.History)
	}
	row, _ := policy.Prices.Row(there, e.SubmittedAt)
	if s := e.AI; s == nil || s.Backend != "bedrock" || s.Model != there || s.Region != "us" || s.Answer == "" || s.CostMicroUSD == 0 || s.CostMicroUSD != row.Cost(s.Usage) {
		t.Errorf("answered %+v", e.AI)
	}
}

package backends

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
	"flowgate/worker"
	"flowgate/worker/provider"
	"flowgate/worker/workertest"
)

// liveCap is what all live tests of one run may cost at most, in micro-dollars: $0.50.
const liveCap = 500_000

// purse counts what calls cost, and pays for none that could pass its cap.
type purse struct {
	prices *pricing.Table
	most   int64

	mu    sync.Mutex
	spent int64
}

func newPurse(t *testing.T, most int64) *purse {
	t.Helper()
	prices, err := configs.LoadPrices("")
	if err != nil {
		t.Fatal(err)
	}
	return &purse{prices: prices.AtDearest(), most: most}
}

// payer is a backend whose calls a purse pays for, one at a time.
type payer struct {
	worker.Backend

	purse *purse
}

// Call sends nothing where the call's bound, at the price of its model, does not fit into what is left. A model without a price has the
// dearest.
func (p payer) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	p.purse.mu.Lock()
	defer p.purse.mu.Unlock()
	row, ok := p.purse.prices.Row(call.Model, time.Now())
	bound := row.Bound(pricing.InputBound(&call.Question), int64(call.MaxTokens))
	if !ok || p.purse.spent+bound > p.purse.most {
		return ai.Answer{}, &ai.Fault{
			Class: ai.ClassInvalid, Code: "spend_cap",
			Detail: fmt.Sprintf("%d micro-dollars are spent, and %d more could pass the cap of %d: nothing was sent", p.purse.spent, bound, p.purse.most),
		}
	}
	answer, err := p.Backend.Call(ctx, call)
	attempt := messages.Attempt{BoundMicroUSD: bound}
	if fault, failed := errors.AsType[*ai.Fault](err); failed {
		attempt = ai.Failed(attempt, fault, time.Now())
	} else {
		attempt = ai.Answered(attempt, answer, row, time.Now())
	}
	p.purse.spent += attempt.CostMicroUSD
	return answer, err //nolint:wrapcheck // it stands in for the backend
}

// TestLiveProviders asks real providers, where FLOWGATE_LIVE is 1 and the environment has their keys.
func TestLiveProviders(t *testing.T) {
	if os.Getenv("FLOWGATE_LIVE") != "1" {
		t.Skip("FLOWGATE_LIVE is not 1: nobody asked for real calls, which cost money (at most $0.50)")
	}
	for _, name := range workertest.ProxyVariables() {
		if value, there := keys[name]; there {
			t.Setenv(name, value)
		}
	}
	money := newPurse(t, liveCap)
	asked := 0
	for _, p := range liveProviders() {
		t.Run(p.name, func(t *testing.T) {
			if keys[p.key] == "" {
				t.Skipf("%s is not in the environment", p.key)
			}
			asked++
			stage := p.stage(t, keys[p.key], keys[p.base])
			stage.Backend = payer{stage.Backend, money}
			stage.Stranger = payer{p.stage(t, "sk-wrong-7741", keys[p.base]).Backend, money}
			workertest.RunLiveTests(t, stage)
		})
	}
	t.Logf("%d providers were asked for $%.6f", asked, float64(money.spent)/1e6)
	if asked == 0 {
		t.Error("FLOWGATE_LIVE is 1 and no key is in the environment: set OPENAI_API_KEY, ANTHROPIC_API_KEY or AWS_ACCESS_KEY_ID")
	}
}

// liveProvider is one that can be asked for real: key and base are variables of the environment.
type liveProvider struct {
	name, key, base string
	stage           func(t *testing.T, key, base string) workertest.LiveStage
}

func liveProviders() []liveProvider {
	return []liveProvider{
		{"openai chat", "OPENAI_API_KEY", "OPENAI_BASE_URL", liveOpenAI(APIChat, workertest.Words{})},
		{
			"openai responses", "OPENAI_API_KEY", "OPENAI_BASE_URL",
			liveOpenAI(APIResponses, workertest.Words{Stop: "completed", Length: "max_output_tokens", Tool: "completed"}),
		},
		{"anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", liveAnthropic},
		{"bedrock", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", liveBedrock},
	}
}

func liveOpenAI(api OpenAIAPI, words workertest.Words) func(*testing.T, string, string) workertest.LiveStage {
	return func(t *testing.T, key, base string) workertest.LiveStage {
		t.Helper()
		return workertest.LiveStage{
			Backend: openAI(t, base, func(o *OpenAIOptions) { o.APIKey, o.API, o.Timeout = key, api, time.Minute }),
			Can:     []workertest.Ability{workertest.CanTools, workertest.CanJSONSchema, workertest.CanImages, workertest.CanEmbeddings},
			Words:   words,
			Model:   cmp.Or(os.Getenv("FLOWGATE_LIVE_OPENAI_MODEL"), "gpt-4.1-mini"), EmbeddingModel: "text-embedding-3-small",
		}
	}
}

func liveAnthropic(t *testing.T, key, base string) workertest.LiveStage {
	t.Helper()
	return workertest.LiveStage{
		Backend: claude(t, base, func(o *AnthropicOptions) { o.APIKey, o.Timeout = key, time.Minute }),
		Can:     []workertest.Ability{workertest.CanTools, workertest.CanJSONSchema, workertest.CanImages},
		Words:   workertest.Words{Stop: "end_turn", Length: "max_tokens", Tool: "tool_use"},
		Model:   cmp.Or(os.Getenv("FLOWGATE_LIVE_ANTHROPIC_MODEL"), "claude-haiku-4-5"),
	}
}

// rehearsedSecret signs where no other secret is in the environment.
const rehearsedSecret = "fake-secret-of-a-rehearsal"

func liveBedrock(t *testing.T, key, base string) workertest.LiveStage {
	t.Helper()
	env := environment(t, "AWS_ACCESS_KEY_ID", key, "AWS_SECRET_ACCESS_KEY", cmp.Or(keys["AWS_SECRET_ACCESS_KEY"], rehearsedSecret),
		"AWS_SESSION_TOKEN", keys["AWS_SESSION_TOKEN"], "AWS_REGION", os.Getenv("AWS_REGION"))
	return workertest.LiveStage{
		Backend: bedrockAt(t, base, env, func(o *BedrockOptions) { o.Timeout = time.Minute }),
		Can:     []workertest.Ability{workertest.CanTools, workertest.CanJSONSchema, workertest.CanImages, workertest.CanEmbeddings},
		Words:   workertest.Words{Stop: "end_turn", Length: "max_tokens", Tool: "tool_use"},
		Model:   cmp.Or(os.Getenv("FLOWGATE_LIVE_BEDROCK_MODEL"), claudeOnBedrock), EmbeddingModel: cohere,
	}
}

// TestRehearsedLiveProviders plays the live tests before the fake provider, so that they are known to work when somebody pays for them.
func TestRehearsedLiveProviders(t *testing.T) {
	for _, p := range liveProviders() {
		t.Run(p.name, func(t *testing.T) {
			server := workertest.NewProvider(t, func(o *provider.Options) {
				o.Models = []string{"gpt-4.1-mini", "text-embedding-3-small", "claude-haiku-4-5", claudeOnBedrock, cohere}
				o.AWS = []provider.AWSKey{{ID: workertest.ProviderKey, Secret: cmp.Or(keys["AWS_SECRET_ACCESS_KEY"], rehearsedSecret), Token: keys["AWS_SESSION_TOKEN"]}}
			})
			base := server.URL()
			if p.key != "OPENAI_API_KEY" {
				base = server.Root()
			}
			money := newPurse(t, liveCap)
			stage := p.stage(t, workertest.ProviderKey, base)
			stage.Backend, stage.Stranger = payer{stage.Backend, money}, payer{p.stage(t, "sk-wrong-7741", base).Backend, money}
			workertest.RunLiveTests(t, stage)
			if money.spent <= 0 || money.spent > liveCap/10 {
				t.Errorf("%d micro-dollars were spent", money.spent)
			}
		})
	}
}

func TestThePurseStopsBeforeItsCap(t *testing.T) {
	server := workertest.NewProvider(t)
	b := payer{openAI(t, server.URL()), newPurse(t, 1000)}
	call := workertest.NewCall("purse")
	call.Model, call.MaxTokens = "gpt-4.1-mini", 400 // at most 640 micro-dollars of output
	fill := provider.Reply{Outcome: provider.Success, Fill: true}
	server.Reply(call, fill)
	if _, err := b.Call(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if fault := faultFrom(t, b, call); fault.Code != "spend_cap" {
		t.Errorf("%v, want one that stops", fault)
	}
	if b.purse.spent < 640 || b.purse.spent > 1000 || server.Totals("").Calls != 1 {
		t.Errorf("%d micro-dollars for %d calls", b.purse.spent, server.Totals("").Calls)
	}
}

package backends

import (
	"testing"

	"flowgate/worker"
	"flowgate/worker/workertest"
)

var (
	_ worker.Backend = (*OpenAI)(nil)
	_ worker.Backend = (*Anthropic)(nil)
)

// bounded are the HTTP options of a backend on a stage.
func bounded(b workertest.Bounds) HTTPOptions {
	return HTTPOptions{Timeout: b.Timeout, MaxResponseBytes: b.MaxResponseBytes, AllowInsecure: b.Insecure}
}

// onStage is a stage whose backend make makes for the root of a provider.
func onStage(make func(t *testing.T, root string, bounds workertest.Bounds) worker.Backend, s workertest.Stage) func(*testing.T) workertest.Stage {
	return func(t *testing.T) workertest.Stage {
		s := s
		s.Provider, s.At = workertest.NewProvider(t), make
		s.Backend = make(t, s.Provider.Root(), workertest.Bounds{})
		return s
	}
}

func TestOpenAIChatKeepsTheContract(t *testing.T) {
	workertest.RunBackendTests(t, onStage(openAIOn(APIAuto), workertest.Stage{
		Can: []workertest.Ability{
			workertest.CanTopP, workertest.CanStop, workertest.CanSeed, workertest.CanTools, workertest.CanJSONObject, workertest.CanJSONSchema,
			workertest.CanImages, workertest.CanImageURLs, workertest.CanNames, workertest.CanEmbeddings, workertest.CanDimensions,
		},
		Tells: []workertest.Telling{
			workertest.TellsCache, workertest.TellsReasoning, workertest.TellsTier, workertest.TellsQuota, workertest.TellsRetry, workertest.TellsFilter,
		},
	}))
}

func TestOpenAIResponsesKeepsTheContract(t *testing.T) {
	workertest.RunBackendTests(t, onStage(openAIOn(APIResponses), workertest.Stage{
		Can: []workertest.Ability{
			workertest.CanTopP, workertest.CanTools, workertest.CanJSONObject, workertest.CanJSONSchema, workertest.CanImages, workertest.CanImageURLs,
			workertest.CanEmbeddings, workertest.CanDimensions,
		},
		Tells: []workertest.Telling{
			workertest.TellsCache, workertest.TellsReasoning, workertest.TellsTier, workertest.TellsQuota, workertest.TellsRetry, workertest.TellsFilter,
		},
		Words: workertest.Words{Stop: "completed", Length: "max_output_tokens", Tool: "completed"},
	}))
}

func openAIOn(api OpenAIAPI) func(*testing.T, string, workertest.Bounds) worker.Backend {
	return func(t *testing.T, root string, bounds workertest.Bounds) worker.Backend {
		return openAI(t, root+"/v1", func(o *OpenAIOptions) { o.API, o.HTTPOptions = api, bounded(bounds) })
	}
}

func TestAnthropicKeepsTheContract(t *testing.T) {
	workertest.RunBackendTests(t, onStage(anthropicOn, workertest.Stage{
		Can: []workertest.Ability{
			workertest.CanTopP, workertest.CanTopK, workertest.CanStop, workertest.CanTools, workertest.CanJSONSchema, workertest.CanImages,
			workertest.CanImageURLs,
		},
		Tells: []workertest.Telling{
			workertest.TellsCache, workertest.TellsReasoning, workertest.TellsTier, workertest.TellsQuota, workertest.TellsRetry, workertest.TellsFilter,
		},
		Words: workertest.Words{Stop: "end_turn", Sequence: "stop_sequence", Length: "max_tokens", Tool: "tool_use"},
	}))
}

func anthropicOn(t *testing.T, root string, bounds workertest.Bounds) worker.Backend {
	t.Helper()
	return claude(t, root, func(o *AnthropicOptions) { o.HTTPOptions = bounded(bounds) })
}

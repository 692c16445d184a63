package backends

import (
	"testing"

	"flowgate/worker"
	"flowgate/worker/workertest"
)

func TestBedrockKeepsTheContract(t *testing.T) {
	workertest.RunBackendTests(t, onStage(bedrockOn, workertest.Stage{
		Can: []workertest.Ability{
			workertest.CanTopP, workertest.CanStop, workertest.CanTools, workertest.CanJSONSchema, workertest.CanImages, workertest.CanEmbeddings,
		},
		Tells:          []workertest.Telling{workertest.TellsCache, workertest.TellsTier, workertest.TellsRetry},
		Words:          workertest.Words{Stop: "end_turn", Sequence: "stop_sequence", Length: "max_tokens", Tool: "tool_use"},
		EmbeddingModel: cohere,
		Secrets:        []string{"fake-secret-of-no-account"},
	}))
}

func bedrockOn(t *testing.T, root string, bounds workertest.Bounds) worker.Backend {
	t.Helper()
	return bedrockAt(t, root, environment(t), func(o *BedrockOptions) { o.Timeout, o.MaxResponseBytes = bounds.Timeout, bounds.MaxResponseBytes })
}

func TestMLflowKeepsTheContract(t *testing.T) {
	for _, route := range []MLflowRoute{RouteAuto, RouteChat, RouteLegacy} {
		can := []workertest.Ability{
			workertest.CanTopP, workertest.CanTopK, workertest.CanStop, workertest.CanTools, workertest.CanJSONObject, workertest.CanJSONSchema,
			workertest.CanImages, workertest.CanImageURLs,
		}
		if route != RouteChat {
			can = append(can, workertest.CanEmbeddings)
		}
		t.Run(string(route), func(t *testing.T) {
			workertest.RunBackendTests(t, onStage(mlflowOn(route), workertest.Stage{
				Can:   can,
				Tells: []workertest.Telling{workertest.TellsCache, workertest.TellsReasoning, workertest.TellsTier, workertest.TellsRetry},
			}))
		})
	}
}

func mlflowOn(route MLflowRoute) func(*testing.T, string, workertest.Bounds) worker.Backend {
	return func(t *testing.T, root string, bounds workertest.Bounds) worker.Backend {
		t.Helper()
		return mlflowAt(t, root, func(o *MLflowOptions) {
			o.Token, o.Route, o.HTTPOptions = workertest.ProviderKey, route, bounded(bounds)
		})
	}
}

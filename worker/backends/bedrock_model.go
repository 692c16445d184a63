package backends

import (
	"slices"
	"strings"

	"flowgate/pipelines/ai"
)

// familyClaude is Anthropic, as the ids of Bedrock name the vendor.
const familyClaude = "anthropic"

// bedrockModel is what an id of Bedrock says of the model; where it is processed says ai.Menu.RegionOf.
type bedrockModel struct {
	// id is the model's, as in anthropic.claude-haiku-4-5-20251001-v1:0; empty where the ARN of a profile, of a provisioned or of an imported
	// model hides it.
	id string
}

func readBedrockModel(id string) bedrockModel {
	if strings.HasPrefix(id, "arn:") {
		parts := strings.SplitN(id, ":", 6) // arn:partition:bedrock:region:account:kind/name
		if len(parts) < 6 {
			return bedrockModel{}
		}
		kind, name, _ := strings.Cut(parts[5], "/")
		if kind != "foundation-model" && kind != "inference-profile" {
			return bedrockModel{}
		}
		id = name
	}
	if first, rest, found := strings.Cut(id, "."); found && slices.Contains(ai.BedrockGeographies(), first) {
		id = rest
	}
	return bedrockModel{id}
}

// family is the vendor; empty where the id hides it.
func (m bedrockModel) family() string {
	vendor, _, found := strings.Cut(m.id, ".")
	if !found {
		return ""
	}
	return vendor
}

// has tells whether the model's id begins with one of some words.
func (m bedrockModel) has(prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(m.id, p) })
}

// withoutSchema are the models that give no structured output: newer ones of other families do, or Bedrock refuses them by itself.
func withoutSchema() []string {
	return []string{
		"amazon.", "ai21.", "cohere.", "meta.", "writer.", "anthropic.claude-v2", "anthropic.claude-instant", "anthropic.claude-3",
		"anthropic.claude-sonnet-4-2", "anthropic.claude-opus-4-2", "anthropic.claude-opus-4-1-",
	}
}

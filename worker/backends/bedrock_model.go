package backends

import (
	"slices"
	"strings"
)

// familyClaude is Anthropic, as the ids of Bedrock name the vendor.
const familyClaude = "anthropic"

// geographies are those of inference profiles: a call through one is processed anywhere inside it.
func geographies() []string {
	return []string{"us", "eu", "apac", "jp", "au", "ca", "us-gov", "global"}
}

// bedrockModel is what an id of Bedrock says.
type bedrockModel struct {
	// geography is that of an inference profile; empty: it is none.
	geography string
	// region is that of an ARN.
	region string
	// id is the model's, as in anthropic.claude-haiku-4-5-20251001-v1:0; empty where the ARN of a profile, of a provisioned or of an imported
	// model hides it.
	id string
	// hidden is true where an ARN names neither model nor geography.
	hidden bool
}

func readBedrockModel(id string) (m bedrockModel) {
	if strings.HasPrefix(id, "arn:") {
		parts := strings.SplitN(id, ":", 6) // arn:partition:bedrock:region:account:kind/name
		if len(parts) < 6 {
			return bedrockModel{hidden: true}
		}
		kind, name, _ := strings.Cut(parts[5], "/")
		if kind != "foundation-model" && kind != "inference-profile" {
			return bedrockModel{region: parts[3], hidden: true}
		}
		m.region, id = parts[3], name
	}
	m.id = id
	if first, rest, found := strings.Cut(id, "."); found && slices.Contains(geographies(), first) {
		m.geography, m.id = first, rest
	}
	return m
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

// BedrockRegion is where a model is processed that is asked for in a region: the geography of its inference profile (us, eu, apac, …,
// global), else the region of its ARN, else the region. It is empty where the ARN of an application's profile does not tell.
func BedrockRegion(model, region string) string {
	m := readBedrockModel(model)
	switch {
	case m.geography != "":
		return m.geography
	case m.hidden && strings.Contains(model, "inference-profile/"):
		return ""
	case m.region != "":
		return m.region
	}
	return region
}

// withoutSchema are the models that give no structured output: newer ones of other families do, or Bedrock refuses them by itself.
func withoutSchema() []string {
	return []string{
		"amazon.", "ai21.", "cohere.", "meta.", "writer.", "anthropic.claude-v2", "anthropic.claude-instant", "anthropic.claude-3",
		"anthropic.claude-sonnet-4-2", "anthropic.claude-opus-4-2", "anthropic.claude-opus-4-1-",
	}
}

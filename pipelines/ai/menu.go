package ai

import "strings"

// Menu is which models a backend serves.
type Menu struct {
	// Only, where it has any, are the only exact ids.
	Only map[string]bool
	// Prefixes, where it has any, are what ids begin with, where Only has none.
	Prefixes []string
	// Names are what models are called there that requests call by another id.
	Names map[string]string
	// Profiles tells that names of models say where they are processed, as those of Bedrock do.
	Profiles bool
}

// Find is what a model is called there; false: it does not serve it.
func (m Menu) Find(model string) (id string, serves bool) {
	if own, named := m.Names[model]; named {
		return own, true
	}
	if len(m.Only) > 0 {
		return model, m.Only[model]
	}
	for _, prefix := range m.Prefixes {
		if strings.HasPrefix(model, prefix) {
			return model, true
		}
	}
	return model, len(m.Prefixes) == 0
}

// AnthropicPrefixes are what the ids of Anthropic's own models begin with.
func AnthropicPrefixes() []string { return []string{"claude-"} }

// OpenAIPrefixes are those of OpenAI itself: servers that speak its protocol have ids of any form.
func OpenAIPrefixes() []string {
	return []string{"gpt-", "o1", "o3", "o4", "chatgpt-", "text-embedding-"}
}

// BedrockPrefixes are vendors, the geographies of inference profiles, and ARNs.
func BedrockPrefixes() []string {
	prefixes := bedrockVendors()
	for _, where := range BedrockGeographies() {
		prefixes = append(prefixes, where+".")
	}
	return append(prefixes, "arn:aws:bedrock:", "arn:aws-us-gov:bedrock:")
}

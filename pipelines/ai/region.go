package ai

import (
	"slices"
	"strings"
)

// BedrockGeographies are those of inference profiles: a call through one is processed anywhere inside it.
func BedrockGeographies() []string {
	return []string{"us", "eu", "apac", "jp", "au", "ca", "us-gov", "global"}
}

// bedrockVendors are what the ids of Bedrock's models begin with.
func bedrockVendors() []string {
	return []string{"amazon.", "anthropic.", "meta.", "cohere.", "mistral.", "ai21.", "deepseek.", "openai.", "qwen.", "writer."}
}

// RegionOf is where a model is processed that is asked for, by the name it has there, at a backend of a region. With Profiles it is the
// geography of an inference profile (us, eu, apac, …, global), else the region of the model's ARN, else the backend's. It is empty, which
// is nobody's word and on no list, where an ARN does not tell: that of an application's profile, of a router, or of no known kind.
func (m Menu) RegionOf(model, region string) string {
	if !m.Profiles {
		return region
	}
	if !strings.HasPrefix(model, "arn:") {
		if where := geography(model); where != "" {
			return where
		}
		return region
	}
	parts := strings.SplitN(model, ":", 6) // arn:partition:bedrock:region:account:kind/name
	if len(parts) < 6 {
		return ""
	}
	switch kind, name, _ := strings.Cut(parts[5], "/"); kind {
	case "inference-profile":
		return geography(name)
	case "foundation-model", "provisioned-model", "imported-model", "custom-model", "custom-model-deployment", "endpoint":
		return parts[3]
	}
	return ""
}

// geography is that of an inference profile's id; empty: it is none. A word before a vendor is one too that is not known yet.
func geography(id string) string {
	first, rest, _ := strings.Cut(id, ".")
	vendor := func(v string) bool { return strings.HasPrefix(rest, v) }
	if slices.Contains(BedrockGeographies(), first) || slices.ContainsFunc(bedrockVendors(), vendor) {
		return first
	}
	return ""
}

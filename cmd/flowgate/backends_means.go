package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"flowgate/configs"
)

// meaning is a short digest of what of a backend's settings changes answers: a server of one's own, Bedrock's guardrail. It is empty where
// they are the provider's own, and holds no secret: f.Address has none.
func meaning(s configs.Settings, f found) string {
	b, parts := s.Flowgate.Backends, []string{"", "", ""}
	switch f.Name {
	case configs.AnthropicName:
		parts[0] = b.Anthropic.BaseURL
	case configs.OpenAIName:
		parts[0] = b.OpenAI.BaseURL
	case configs.MLflowName:
		parts[0] = f.Address
	case configs.BedrockName:
		parts[1], parts[2] = b.Bedrock.Guardrail, b.Bedrock.GuardrailVersion
		if s.AWS.Bedrock.Endpoint != "" {
			parts[0] = f.Address
		}
	}
	if parts[0]+parts[1] == "" {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:8])
}

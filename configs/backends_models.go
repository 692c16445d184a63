package configs

import (
	"regexp"
	"slices"
	"time"
)

// What the backends of models have in common: Timeout bounds one call, 1s to 1h. Region is where it processes what it is asked, in
// words that flowgate.privacy.regions uses; empty: nobody says. Models, where it has any, are the only exact ids that it serves. Names
// maps ids of requests to what these models are called there, so that one that another backend cannot answer is asked here.

// AnthropicBackend is Anthropic, or a server that speaks its Messages.
type AnthropicBackend struct {
	// BaseURL is where v1/messages is found; empty is Anthropic itself. ANTHROPIC_BASE_URL wins over it.
	BaseURL string `yaml:"base_url"`
	// APIKey is sent as x-api-key. ANTHROPIC_API_KEY wins over it.
	APIKey Secret `yaml:"api_key"`
	// AuthToken is sent as bearer token, for gateways that want one. ANTHROPIC_AUTH_TOKEN wins over it.
	AuthToken     Secret            `yaml:"auth_token"`
	Timeout       time.Duration     `yaml:"timeout"`
	Region        string            `yaml:"region"`
	Models        []string          `yaml:"models"`
	Names         map[string]string `yaml:"names"`
	AllowInsecure bool              `yaml:"allow_insecure"`
}

// Configured tells whether there is anything to call: a key, a token, or a server of one's own.
func (a AnthropicBackend) Configured() bool {
	return a.APIKey.IsSet() || a.AuthToken.IsSet() || a.BaseURL != ""
}

func (a AnthropicBackend) validate(out *faults) {
	const key = "flowgate.backends.anthropic."
	out.base(key+"base_url", a.BaseURL, "https://api.anthropic.com", a.AllowInsecure)
	out.served(key, a.Timeout, a.Models, a.Names)
}

// The ways to ask OpenAI.
const (
	APIAuto      = "auto"
	APIChat      = "chat"
	APIResponses = "responses"
)

// OpenAIBackend is OpenAI, or any server that speaks its protocol.
type OpenAIBackend struct {
	// BaseURL is where chat/completions is found, version included; empty is OpenAI itself. OPENAI_BASE_URL wins over it.
	BaseURL string `yaml:"base_url"`
	// APIKey is OpenAI's key; servers of one's own may need none. OPENAI_API_KEY wins over it.
	APIKey Secret `yaml:"api_key"`
	// API is chat, responses, or auto: what fits host and model.
	API           string            `yaml:"api"`
	Timeout       time.Duration     `yaml:"timeout"`
	Region        string            `yaml:"region"`
	Models        []string          `yaml:"models"`
	Names         map[string]string `yaml:"names"`
	AllowInsecure bool              `yaml:"allow_insecure"`
	// MaxTokensField is the name under which the server takes max_tokens: max_tokens, max_completion_tokens, or empty for
	// the one that fits the host.
	MaxTokensField string `yaml:"max_tokens_field"`
}

// Configured tells whether there is anything to call: a key, or a server of one's own.
func (o OpenAIBackend) Configured() bool { return o.APIKey.IsSet() || o.BaseURL != "" }

func (o OpenAIBackend) validate(out *faults) {
	const key = "flowgate.backends.openai."
	out.base(key+"base_url", o.BaseURL, "https://api.openai.com/v1", o.AllowInsecure)
	out.served(key, o.Timeout, o.Models, o.Names)
	out.oneOf(key+"api", o.API, APIAuto, APIChat, APIResponses)
	if !slices.Contains([]string{"", "max_tokens", "max_completion_tokens"}, o.MaxTokensField) {
		out.add(key+"max_tokens_field", "must be max_tokens, max_completion_tokens or empty")
	}
}

// BedrockBackend is how Bedrock's models are asked; where it is and by which credentials says aws.bedrock.
type BedrockBackend struct {
	Timeout time.Duration `yaml:"timeout"`
	// Guardrail is the id or ARN of a guardrail of Bedrock's that judges every call, GuardrailVersion its version or DRAFT.
	Guardrail        string `yaml:"guardrail"`
	GuardrailVersion string `yaml:"guardrail_version"`
	// ServiceTier is default, priority, flex or reserved; empty is Bedrock's own default.
	ServiceTier string            `yaml:"service_tier"`
	Models      []string          `yaml:"models"`
	Names       map[string]string `yaml:"names"`
}

var guardrailVersionForm = regexp.MustCompile(`^([1-9][0-9]{0,7}|DRAFT)$`)

func (b BedrockBackend) validate(out *faults) {
	const key = "flowgate.backends.bedrock."
	out.served(key, b.Timeout, b.Models, b.Names)
	out.oneOf(key+"service_tier", b.ServiceTier, "", "default", "priority", "flex", "reserved")
	switch {
	case b.Guardrail == "" && b.GuardrailVersion != "":
		out.add(key+"guardrail_version", "stands without guardrail")
	case b.Guardrail != "" && !guardrailVersionForm.MatchString(b.GuardrailVersion):
		out.add(key+"guardrail_version", "must be the number of a version, or DRAFT")
	}
}

// The paths of MLflow's gateway.
const (
	MLflowAuto     = "auto"
	MLflowUnified  = "unified"
	MLflowEndpoint = "endpoint"
	MLflowLegacy   = "legacy"
)

// MLflowBackend is how the gateway of an MLflow server is asked; where it is says integrations.mlflow. Its models are the names of
// endpoints.
type MLflowBackend struct {
	// Path is unified (one path for all endpoints), endpoint (one for each), legacy (that of older servers), or auto: the first that
	// the server knows.
	Path          string            `yaml:"path"`
	Timeout       time.Duration     `yaml:"timeout"`
	Region        string            `yaml:"region"`
	Models        []string          `yaml:"models"`
	Names         map[string]string `yaml:"names"`
	AllowInsecure bool              `yaml:"allow_insecure"`
}

func (m MLflowBackend) validate(out *faults) {
	const key = "flowgate.backends.mlflow."
	out.served(key, m.Timeout, m.Models, m.Names)
	out.oneOf(key+"path", m.Path, MLflowAuto, MLflowUnified, MLflowEndpoint, MLflowLegacy)
}

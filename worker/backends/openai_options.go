package backends

import (
	"net/url"
	"strings"
)

// DefaultOpenAIBaseURL is where OpenAI itself is.
const DefaultOpenAIBaseURL = "https://api.openai.com/v1"

// MaxTokensField is the name under which a server takes the bound of an answer.
type MaxTokensField string

// The names. OpenAI's newer models refuse max_tokens, Ollama and older vLLM know nothing else.
const (
	// MaxTokensByHost is max_completion_tokens for api.openai.com and for models that reason, max_tokens for all others.
	MaxTokensByHost     MaxTokensField = ""
	MaxCompletionTokens MaxTokensField = "max_completion_tokens"
	MaxTokens           MaxTokensField = "max_tokens"
)

// OpenAIAPI is the API that prompts are asked through.
type OpenAIAPI string

// The APIs. Embeddings have one of their own.
const (
	// APIAuto is Responses for models that can be asked in no other way, and Chat Completions for all others.
	APIAuto      OpenAIAPI = "auto"
	APIChat      OpenAIAPI = "chat"
	APIResponses OpenAIAPI = "responses"
)

// OpenAIOptions configure the OpenAI backend. No option is read from the environment, but for the standard HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY.
type OpenAIOptions struct {
	HTTPOptions

	// APIKey is sent as bearer token. It is required for api.openai.com; servers such as Ollama need none.
	APIKey string
	// BaseURL is where chat/completions is found, version included: http://127.0.0.1:11434/v1 for Ollama. Left out it is
	// DefaultOpenAIBaseURL. It is https, except for loopback or with AllowInsecure.
	BaseURL string
	// API is the API that prompts are asked through; left out it is APIAuto.
	API OpenAIAPI
	// MaxTokensField is the name that max_tokens is sent under.
	MaxTokensField MaxTokensField
}

// Validate names every option that is wrong. It never repeats the key.
func (o OpenAIOptions) Validate() error {
	errs := optionErrors{backend: OpenAIName}
	o = o.withDefaults()
	if base := o.validateBase(&errs, "base_url", o.BaseURL, DefaultOpenAIBaseURL); base != nil && o.APIKey == "" && isOpenAI(base) {
		errs.add("api_key", "is required for %s", base.Hostname())
	}
	validateSecret(&errs, "api_key", o.APIKey)
	switch o.MaxTokensField {
	case MaxTokensByHost, MaxCompletionTokens, MaxTokens:
	default:
		errs.add("max_tokens_field", "must be %s, %s or empty, is %q", MaxCompletionTokens, MaxTokens, string(o.MaxTokensField))
	}
	switch o.API {
	case APIAuto, APIChat, APIResponses:
	default:
		errs.add("api", "must be %s, %s or %s, is %q", APIAuto, APIChat, APIResponses, string(o.API))
	}
	o.validate(&errs)
	return errs.join()
}

func (o OpenAIOptions) withDefaults() OpenAIOptions {
	o.HTTPOptions = o.HTTPOptions.withDefaults()
	if o.BaseURL == "" {
		o.BaseURL = DefaultOpenAIBaseURL
	}
	if o.API == "" {
		o.API = APIAuto
	}
	return o
}

// tokensField resolves MaxTokensByHost.
func (o OpenAIOptions) tokensField(base *url.URL, model string) MaxTokensField {
	switch {
	case o.MaxTokensField != MaxTokensByHost:
		return o.MaxTokensField
	case isOpenAI(base) || reasons(model):
		return MaxCompletionTokens
	}
	return MaxTokens
}

func isOpenAI(base *url.URL) bool { return strings.EqualFold(base.Hostname(), "api.openai.com") }

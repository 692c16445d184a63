package backends

// AnthropicName is the name of the Anthropic backend.
const AnthropicName = "anthropic"

// Defaults of the Anthropic backend.
const (
	DefaultAnthropicBaseURL = "https://api.anthropic.com"
	DefaultAnthropicVersion = "2023-06-01"
)

// AnthropicOptions configure the Anthropic backend. No option is read from the environment, but for the standard HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY.
type AnthropicOptions struct {
	HTTPOptions

	// APIKey is sent as x-api-key, AuthToken as bearer token: exactly one of them, for api.anthropic.com at least. A gateway on the way may
	// need none.
	APIKey    string
	AuthToken string
	// BaseURL is where v1/messages is found, version left out. Left out it is DefaultAnthropicBaseURL. It is https, except for loopback or with
	// AllowInsecure.
	BaseURL string
	// Version is sent as anthropic-version; left out it is DefaultAnthropicVersion.
	Version string
}

// Validate names every option that is wrong. It never repeats key or token.
func (o AnthropicOptions) Validate() error {
	errs := optionErrors{backend: AnthropicName}
	o = o.withDefaults()
	base := o.validateBase(&errs, "base_url", o.BaseURL, DefaultAnthropicBaseURL)
	switch {
	case o.APIKey != "" && o.AuthToken != "":
		errs.add("api_key", "and auth_token exclude each other; leave one of them out")
	case o.APIKey == "" && o.AuthToken == "" && base != nil && base.Hostname() == "api.anthropic.com":
		errs.add("api_key", "or auth_token is required for %s", base.Hostname())
	}
	validateSecret(&errs, "api_key", o.APIKey)
	validateSecret(&errs, "auth_token", o.AuthToken)
	if len(o.Version) > 32 {
		errs.add("version", "must be a date such as %s", DefaultAnthropicVersion)
	} else {
		validateSecret(&errs, "version", o.Version)
	}
	o.validate(&errs)
	return errs.join()
}

func (o AnthropicOptions) withDefaults() AnthropicOptions {
	o.HTTPOptions = o.HTTPOptions.withDefaults()
	if o.BaseURL == "" {
		o.BaseURL = DefaultAnthropicBaseURL
	}
	if o.Version == "" {
		o.Version = DefaultAnthropicVersion
	}
	return o
}

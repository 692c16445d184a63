package main

import (
	"cmp"
	"net/url"
	"strconv"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
)

// Addresses of the providers themselves.
const (
	anthropicAddress = "https://api.anthropic.com"
	openAIAddress    = "https://api.openai.com/v1"
)

func detectAnthropic(s configs.Settings, env configs.Lookup) found {
	a := s.Flowgate.Backends.Anthropic
	f := found{Address: cmp.Or(a.BaseURL, anthropicAddress), Region: a.Region, Menu: menu(a.Models, a.Names, ai.AnthropicPrefixes())}
	switch {
	case a.APIKey.IsSet():
		f.Source = source(env, "ANTHROPIC_API_KEY", "flowgate.backends.anthropic.api_key")
	case a.AuthToken.IsSet():
		f.Source = source(env, "ANTHROPIC_AUTH_TOKEN", "flowgate.backends.anthropic.auth_token")
	case a.BaseURL != "":
		f.Source = "none: " + source(env, "ANTHROPIC_BASE_URL", "flowgate.backends.anthropic.base_url") + " names a server"
	default:
		f.Missing = "it has no key; set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL for a server of your own"
	}
	return f
}

func detectOpenAI(s configs.Settings, env configs.Lookup) found {
	o := s.Flowgate.Backends.OpenAI
	prefixes := ai.OpenAIPrefixes()
	if o.BaseURL != "" {
		prefixes = nil // servers of one's own have ids of any form
	}
	f := found{Address: cmp.Or(o.BaseURL, openAIAddress), Region: o.Region, Menu: menu(o.Models, o.Names, prefixes)}
	switch {
	case o.APIKey.IsSet():
		f.Source = source(env, "OPENAI_API_KEY", "flowgate.backends.openai.api_key")
	case o.BaseURL != "":
		f.Source = "none: " + source(env, "OPENAI_BASE_URL", "flowgate.backends.openai.base_url") + " names a server"
	default:
		f.Missing = "it has no key; set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own"
	}
	return f
}

func detectBedrock(s configs.Settings, env configs.Lookup) found {
	b := s.Flowgate.Backends.Bedrock
	region := awsRegion(s, env)
	f := found{Region: region, Source: awsSource(s, env), Menu: menu(b.Models, b.Names, ai.BedrockPrefixes())}
	f.Menu.Profiles = true
	f.onlyPriced(s, b.ServiceTier)
	anyService, _ := env("AWS_ENDPOINT_URL")
	if f.Address = cmp.Or(s.AWS.Bedrock.Endpoint, anyService); f.Address == "" {
		f.Address = "https://bedrock-runtime." + cmp.Or(region, "<region>") + ".amazonaws.com"
	}
	if !bedrockNamed(s, env) {
		f.Missing = "nothing names it: set aws.bedrock.region or flowgate.backends.allowed (keys alone do not)"
	}
	return f
}

// onlyPriced leaves those models that have a price in a service tier: what a call in it costs that has none cannot be bounded.
func (f *found) onlyPriced(s configs.Settings, tier string) {
	u := messages.Usage{ServiceTier: tier}
	if (pricing.Row{}).Prices(u) { // it costs what the list says, or less
		return
	}
	prices, err := configs.PricesOf(s)
	if err != nil {
		return // whoever needs the prices says what is wrong with them
	}
	now := time.Now()
	priced := func(id string) bool {
		row, has := prices.Row(id, now)
		return has && (row.NoOutput || row.Prices(u)) // vectors are asked for without a tier
	}
	all := f.Menu
	f.Menu.Only, f.Menu.Names = map[string]bool{}, map[string]string{}
	for _, id := range prices.Models() {
		if there, serves := all.Find(id); serves && there == id && priced(id) {
			f.Menu.Only[id] = true
		}
	}
	for id, there := range all.Names {
		if priced(there) {
			f.Menu.Names[id] = there
		}
	}
	f.Limited = "to models that have a price in the service tier " + tier + " (multipliers." + tier + " of the price file)"
	if len(f.Menu.Only)+len(f.Menu.Names) == 0 {
		f.Menu, f.Barred = all, "no model has a price in the service tier "+tier+": add multipliers."+tier+" to the rows of flowgate.prices_file, or leave flowgate.backends.bedrock.service_tier out"
	} else if len(f.Menu.Only) == 0 {
		f.Menu.Only[noModel] = true
	}
}

// noModel is no id: a menu of it alone has none but its names.
const noModel = "-"

// bedrockNamed tells whether anything says that Bedrock is meant: keys of AWS, and a region that is AWS's in general, may lie about for
// other programs.
func bedrockNamed(s configs.Settings, env configs.Lookup) bool {
	b := s.AWS.Bedrock
	bearer, _ := env("AWS_BEARER_TOKEN_BEDROCK")
	return b.Region != "" || b.Endpoint != "" || b.Credentials.Profile != "" || b.Credentials.AccessKeyID.IsSet() || bearer != "" ||
		s.Flowgate.Backends.Names(configs.BedrockName)
}

// awsRegion is where Bedrock is by settings and environment; empty where only a profile may say.
func awsRegion(s configs.Settings, env configs.Lookup) string {
	first, _ := env("AWS_REGION")
	second, _ := env("AWS_DEFAULT_REGION")
	return cmp.Or(s.AWS.Bedrock.Region, first, second, s.AWS.Region)
}

// awsSource names where the credentials of AWS will be found, in the order in which they are looked for; the health check tells where they were.
func awsSource(s configs.Settings, env configs.Lookup) string {
	has := func(names ...string) string {
		for _, name := range names {
			if value, _ := env(name); value != "" {
				return name
			}
		}
		return ""
	}
	given := s.AWS.Bedrock.Credentials
	switch {
	case has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE") != "":
		return "a role of this machine"
	case has("AWS_BEARER_TOKEN_BEDROCK") != "":
		return "environment (AWS_BEARER_TOKEN_BEDROCK)"
	case has("AWS_ACCESS_KEY_ID") != "":
		return "environment (AWS_ACCESS_KEY_ID)"
	case has("AWS_PROFILE") != "" || given.Profile != "":
		profile, _ := env("AWS_PROFILE")
		return "AWS profile " + strconv.Quote(cmp.Or(profile, given.Profile))
	case given.AccessKeyID.IsSet():
		return "settings (aws.bedrock.credentials.access_key_id)"
	}
	return "a role of this machine, or the shared files of AWS"
}

func detectMLflow(s configs.Settings, env configs.Lookup) found {
	m := s.Flowgate.Backends.MLflow
	access := mlflowAccess(s, env)
	f := found{Region: m.Region, Source: cmp.Or(access.Source, "none"), Menu: menu(m.Models, m.Names, nil)}
	insecure := false
	if u, err := url.Parse(access.URL); err == nil && u.Host != "" {
		if access.Source == "" && u.User != nil {
			f.Source = source(env, "MLFLOW_TRACKING_URI", "integrations.mlflow.tracking_uri")
		}
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		f.Address = u.String()
		insecure = u.Scheme == "http" && !configs.Loopback(u.Hostname()) && !m.AllowInsecure
	}
	switch {
	case !mlflowNamed(s):
		f.Barred = "integrations.mlflow.enabled is false, and flowgate.backends.allowed does not name it"
	case f.Address == "":
		f.Missing = "it has no address; set MLFLOW_TRACKING_URI"
	case insecure:
		f.Barred = "http, and not this machine: flowgate.backends.mlflow.allow_insecure permits it"
	}
	return f
}

// mlflowNamed tells whether MLflow is meant as a backend: an MLFLOW_TRACKING_URI may lie about for other programs.
func mlflowNamed(s configs.Settings) bool {
	return s.Integrations.MLflow.Enabled || s.Flowgate.Backends.Names(configs.MLflowName)
}

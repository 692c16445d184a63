package main

import (
	"time"

	"flowgate/configs"
	"flowgate/worker/backends"
	"flowgate/worker/breaker"
	"flowgate/worker/sessions"
)

// httpOptions are those of every backend that has a transport of its own.
func httpOptions(s configs.Settings, timeout time.Duration, insecure bool) backends.HTTPOptions {
	p := s.Performance
	o := backends.HTTPOptions{
		Timeout: timeout, AllowInsecure: insecure, MaxConnections: p.ConnectionPool.MaxConnections,
		NewConnections: !p.ConnectionPool.Enabled || !p.Request.KeepAlive, Uncompressed: !p.Request.Compression,
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = s.Flowgate.Concurrency.AI
	}
	return o
}

// breakerOptions are those of the breakers of all backends out of settings.
func breakerOptions(s configs.Settings) breaker.Options {
	b, o := s.Flowgate.Backends.Breaker, breaker.DefaultOptions()
	o.Failures, o.Open, o.MaxOpen, o.QuotaHold, o.AuthHold = uint32(b.Failures), b.Open, b.MaxOpen, b.QuotaHold, b.AuthHold //nolint:gosec // it is from 1 to 1000
	return o
}

// anthropicOptions are those of the Anthropic backend out of settings.
func anthropicOptions(s configs.Settings) backends.AnthropicOptions {
	a := s.Flowgate.Backends.Anthropic
	return backends.AnthropicOptions{
		HTTPOptions: httpOptions(s, a.Timeout, a.AllowInsecure),
		APIKey:      a.APIKey.Reveal(), AuthToken: a.AuthToken.Reveal(), BaseURL: a.BaseURL,
	}
}

// openAIOptions are those of the OpenAI backend out of settings.
func openAIOptions(s configs.Settings) backends.OpenAIOptions {
	o := s.Flowgate.Backends.OpenAI
	return backends.OpenAIOptions{
		HTTPOptions: httpOptions(s, o.Timeout, o.AllowInsecure),
		APIKey:      o.APIKey.Reveal(), BaseURL: o.BaseURL, API: backends.OpenAIAPI(o.API), MaxTokensField: backends.MaxTokensField(o.MaxTokensField),
	}
}

// bedrockOptions are those of the Bedrock backend out of settings; aws has the client.
func bedrockOptions(s configs.Settings, aws *sessions.Sessions) backends.BedrockOptions {
	b := s.Flowgate.Backends.Bedrock
	return backends.BedrockOptions{
		Session: aws.Bedrock, GuardrailID: b.Guardrail, GuardrailVersion: b.GuardrailVersion, ServiceTier: b.ServiceTier, Timeout: b.Timeout,
	}
}

// mlflowOptions are those of the MLflow backend out of settings and environment.
func mlflowOptions(s configs.Settings, env configs.Lookup) backends.MLflowOptions {
	m, access := s.Flowgate.Backends.MLflow, mlflowAccess(s, env)
	o := backends.MLflowOptions{HTTPOptions: httpOptions(s, m.Timeout, m.AllowInsecure), TrackingURI: access.URL, Token: access.Bearer, Route: mlflowRoute(m.Path)}
	if o.Token == "" {
		o.Username, o.Password = access.User, access.Password
	}
	return o
}

// mlflowRoute is the setting's word in the backend's.
func mlflowRoute(path string) backends.MLflowRoute {
	switch path {
	case configs.MLflowUnified:
		return backends.RouteChat
	case configs.MLflowEndpoint:
		return backends.RouteInvocations
	case configs.MLflowLegacy:
		return backends.RouteLegacy
	}
	return backends.RouteAuto
}

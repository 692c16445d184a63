package main

import (
	"fmt"
	"strings"
	"testing"

	"flowgate/configs"
)

// proof shows that a key is obeyed: what the product makes of settings differs between two files that differ in that key.
type proof struct {
	key string
	// base is the file, changed the same with another value of the key.
	base, changed string
	// see tells what the product's own wiring makes of settings.
	see func(t *testing.T, s configs.Settings) any
}

// nested is a value at a key's path, as a file has it.
func nested(key, value string) string {
	parts := strings.Split(key, ".")
	return strings.Join(parts, ": {") + ": " + value + strings.Repeat("}", len(parts)-1) + "\n"
}

// plain is the proof of a key whose default is one of the values.
func plain(key, value string, see func(*testing.T, configs.Settings) any) proof {
	return proof{key: key, changed: nested(key, value), see: see}
}

// beside is the proof of a key that needs another one to have any; more is a whole file in one line a section.
func beside(key, base, changed string, see func(*testing.T, configs.Settings) any) proof {
	return proof{key: key, base: base, changed: changed, see: see}
}

// mlflowed are settings with an MLflow.
const mlflowed = "integrations: {mlflow: {enabled: true, tracking_uri: 'https://a.example'}}\n"

func proofs() []proof {
	all := []proof{
		beside("flowgate.environment", "environments: {staging: {flowgate: {hold: 9m}}}", "flowgate: {environment: staging}\nenvironments: {staging: {flowgate: {hold: 9m}}}", seeChores),
		plain("flowgate.state_dir", "/srv/flowgate", seeFolder),
		beside("flowgate.listen", "flowgate: {listen: '127.0.0.1:0'}", "flowgate: {listen: ''}", seeListener),
		plain("flowgate.http", "'127.0.0.1:9'", seeHTTP),
		plain("flowgate.http_allow_remote", "true", seeRemote),
		plain("flowgate.nats_url", "nats://n:4222", seeAccess),
		plain("flowgate.nats.user", "u", seeAccess),
		beside("flowgate.nats.password", "flowgate: {nats: {user: u}}", "flowgate: {nats: {user: u, password: p}}", seeAccess),
		plain("flowgate.nats.credentials_file", "/nowhere/creds", seeAccess),
		plain("flowgate.nats.server_config", "/nowhere/nats.conf", seeDoors),
		plain("flowgate.nats.nkey_file", "/nowhere/nkey", seeAccess),
		plain("flowgate.nats.ca_file", "/nowhere/ca.pem", seeAccess),
		beside("flowgate.nats.cert_file", "flowgate: {nats: {cert_file: /a, key_file: KEY}}", "flowgate: {nats: {cert_file: /b, key_file: KEY}}", seeAccess),
		beside("flowgate.nats.key_file", "flowgate: {nats: {cert_file: /a, key_file: KEY}}", "flowgate: {nats: {cert_file: /a, key_file: /nowhere/key}}", seeAccess),
		plain("flowgate.nats.connect_wait", "1s", seeAccess),
		plain("flowgate.replicas", "3", seeTopology),
		plain("flowgate.ack_wait", "7s", seeTopology),
		plain("flowgate.database_url", "postgres://other/db", seeDatabase),
		plain("flowgate.database_schema", "other", seeDatabase),
		plain("flowgate.sync", "interval", seeDurable),
		plain("flowgate.hold", "5m", seeChores),
		plain("flowgate.grace", "7s", seeRuntime),
		plain("flowgate.timezone", "Pacific/Kiritimati", seeDecision),
		plain("flowgate.micro_batch", "7", seeQueues),
		plain("flowgate.concurrency.ai", "7", seeQueues),
		plain("flowgate.billable_attempts", "1", seeDecision),
		plain("flowgate.transient_attempts", "5", seeRetries),
		plain("flowgate.marks.recorder_lag", "7s", seeMarks),
		plain("flowgate.marks.disk_free_mb", "7", seeMarks),
		plain("flowgate.marks.stream_percent", "7", seeMarks),
		plain("flowgate.marks.backlog", "7", seeMarks),
		plain("flowgate.marks.next_layer", "7", seeMarks),
		plain("flowgate.agreements_file", "/nowhere/agreements.yaml", seeRules),
		plain("flowgate.prices_file", "/nowhere/prices.json", seeRules),
		plain("flowgate.actions_folder", "/nowhere/actions", seeRules),
		plain("flowgate.controls_file", "/nowhere/controls.yaml", seeRules),
		plain("flowgate.compliance_level", "sox", seeDecision),
		plain("flowgate.admission.min_audit_reason", "100", seeDecision),
		plain("flowgate.admission.allow_unknown_user", "false", seeDecision),
		plain("flowgate.admission.allow_unknown_department", "false", seeDecision),
		plain("flowgate.admission.match_texts", "true", seeMatching),
		plain("flowgate.admission.allowed_models", "[some-other]", seeDecision),
		plain("flowgate.privacy.request.contact", "pass", seePrivacy),
		plain("flowgate.privacy.answer.payment", "pass", seePrivacy),
		plain("flowgate.privacy.restore", "[payment]", seePrivacy),
		plain("flowgate.privacy.purposes.support.request.payment", "deny", seePrivacy),
		plain("flowgate.privacy.purposes.support.answer.payment", "deny", seePrivacy),
		plain("flowgate.privacy.regions.eu-*.contact", "pass", seePrivacy),
		plain("security.data.mask_sensitive_data", "false", seePrivacy),
		beside("flowgate.backends.openai.region", "flowgate: {backends: {openai: {api_key: k}}}", "flowgate: {backends: {openai: {api_key: k, region: eu-west-1}}}", seeBackends),
		plain("flowgate.backends.allowed", "[openai]", seeBackends),
		plain("flowgate.backends.order", "[openai]", seeBackends),
		plain("flowgate.backends.offline.latency", "1h", seeBackends),
		beside("flowgate.backends.offline.allow_in_production", "flowgate: {environment: production}", "flowgate: {environment: production, backends: {offline: {allow_in_production: true}}}", seeBackends),
		plain("flowgate.backends.openai.base_url", "https://server.example/v1", seeBackends),
		beside("flowgate.backends.openai.models", "flowgate: {backends: {openai: {api_key: k}}}", "flowgate: {backends: {openai: {api_key: k, models: [m]}}}", seeBackends),
		beside("flowgate.backends.openai.allow_insecure", "flowgate: {backends: {openai: {api_key: k}}}", "flowgate: {backends: {openai: {api_key: k, allow_insecure: true}}}", seeInsecure),
		plain("flowgate.backends.openai.api_key", "k", seeCall),
		plain("flowgate.backends.openai.max_tokens_field", "max_completion_tokens", seeCall),
		plain("flowgate.backends.openai.timeout", "1s", seeSlowCall),
		plain("flowgate.backends.openai.api", "chat", seeOptions),
		plain("flowgate.backends.breaker.failures", "7", seeOptions),
		plain("flowgate.backends.breaker.open", "7s", seeOptions),
		plain("flowgate.backends.breaker.max_open", "7m", seeOptions),
		plain("flowgate.backends.breaker.quota_hold", "7m", seeOptions),
		plain("flowgate.backends.breaker.auth_hold", "7m", seeOptions),
		beside("flowgate.backends.openai.names.m", "flowgate: {backends: {openai: {api_key: k}}}", "flowgate: {backends: {openai: {api_key: k, names: {m: n}}}}", seeBackends),
		plain("flowgate.backends.anthropic.base_url", "https://server.example", seeBackends),
		plain("flowgate.backends.anthropic.api_key", "k", seeBackends),
		plain("flowgate.backends.anthropic.auth_token", "k", seeBackends),
		plain("flowgate.backends.anthropic.timeout", "1s", seeOptions),
		beside("flowgate.backends.anthropic.region", "flowgate: {backends: {anthropic: {api_key: k}}}", "flowgate: {backends: {anthropic: {api_key: k, region: us}}}", seeBackends),
		beside("flowgate.backends.anthropic.models", "flowgate: {backends: {anthropic: {api_key: k}}}", "flowgate: {backends: {anthropic: {api_key: k, models: [m]}}}", seeBackends),
		beside("flowgate.backends.anthropic.names.m", "flowgate: {backends: {anthropic: {api_key: k}}}", "flowgate: {backends: {anthropic: {api_key: k, names: {m: n}}}}", seeBackends),
		beside("flowgate.backends.anthropic.allow_insecure", "flowgate: {backends: {anthropic: {api_key: k}}}", "flowgate: {backends: {anthropic: {api_key: k, allow_insecure: true}}}", seeInsecure),
		plain("flowgate.backends.bedrock.timeout", "1s", seeOptions),
		beside("flowgate.backends.bedrock.guardrail", "flowgate: {backends: {bedrock: {guardrail: a, guardrail_version: 1}}}", "flowgate: {backends: {bedrock: {guardrail: b, guardrail_version: 1}}}", seeOptions),
		beside("flowgate.backends.bedrock.guardrail_version", "flowgate: {backends: {bedrock: {guardrail: a, guardrail_version: 1}}}", "flowgate: {backends: {bedrock: {guardrail: a, guardrail_version: DRAFT}}}", seeOptions),
		plain("flowgate.backends.bedrock.service_tier", "flex", seeOptions),
		beside("flowgate.backends.bedrock.models", "aws: {bedrock: {region: x}}", "aws: {bedrock: {region: x}}\nflowgate: {backends: {bedrock: {models: [m]}}}", seeBackends),
		beside("flowgate.backends.bedrock.names.m", "aws: {bedrock: {region: x}}", "aws: {bedrock: {region: x}}\nflowgate: {backends: {bedrock: {names: {m: n}}}}", seeBackends),
		plain("flowgate.backends.mlflow.path", "legacy", seeOptions),
		plain("flowgate.backends.mlflow.timeout", "1s", seeOptions),
		beside("flowgate.backends.mlflow.region", mlflowed, mlflowed+"flowgate: {backends: {mlflow: {region: us}}}", seeBackends),
		beside("flowgate.backends.mlflow.models", mlflowed, mlflowed+"flowgate: {backends: {mlflow: {models: [m]}}}", seeBackends),
		beside("flowgate.backends.mlflow.names.m", mlflowed, mlflowed+"flowgate: {backends: {mlflow: {names: {m: n}}}}", seeBackends),
		beside("flowgate.backends.mlflow.allow_insecure", "integrations: {mlflow: {enabled: true, tracking_uri: 'http://a.example'}}", "integrations: {mlflow: {enabled: true, tracking_uri: 'http://a.example'}}\nflowgate: {backends: {mlflow: {allow_insecure: true}}}", seeBackends),
		plain("flowgate.probes.interval", "7s", seeMonitor),
		plain("flowgate.probes.timeout", "2s", seeMonitor),
		plain("flowgate.probes.slow", "2s", seeMonitor),
		plain("flowgate.telemetry.otlp_endpoint", "'http://127.0.0.1:9'", seeTraces),
		plain("aws.region", "eu-west-1", seeAWS),
		plain("aws.bedrock.region", "eu-west-1", seeAWS),
		plain("aws.bedrock.endpoint", "https://bedrock.example", seeAWS),
		plain("aws.bedrock.default_model", "claude-3-haiku", seeDecision),
		plain("aws.bedrock.credentials.profile", "work", seeAWS),
		beside("aws.bedrock.credentials.access_key_id", "aws: {bedrock: {credentials: {access_key_id: a, secret_access_key: s}}}", "aws: {bedrock: {credentials: {access_key_id: b, secret_access_key: s}}}", seeAWS),
		beside("aws.bedrock.credentials.secret_access_key", "aws: {bedrock: {credentials: {access_key_id: a, secret_access_key: s}}}", "aws: {bedrock: {credentials: {access_key_id: a, secret_access_key: r}}}", seeAWS),
		beside("aws.bedrock.credentials.session_token", "aws: {bedrock: {credentials: {access_key_id: a, secret_access_key: s}}}", "aws: {bedrock: {credentials: {access_key_id: a, secret_access_key: s, session_token: t}}}", seeAWS),
		beside("aws.bedrock.model_mapping.claude-3-sonnet", "aws: {bedrock: {default_model: claude-3-sonnet, model_mapping: {claude-3-sonnet: anthropic.claude-3-sonnet-20240229-v1:0}}}", "aws: {bedrock: {default_model: claude-3-sonnet, model_mapping: {claude-3-sonnet: anthropic.claude-3-haiku-20240307-v1:0}}}", seeDecision),
		beside("aws.bedrock.models.claude.anthropic.claude-3-sonnet-20240229-v1:0.max_tokens", "", "aws: {bedrock: {models: {claude: {'anthropic.claude-3-sonnet-20240229-v1:0': {max_tokens: 4096}}}}}", seeDecision),
		beside("aws.bedrock.models.claude.anthropic.claude-3-sonnet-20240229-v1:0.temperature", "", "aws: {bedrock: {models: {claude: {'anthropic.claude-3-sonnet-20240229-v1:0': {temperature: 0}}}}}", seeDecision),
		beside("aws.bedrock.models.claude.anthropic.claude-3-sonnet-20240229-v1:0.top_p", "", "aws: {bedrock: {models: {claude: {'anthropic.claude-3-sonnet-20240229-v1:0': {top_p: 0.5}}}}}", seeDecision),
		beside("aws.bedrock.models.claude.anthropic.claude-3-sonnet-20240229-v1:0.top_k", "", "aws: {bedrock: {models: {claude: {'anthropic.claude-3-sonnet-20240229-v1:0': {top_k: 5}}}}}", seeDecision),
		beside("aws.bedrock.models.claude.anthropic.claude-3-sonnet-20240229-v1:0.stop_sequences", "", "aws: {bedrock: {models: {claude: {'anthropic.claude-3-sonnet-20240229-v1:0': {stop_sequences: [END]}}}}}", seeDecision),
		plain("cost_optimization.strategy.fallback_on_error", "false", seeProcessing),
		plain("retry.default.max_retries", "5", seeRetries),
		plain("retry.default.base_delay", "2", seeRetries),
		plain("retry.default.max_delay", "2", seeRetries),
		plain("retry.default.backoff_factor", "3", seeRetries),
		plain("retry.models.claude.max_retries", "5", seeRetries),
		plain("retry.models.claude.base_delay", "2", seeRetries),
		plain("retry.models.claude.max_delay", "2", seeRetries),
		plain("retry.models.claude.backoff_factor", "3", seeRetries),
		beside("cost_optimization.enabled", "cost_optimization: {limits: {request_limit: 0.000001}}", "cost_optimization: {enabled: false, limits: {request_limit: 0.000001}}", seeDecision),
		plain("cost_optimization.limits.request_limit", "0.000001", seeDecision),
		plain("cost_optimization.limits.daily_limit", "7", seeDecision),
		plain("cost_optimization.limits.monthly_limit", "7", seeDecision),
		plain("cost_optimization.limits.alert_threshold", "50", seeAlerts),
		beside("cost_optimization.unknown_models", "aws: {bedrock: {default_model: some-model}}", "aws: {bedrock: {default_model: some-model}}\ncost_optimization: {unknown_models: dearest}", seeDecision),
		beside("security.access.rate_limit.enabled", "security: {access: {rate_limit: {requests_per_minute: 7}}}", "security: {access: {rate_limit: {enabled: true, requests_per_minute: 7}}}", seeDecision),
		beside("security.access.rate_limit.requests_per_minute", "security: {access: {rate_limit: {enabled: true, requests_per_minute: 7}}}", "security: {access: {rate_limit: {enabled: true, requests_per_minute: 8}}}", seeDecision),
		beside("security.access.rate_limit.requests_per_hour", "security: {access: {rate_limit: {enabled: true, requests_per_hour: 7}}}", "security: {access: {rate_limit: {enabled: true, requests_per_hour: 8}}}", seeDecision),
		plain("cost_optimization.strategy.use_caching", "false", seeCache),
		plain("cache.enabled", "false", seeCache),
		plain("cache.default.enabled", "false", seeCache),
		plain("cache.default.cache_dir", "/srv/cache", seeCache),
		plain("cache.default.expiration_hours", "7", seeCache),
		plain("cache.default.compression", "false", seeCache),
		plain("cache.default.max_cache_size_mb", "7", seeCache),
		plain("cache.models.claude.enabled", "false", seeCache),
		plain("cache.models.claude.expiration_hours", "7", seeCache),
		plain("cache.models.claude.compression", "false", seeCache),
		plain("cache.models.claude.max_cache_size_mb", "7", seeCache),
		plain("cache.sampled", "false", seeCache),
		plain("cache.memory_mb", "7", seeCache),
		plain("cache.shared.enabled", "false", seeCache),
		plain("cache.shared.max_size_mb", "7", seeTopology),
		plain("cache.encryption_key", "0123456789abcdef", seeCache),
		plain("security.data.encrypt_cache", "true", seeCache),
		plain("security.data.cache_retention_days", "1", seeCache),
		plain("postgres.host", "db", seeDatabase),
		beside("postgres.max_retries", "", "postgres: {max_retries: 9}", seeDatabase),
		plain("postgres.retry_delay", "9", seeDatabase),
		plain("postgres.connection_pool_size", "9", seeDatabase),
		plain("s3.bucket", "pages", seeAWS),
		plain("s3.region", "eu-west-1", seeAWS),
		plain("s3.prefix", "pages/", seeAWS),
		plain("s3.endpoint", "https://s3.example", seeAWS),
		plain("s3.connection_timeout", "7", seeAWS),
		plain("s3.max_retries", "7", seeAWS),
		plain("batch.default.batch_size", "5", seeBatch),
		plain("batch.default.max_workers", "5", seeBatch),
		plain("batch.default.timeout_seconds", "5", seeBatch),
		plain("batch.models.claude.batch_size", "5", seeBatch),
		plain("batch.models.claude.max_workers", "5", seeBatch),
		plain("batch.models.claude.timeout_seconds", "5", seeBatch),
		plain("logging.level", "ERROR", seeLog),
		plain("logging.console.enabled", "false", seeLog),
		plain("logging.file.enabled", "true", seeLog),
		beside("logging.file.path", "logging: {file: {enabled: true}}", "logging: {file: {enabled: true, path: other.log}}", seeLog),
		beside("logging.file.max_size_mb", "logging: {file: {enabled: true}}", "logging: {file: {enabled: true, max_size_mb: 1}}", seeRotation),
		beside("logging.file.backup_count", "logging: {file: {enabled: true, max_size_mb: 1}}", "logging: {file: {enabled: true, max_size_mb: 1, backup_count: 1}}", seeRotation),
		plain("performance.connection_pool.enabled", "false", seeCall),
		plain("performance.connection_pool.max_connections", "3", seeQueues),
		plain("performance.request.compression", "false", seeCall),
		plain("performance.request.timeout_seconds", "1", seeSlowCall),
		plain("performance.request.keep_alive", "false", seeCall),
		plain("performance.memory.max_usage_mb", "512", seeMemory),
		plain("performance.memory.gc_frequency", "100", seeMemory),
		beside("development.dev_mode.use_mocks", "flowgate: {backends: {openai: {api_key: k}}}", "flowgate: {backends: {openai: {api_key: k}}}\ndevelopment: {dev_mode: {use_mocks: true}}", seeBackends),
		beside("development.dev_mode.mock_delay", "development: {dev_mode: {use_mocks: true}}", "development: {dev_mode: {use_mocks: true, mock_delay: 3600}}", seeBackends),
		beside("integrations.mlflow.enabled", "integrations: {mlflow: {tracking_uri: 'https://mlflow.example'}}", "integrations: {mlflow: {enabled: true, tracking_uri: 'https://mlflow.example'}}", seeServices),
		beside("integrations.mlflow.tracking_uri", "integrations: {mlflow: {enabled: true, tracking_uri: 'https://a.example'}}", "integrations: {mlflow: {enabled: true, tracking_uri: 'https://b.example'}}", seeMLflow),
		beside("integrations.prometheus.enabled", "integrations: {prometheus: {port: 8000}}", "integrations: {prometheus: {enabled: true, port: 8000}}", seeAddress),
		beside("integrations.prometheus.port", "integrations: {prometheus: {enabled: true}}", "integrations: {prometheus: {enabled: true, port: 8000}}", seeAddress),
	}
	for key, value := range map[string]string{"port": "5433", "db_name": "other", "db_user": "u", "db_password": "p", "ssl_mode": "verify-full"} {
		all = append(all, beside("postgres."+key, "postgres: {host: db}", fmt.Sprintf("postgres: {host: db, %s: %s}", key, value), seeDatabase))
	}
	return all
}

func TestEveryUsedKeyHasAnEffect(t *testing.T) {
	clean(t)
	secret := written(t, "x", 0o600)
	load := func(t *testing.T, text string) configs.Loaded {
		t.Helper()
		loaded, err := configs.Read(written(t, strings.ReplaceAll(text, "KEY", secret), 0o600), nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return loaded
	}
	rows := proofs()
	for _, e := range rows {
		t.Run(e.key, func(t *testing.T) {
			before, after := load(t, e.base), load(t, e.changed)
			found := false
			for _, d := range after.Diff(before) {
				found = found || d.Key == e.key
			}
			if !found {
				t.Fatalf("the files do not differ in the key: %+v", after.Diff(before))
			}
			a, b := fmt.Sprintf("%+v", e.see(t, before.Settings)), fmt.Sprintf("%+v", e.see(t, after.Settings))
			if again := fmt.Sprintf("%+v", e.see(t, before.Settings)); again != a {
				t.Fatalf("it changes by itself:\n%s\n%s", a, again)
			}
			if a == b {
				t.Errorf("nothing changes: %s", a)
			}
		})
	}
	for _, k := range configs.Keys() {
		has := false
		for _, e := range rows {
			has = has || k.Matches(e.key)
		}
		if has != (k.Fate == configs.Used) {
			t.Errorf("%s is %s; a row of proofs: %v. A used key needs one here; a key without effect a tag that says why", k.Pattern, k.Fate, has)
		}
	}
}

package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// userFile is a file of the user's, or skips the test.
func userFile(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("FLOWGATE_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	path := filepath.Join(root, "user", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the user's files are not here (%v): set FLOWGATE_DATA to the folder that has user/%s", err, name)
	}
	return path
}

// environment is a Lookup over fixed variables.
func environment(pairs ...string) Lookup {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func mustLoad(t *testing.T, text string, env Lookup) (Settings, []Warning) {
	t.Helper()
	s, w, err := load("settings.yaml", []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	return s, w
}

// lines are the separate faults of an error.
func faultsOf(err error) []string {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []string{fmt.Sprint(err)}
	}
	var texts []string
	for _, e := range joined.Unwrap() {
		texts = append(texts, e.Error())
	}
	return texts
}

func TestWithoutAFileTheDefaultsHold(t *testing.T) {
	s, w, err := Load("", nil)
	if err != nil || len(w) != 0 || !reflect.DeepEqual(s, Default()) {
		t.Errorf("%+v %v %v", s, w, err)
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	l := s.CostOptimization.Limits
	if l.RequestLimit.MicroUSD() != 1e6 || l.DailyLimit.MicroUSD() != 100e6 || l.MonthlyLimit.MicroUSD() != 3000e6 {
		t.Errorf("limits %v", l)
	}
}

func TestSampleHoldsTheDefaultsOfEveryKeyThatHasAnEffect(t *testing.T) {
	s := Default()
	d, err := decodeYAML("settings.yaml", SampleSettings, environment(), &s)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, Default()) {
		t.Errorf("the sample says %+v\nthe defaults are %+v", s, Default())
	}
	if len(d.warnings) != 0 {
		t.Errorf("the sample has keys without effect: %v", d.warnings)
	}
	for _, e := range Default().Explain() {
		inherits := strings.HasPrefix(e.Key, "cache.models.") && e.Value == ""
		if _, ok := d.lines[e.Key]; !ok && !inherits {
			t.Errorf("the sample lacks %s", e.Key)
		}
	}
}

func TestUsersSettingsLoadAsTheyAre(t *testing.T) {
	s, warnings, err := Load(userFile(t, "settings.yaml"), environment())
	if err != nil {
		t.Fatal(err)
	}
	if s.AWS.Bedrock.Model("") != "anthropic.claude-3-sonnet-20240229-v1:0" || s.AWS.Bedrock.Model("claude-3-opus") != "anthropic.claude-3-opus-20240229-v1:0" {
		t.Errorf("models %+v", s.AWS.Bedrock)
	}
	if l := s.CostOptimization.Limits; l.DailyLimit.MicroUSD() != 10e6 || l.MonthlyLimit.MicroUSD() != 100e6 || l.RequestLimit.MicroUSD() != 1e6 {
		t.Errorf("limits %v", l)
	}
	want := RetryPolicy{MaxRetries: 2, BaseDelay: 500 * time.Millisecond, MaxDelay: 15 * time.Second, BackoffFactor: 1.5}
	if got := s.Retry.Families()["titan"]; got != want {
		t.Errorf("titan %+v", got)
	}
	if s.Postgres.Host != "db.example.internal" || s.Postgres.RetryDelay != time.Second || s.Postgres.DBPassword.IsSet() {
		t.Errorf("postgres: %+v", s.Postgres)
	}
	if !slices.Equal(s.Environments, []string{"development", "production", "testing"}) || s.Logging.Level != "DEBUG" || s.Cache.Enabled || s.AWS.KMSKeyID != "" {
		t.Errorf("the environment development is not laid over it: %+v", s)
	}
	if url := s.DatabaseURL().Reveal(); url != "postgres://gateway_user@db.example.internal:5432/gatewaydb?sslmode=require" {
		t.Errorf("database %s", url)
	}
	found := map[string]Warning{}
	for _, w := range warnings {
		found[w.Key] = w
		if w.Line == 0 {
			t.Errorf("no line: %v", w)
		}
	}
	for _, key := range []string{
		"postgres.db_password", "validation", "metrics.enabled", "metrics.collection", "metrics.export",
		"cost_optimization.strategy.prefer_cheaper", "security.access.require_auth", "performance.connection_pool.max_retries",
		"development.dev_mode.enabled", "integrations.wandb",
	} {
		if _, ok := found[key]; !ok {
			t.Errorf("no warning about %s", key)
		}
	}
	if w := found["postgres.db_password"]; !strings.Contains(w.Text, "POSTGRES_PASSWORD") || w.Line != 7 {
		t.Errorf("%+v", w)
	}
}

func TestEnvironmentWinsOverTheFileAndTheFileOverDefaults(t *testing.T) {
	const file = "flowgate:\n  state_dir: /from/file\n  nats_url: nats://file:4222\n  ack_wait: 2s\n  backends: {openai: {api_key: '${KEY:-none}', base_url: 'https://file/v1'}}\n"
	s, _ := mustLoad(t, file, environment())
	f := s.Flowgate
	if f.StateDir != "/from/file" || f.NATSURL.Reveal() != "nats://file:4222" || f.AckWait != 2*time.Second || f.Backends.OpenAI.APIKey.Reveal() != "none" {
		t.Errorf("file over defaults: %+v", f)
	}
	if f.Hold != 10*time.Minute || f.Backends.OpenAI.Timeout != 10*time.Minute || len(f.Backends.Order) != 5 {
		t.Errorf("what the file leaves out: %+v", f)
	}
	s, _ = mustLoad(t, file, environment(
		"FLOWGATE_STATE", "/env", "NATS_URL", "nats://env:4222", "DATABASE_URL", "postgres://env/db", "OPENAI_BASE_URL", "https://env/v1", "OPENAI_API_KEY", "sk-env",
	))
	f = s.Flowgate
	if f.StateDir != "/env" || f.NATSURL.Reveal() != "nats://env:4222" || f.DatabaseURL.Reveal() != "postgres://env/db" || f.Backends.OpenAI.BaseURL != "https://env/v1" || f.Backends.OpenAI.APIKey.Reveal() != "sk-env" {
		t.Errorf("environment over file: %+v", f)
	}
	if s, _ = mustLoad(t, file, environment("FLOWGATE_STATE", "")); s.Flowgate.StateDir != "/from/file" {
		t.Error("an empty variable won")
	}
}

func TestFaultsNameFileLineAndKeyAllAtOnce(t *testing.T) {
	const file = `flowgate:
  lissten: 127.0.0.1:4222
  ack_wait: 30
  micro_batch: many
  admission: [10]
  sync:
    - always
  sync: interval
retry:
  default: {max_delay: soon, quite_another_thing: 1}
logging: {levl: INFO}
cost_optimization:
  limits: {daily_limit: 0, request_limit: 1.0000001}
nothing: 1
aws: {bedrock: {default_model: '${MODEL}'}}
`
	_, _, err := load("my.yaml", []byte(file), environment())
	want := []string{
		"my.yaml:2: flowgate.lissten: is not a known key; did you mean listen?",
		"my.yaml:3: flowgate.ack_wait: must be a time with its unit, such as 500ms, 30s or 10m",
		"my.yaml:4: flowgate.micro_batch: must be a whole number",
		"my.yaml:5: flowgate.admission: must be keys with values, is a list",
		"my.yaml:6: flowgate.sync: must be a single value, is a list",
		"my.yaml:8: flowgate.sync: is there twice",
		"my.yaml:10: retry.default.max_delay: must be a number of seconds",
		"my.yaml:10: retry.default.quite_another_thing: is not a known key",
		"my.yaml:11: logging.levl: is not a known key; did you mean level?",
		"my.yaml:13: cost_optimization.limits.daily_limit: must be above 0; write none for no limit",
		"my.yaml:13: cost_optimization.limits.request_limit: must be dollars, such as 10 or 0.25, with at most six decimals, or none",
		"my.yaml:14: nothing: is not a known key",
		"my.yaml:15: aws.bedrock.default_model: the environment variable MODEL is not set; set it, or write ${MODEL:-default}",
	}
	got := faultsOf(err)
	for _, w := range want {
		if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+w+"\n") {
			t.Errorf("missing: %s", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d faults, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	var fault *Fault
	if !errors.As(err, &fault) || fault.File != "my.yaml" || fault.Line == 0 {
		t.Errorf("%+v", fault)
	}
}

func TestValuesAreCheckedAllAtOnceWithTheirLines(t *testing.T) {
	const file = `flowgate:
  environment: prodution

  listen: here
  database_url: mysql://root:hunter2@x/y
  nats_url: http://root:hunter2@x
  sync: never
  ack_wait: 1ms
  hold: 0s
  timezone: Mars
  micro_batch: 0
  billable_attempts: 11
  transient_attempts: -1
  concurrency: {ai: 0}
  marks: {recorder_lag: 1ms, disk_free_mb: -1, stream_percent: 101, backlog: 0, next_layer: 0}
  admission: {min_audit_reason: 0, allowed_models: [a, a, ""]}
  backends:
    allowed: [openia]
    order: []
    offline: {latency: -1s}
    openai: {base_url: "http://example.com/v1", timeout: 0s, models: [" x"], max_tokens_field: maximum}
aws: {bedrock: {default_model: "", model_mapping: {a: b, b: c, d: ""}}}
retry:
  default: {base_delay: 0, backoff_factor: 0.5}
  models: {claude: {max_retries: 0}}
cost_optimization: {unknown_models: guess}
`
	_, _, err := load("my.yaml", []byte(file), environment("FLOWGATE_STATE", ""))
	text := strings.Join(faultsOf(err), "\n")
	for line, key := range map[int]string{
		2: "flowgate.environment", 4: "flowgate.listen", 5: "flowgate.database_url", 6: "flowgate.nats_url", 7: "flowgate.sync",
		8: "flowgate.ack_wait", 9: "flowgate.hold", 10: "flowgate.timezone", 11: "flowgate.micro_batch", 12: "flowgate.billable_attempts",
		13: "flowgate.transient_attempts", 14: "flowgate.concurrency.ai", 15: "flowgate.marks.recorder_lag",
		16: "flowgate.admission.allowed_models", 18: "flowgate.backends.allowed", 19: "flowgate.backends.order",
		20: "flowgate.backends.offline.latency", 21: "flowgate.backends.openai.timeout", 22: "aws.bedrock.model_mapping.a",
		24: "retry.default.backoff_factor", 25: "retry.models.claude.max_retries",
	} {
		if !strings.Contains(text, fmt.Sprintf("my.yaml:%d: %s: ", line, key)) {
			t.Errorf("no fault at line %d of %s", line, key)
		}
	}
	for _, key := range []string{"openai.base_url", "openai.models", "openai.max_tokens_field", "default_model", "marks.disk_free_mb", "marks.stream_percent", "marks.backlog", "marks.next_layer", "min_audit_reason", "base_delay", "model_mapping.d", "unknown_models"} {
		if !strings.Contains(text, key+": ") {
			t.Errorf("no fault of %s", key)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Error("a fault shows a password")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestFaultsOfVariablesNameThem(t *testing.T) {
	_, _, err := load("my.yaml", []byte("flowgate: {nats_url: 'nats://ok'}\n"), environment("NATS_URL", "ftp://hunter2"))
	if err == nil || !strings.HasPrefix(err.Error(), "environment variable NATS_URL: flowgate.nats_url: must be") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestVariablesExpandInValues(t *testing.T) {
	env := environment("HOME_DIR", "/home/x", "N", "7", "EMPTY", "", "LATER", "secret", "INJECT", "a\nb: c", "AGAIN", "${N}")
	for _, c := range []struct{ in, want string }{
		{"${HOME_DIR}/state", "/home/x/state"},
		{"${NONE:-fallback}", "fallback"},
		{"${EMPTY:-fallback}", "fallback"},
		{"${NONE:-}x", "x"},
		{"$${N}", "${N}"},
		{"cost $5 $", "cost $5 $"},
		{"${AGAIN}", "${N}"},
		{"${N}${N}", "77"},
	} {
		if got, err := expand(c.in, env); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.in, got, err)
		}
	}
	for _, bad := range []string{"${N", "${}", "${1N}", "${N:+x}", "${NÖ}", "${N-x}"} {
		if got, err := expand(bad, env); err == nil {
			t.Errorf("%s became %q", bad, got)
		}
	}
	s, _ := mustLoad(t, "flowgate: {micro_batch: '${N}', state_dir: '${INJECT}', ack_wait: '${W:-5s}', admission: {allow_unknown_user: '${B:-false}'}}\ncost_optimization: {limits: {daily_limit: '${D:-2.5}'}}", env)
	if f := s.Flowgate; f.MicroBatch != 7 || f.StateDir != "a\nb: c" || f.AckWait != 5*time.Second || f.Admission.AllowUnknownUser || s.CostOptimization.Limits.DailyLimit != 2_500_000 {
		t.Errorf("%+v", f)
	}
	if _, _, err := load("s", []byte("flowgate: {micro_batch: '7'}"), env); err == nil {
		t.Error("a quoted number passed for a number")
	}
}

func TestNullCountsAsLeftOut(t *testing.T) {
	s, w := mustLoad(t, "flowgate: {listen: null, backends: ~}\naws: {bedrock: {model_mapping: }}\nretry:\npostgres: null\n", environment())
	if !reflect.DeepEqual(s, Default()) || len(w) != 0 {
		t.Errorf("%+v %v", s, w)
	}
}

func TestTransientAttemptsHoldWhereRetrySaysNothing(t *testing.T) {
	s, _ := mustLoad(t, "flowgate: {transient_attempts: 5}\nretry: {models: {titan: {base_delay: 0.25}}}", environment())
	if s.Retry.Default.MaxRetries != 5 || s.Retry.Families()["titan"] != (RetryPolicy{5, 250 * time.Millisecond, time.Minute, 2}) {
		t.Errorf("%+v", s.Retry)
	}
	s, _ = mustLoad(t, "flowgate: {transient_attempts: 5}\nretry: {default: {max_retries: 4}}", environment())
	if s.Retry.Default.MaxRetries != 4 {
		t.Errorf("%+v", s.Retry)
	}
}

func TestMoneyIsReadExactly(t *testing.T) {
	for text, want := range map[string]int64{"1": 1e6, "0.1": 1e5, "0.000001": 1, "1.10": 1_100_000, "3000.0": 3e9, "none": 0, "1000000000": 1e15, "0.1000000000": 1e5} {
		var d Dollars
		if err := d.fromText(text); err != nil || d.MicroUSD() != want {
			t.Errorf("%s: %d, %v", text, d, err)
		}
	}
	for _, bad := range []string{"", "0", "0.0", "-1", "1e3", "1,5", ".5", "1.", "0.0000001", "1000000001", "99999999999", "$5", "NaN"} {
		var d Dollars
		if err := d.fromText(bad); err == nil {
			t.Errorf("%q became %d", bad, d)
		}
	}
	for d, want := range map[Dollars]string{1e6: "1.00", 1_500_000: "1.50", 123: "0.000123", 0: "none", 1_250_000: "1.25"} {
		if d.String() != want {
			t.Errorf("%d is written %s", d, d)
		}
	}
}

func TestLimitsThatHideOthersAreWarnedAbout(t *testing.T) {
	_, w := mustLoad(t, "cost_optimization:\n  limits:\n    daily_limit: 0.5\n    monthly_limit: none\n", environment())
	if len(w) != 1 || w[0].Key != "cost_optimization.limits.request_limit" {
		t.Errorf("%v", w)
	}
}

func TestAnchorsAndMergesWorkWithinBounds(t *testing.T) {
	s, _ := mustLoad(t, "retry:\n  default: &d {base_delay: 2, max_delay: 20}\n  models:\n    claude: {<<: *d, max_retries: 9}\n    titan: {<<: [*d], base_delay: 3}\n", environment())
	f := s.Retry.Families()
	if f["claude"].BaseDelay != 2*time.Second || f["claude"].MaxRetries != 9 || f["titan"].BaseDelay != 3*time.Second {
		t.Errorf("%+v", f)
	}
	for name, bad := range map[string]string{
		"unknown anchor": "flowgate: *nowhere", "itself": "flowgate: &a {backends: *a}", "merge of itself": "flowgate: &a {<<: *a}",
		"two merges of itself": "flowgate: &a {<<: *a, <<: *a}", "tag": "flowgate: !!map {}", "brackets": strings.Repeat("[", 100_000),
		"entries": strings.Repeat("- ", 50_000), "tokens": strings.Repeat("a: b\n", 40_000), "two documents": "flowgate: {}\n---\nflowgate: {}\n",
		"a list": "- 1", "a text": "hello", "not UTF-8": "a: \xff", "key": "? [a]\n: b\n",
	} {
		if _, _, err := load("s.yaml", []byte(bad), environment()); err == nil || !strings.Contains(err.Error(), "s.yaml") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "\n\n"} {
		if s, _ := mustLoad(t, empty, environment()); !reflect.DeepEqual(s, Default()) {
			t.Errorf("%q is not the defaults", empty)
		}
	}
}

func TestFilesAreBoundedAndDirectoriesRefused(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("#", MaxSettingsBytes+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "is a directory", big: "is larger than 1048576 bytes", filepath.Join(dir, "none"): "no such file"} {
		if _, _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := LoadAgreements(dir); err == nil {
		t.Error("a directory as agreements")
	}
	if _, err := LoadPrices(dir); err == nil {
		t.Error("a directory as prices")
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	const secret = "hunter2"
	s, _ := mustLoad(t, "postgres: {db_password: hunter2}\nflowgate: {backends: {openai: {api_key: '${K}'}}}\naws: {bedrock: {credentials: {access_key_id: hunter2, secret_access_key: hunter2}}}", environment(
		"K", secret, "DATABASE_URL", "postgres://u:hunter2@h/d", "NATS_URL", "nats://u:hunter2@h",
	))
	if s.Flowgate.Backends.OpenAI.APIKey.Reveal() != secret || s.Postgres.DBPassword.Reveal() != secret {
		t.Fatal("the secrets were not read")
	}
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
		fmt.Fprintf(&printed, verb+"\n", s)
		fmt.Fprintf(&printed, verb+"\n", s.Postgres.DBPassword)
		fmt.Fprintf(&printed, verb+"\n", &s.Flowgate)
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	asMap, err := json.Marshal(map[string]any{"k": s.Postgres.DBPassword, "p": &s.Postgres.DBPassword})
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(asJSON)
	printed.Write(asYAML)
	printed.Write(asMap)
	fmt.Fprint(&printed, s.Explain(), s.Postgres.DBPassword.String())
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
		if strings.Contains(printed.String(), form) {
			t.Errorf("printed: %s", printed.String())
		}
	}
	for _, syntax := range []string{"password: \"hunter2", "password: |hunter2\n", "a: b: hunter2", "p: @hunter2", "p: 'x' hunter2", "p: !hunter2 {", "postgres: {db_password: [hunter2]}", "postgres: {db_user: hunter2, port: hunter2}"} {
		if _, _, err := load("s", []byte(syntax), environment()); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", syntax, err)
		}
	}
}

func TestVersionFollowsWhatHasAnEffect(t *testing.T) {
	version := func(text string) string {
		s, _ := mustLoad(t, text, environment())
		return s.Version()
	}
	base := version("")
	if base != version("flowgate: {backends: {openai: {api_key: ''}}}\nvalidation: {default: {min_length: 5}}") || len(base) != 12 {
		t.Error("a setting without effect changed the version")
	}
	for _, change := range []string{"flowgate: {billable_attempts: 1}", "aws: {bedrock: {model_mapping: {a: b}}}", "retry: {models: {claude: {max_retries: 2}}}", "cost_optimization: {limits: {daily_limit: none}}"} {
		if version(change) == base {
			t.Errorf("%s did not change the version", change)
		}
	}
}

func TestBackendsAllowOnlyWhatIsAllowed(t *testing.T) {
	s, _ := mustLoad(t, "flowgate: {backends: {allowed: [bedrock], order: [openai, bedrock]}}", environment("OPENAI_API_KEY", "stray"))
	b := s.Flowgate.Backends
	if b.Allows("openai") || !b.Allows("bedrock") || b.Allows("offline") || !b.OpenAI.Configured() {
		t.Errorf("%+v", b)
	}
	if d := Default().Flowgate.Backends; !d.Allows("openai") || d.Allows("unknown") || d.OpenAI.Configured() {
		t.Errorf("%+v", d)
	}
}

func FuzzLoadSettings(f *testing.F) {
	f.Add(string(SampleSettings))
	f.Add("retry: {default: &a {base_delay: 1}, models: {x: {<<: *a}}}")
	f.Add("flowgate: &a {<<: *a, <<: [*a, *a]}")
	f.Add("postgres: {port: ${X:-1}}\nflowgate:\n  ack_wait: 1s\n? x\n: |\n y\n")
	f.Add("a: !!str \"\\x\"\n--- \n...\n%YAML 1.2\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, _, err := load("f.yaml", []byte(text), environment("X", "7"))
		if err != nil {
			if !strings.Contains(err.Error(), ":") {
				t.Fatalf("an error without place: %v", err)
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Fatalf("loaded and not valid: %v", err)
		}
		s.Version()
	})
}

func TestFaultsOfServicesNameTheKey(t *testing.T) {
	for text, want := range map[string]string{
		"s3: {bucket: UPPER}":                                             "s.yaml:1: s3.bucket: must be the name of a bucket",
		"s3: {prefix: /pages}":                                            "s3.prefix: must",
		"s3: {endpoint: 'minio:9000'}":                                    "s3.endpoint: must be an http or https URL",
		"s3: {connection_timeout: 0}":                                     "s3.connection_timeout: must be from 0.1",
		"s3: {max_retries: 21}":                                           "s3.max_retries: must be from 0 to 20",
		"aws: {region: 'us east'}":                                        "aws.region: must be the name of a region",
		"aws: {bedrock: {region: US-EAST-1}}":                             "aws.bedrock.region: must be",
		"aws: {bedrock: {endpoint: 'ftp://h'}":                            "s.yaml",
		"aws: {bedrock: {credentials: {access_key_id: hunter2}}}":         "aws.bedrock.credentials.secret_access_key: is missing",
		"aws: {bedrock: {credentials: {secret_access_key: hunter2}}}":     "aws.bedrock.credentials.access_key_id: is missing",
		"aws: {bedrock: {credentials: {session_token: hunter2}}}":         "aws.bedrock.credentials.session_token: stands without",
		"integrations: {mlflow: {enabled: true}}":                         "integrations.mlflow.tracking_uri: is needed",
		"integrations: {mlflow: {tracking_uri: 'hunter2'}}":               "integrations.mlflow.tracking_uri: must be an http or https URL",
		"flowgate: {probes: {interval: 1ms, timeout: 2m, slow: 0s}}":      "flowgate.probes.interval: must be from 1s to 1h",
		"aws: {bedrock: {endpoint: 'https://hunter2:hunter2@h.example'}}": "aws.bedrock.endpoint: must be",
	} {
		if _, _, err := load("s.yaml", []byte(text), environment()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

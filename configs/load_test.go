package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const layered = `flowgate:
  environment: staging
  hold: 5m
  backends: {order: [openai, offline]}
retry:
  default: {base_delay: 2}
  models: {claude: {max_retries: 4}}
environments:
  staging:
    flowgate: {hold: 7m, backends: {order: [offline]}}
    retry: {models: {titan: {max_retries: 2}}}
    cost_optimization: {limits: {daily_limit: 5}}
  production:
    postgres: {db_password: '${ONLY_THERE}'}
    flowgate: {nats_url: '${ONLY_THERE_TOO}', ack_wait: 9s}
`

func TestAnEnvironmentIsLaidOverAnySection(t *testing.T) {
	l, err := read("s.yaml", []byte(layered), environment())
	if err != nil {
		t.Fatal(err)
	}
	if l.Flowgate.Hold != 7*time.Minute || len(l.Flowgate.Backends.Order) != 1 || l.CostOptimization.Limits.DailyLimit != 5e6 {
		t.Errorf("not laid over: %+v", l.Flowgate)
	}
	f := l.Retry.Families()
	if f["claude"].MaxRetries != 4 || f["titan"].MaxRetries != 2 || f["titan"].BaseDelay != 2*time.Second {
		t.Errorf("a map must be added to: %+v", f)
	}
	for key, want := range map[string]string{
		"flowgate.hold": "s.yaml:10 (environments.staging)", "retry.models.titan.max_retries": "s.yaml:11 (environments.staging)",
		"retry.models.claude.max_retries": "s.yaml:7", "flowgate.environment": "s.yaml:2", "flowgate.ack_wait": "default",
	} {
		if got := l.given.of(key).String(); got != want {
			t.Errorf("%s comes from %s, want %s", key, got, want)
		}
	}
	l, err = read("s.yaml", []byte(layered), environment("FLOWGATE_ENVIRONMENT", "production", "ONLY_THERE", "pw", "ONLY_THERE_TOO", "nats://n:4222", "NATS_URL", "nats://wins:4222"))
	if err != nil || l.Flowgate.Hold != 5*time.Minute || l.Flowgate.AckWait != 9*time.Second || l.Postgres.DBPassword.Reveal() != "pw" || l.Flowgate.NATSURL.Reveal() != "nats://wins:4222" || !l.Flowgate.Production() {
		t.Errorf("the variable chose the environment, and variables win over it: %+v %v", l.Flowgate, err)
	}
	if got := l.given.of("flowgate.nats_url").String(); got != "environment variable NATS_URL" {
		t.Error(got)
	}
	l, err = read("s.yaml", []byte(layered), environment("FLOWGATE_ENVIRONMENT", "testing"))
	if err != nil || l.Flowgate.Hold != 5*time.Minute {
		t.Errorf("an environment without a subtree changes nothing: %v", err)
	}
}

func TestFaultsOfEveryEnvironmentNameItsLine(t *testing.T) {
	const file = `environments:
  production:
    flowgate: {hold: 0s, environment: testing}
    loging: {level: INFO}
  testing:
    retry: {default: {max_retries: 0}}
    environments: {}
  development:
    postgres: {port: 0}
  "Bad Name": {}
`
	_, err := read("s.yaml", []byte(file), environment())
	text := strings.Join(faultsOf(err), "\n")
	for _, want := range []string{
		"s.yaml:3: environments.production.flowgate.hold: must be",
		"s.yaml:3: environments.production.flowgate.environment: cannot be chosen",
		"s.yaml:4: environments.production.loging: is not a known key; did you mean logging?",
		"s.yaml:6: environments.testing.retry.default.max_retries: must be",
		"s.yaml:7: environments.testing.environments: cannot stand",
		"s.yaml:9: environments.development.postgres.port: must be",
		"s.yaml:10: environments.Bad Name: must be a name",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if n := len(faultsOf(err)); n != 7 || t.Failed() {
		t.Errorf("%d faults:\n%s", n, text)
	}
}

func TestAnUnsetVariableOfASecretIsAWarningAndElsewhereAnError(t *testing.T) {
	l, err := read("s.yaml", []byte("postgres:\n  host: h\n  db_password: ${PW}\n"), environment())
	if err != nil || len(l.Warnings) != 1 || l.Warnings[0].Line != 3 || !strings.Contains(l.Warnings[0].Text, "PW is not set") {
		t.Errorf("%v %v", l.Warnings, err)
	}
	for _, text := range []string{"postgres: {host: '${HOST}'}", "flowgate: {database_url: 'postgres://u:${PW}@h/d'}", "flowgate: {nats_url: '${N}'}"} {
		if _, err := read("s.yaml", []byte(text), environment()); err == nil || !strings.Contains(err.Error(), "is not set") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func secretFile(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretsComeFromFiles(t *testing.T) {
	path := secretFile(t, "hunter2\r\n", 0o400)
	l, err := read("s.yaml", fmt.Appendf(nil, "postgres:\n  db_password_file: %s\ndevelopment: {dev_mode: {enabled: true}}\n", path), environment("OPENAI_API_KEY_FILE", path))
	if err != nil || l.Postgres.DBPassword.Reveal() != "hunter2" || l.Flowgate.Backends.OpenAI.APIKey.Reveal() != "hunter2" {
		t.Fatalf("%v", err)
	}
	if got := l.given.of("postgres.db_password").String(); got != "s.yaml:2, secret file "+path {
		t.Error(got)
	}
	if got := l.given.of("flowgate.backends.openai.api_key").String(); got != "environment variable OPENAI_API_KEY_FILE, secret file "+path {
		t.Error(got)
	}
	const environments = "environments: {production: {postgres: {db_password_file: /nowhere}}}"
	if _, err := read("s.yaml", []byte(environments), environment()); err != nil {
		t.Errorf("the secrets of another environment were looked for: %v", err)
	}
	if _, err := read("s.yaml", []byte(environments), environment("FLOWGATE_ENVIRONMENT", "production")); err == nil {
		t.Error("a secret that is not there passed")
	}
}

func TestFilesOfSecretsThatAreNotSafeAreRefused(t *testing.T) {
	long := strings.Repeat("x", MaxSecretBytes+1)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	good := secretFile(t, "x", 0o600)
	for name, c := range map[string]struct{ path, want string }{
		"others read":   {secretFile(t, "hunter2", 0o604), "has mode 0604: everybody on this machine"},
		"others write":  {secretFile(t, "hunter2", 0o602), "chmod 600"},
		"group writes":  {secretFile(t, "hunter2", 0o620), "has mode 0620"},
		"empty":         {secretFile(t, "\n", 0o600), "is empty"},
		"long":          {secretFile(t, long, 0o600), "is larger than 65536 bytes"},
		"not text":      {secretFile(t, "hunter2\xff", 0o600), "is no text"},
		"folder":        {t.TempDir(), "is no regular file"},
		"pipe":          {pipe, "is no regular file"},
		"not there":     {"/nowhere/at/all", "no such file"},
		"both":          {good + "', db_password: 'y", "leave one out"},
		"both, swapped": {"", ""},
	} {
		text := "postgres: {db_password_file: '" + c.path + "'}"
		if name == "both, swapped" {
			text, c.want = "postgres: {db_password: y, db_password_file: '"+good+"'}", "leave one out"
		}
		_, err := read("s.yaml", []byte(text), environment())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "s.yaml:1: postgres.db_password") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		if c.path == "" || strings.HasPrefix(name, "both") {
			continue
		}
		_, err = read("", nil, environment("DATABASE_URL_FILE", c.path))
		if err == nil || !strings.Contains(err.Error(), "environment variable DATABASE_URL_FILE: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s as a variable: %v", name, err)
		}
	}
	if _, err := read("", nil, environment("NATS_URL_FILE", good, "NATS_URL", "nats://x")); err == nil || !strings.Contains(err.Error(), "leave one out") {
		t.Errorf("both variables: %v", err)
	}
}

func TestAGroupMayReadWhatBelongsToRoot(t *testing.T) {
	path := secretFile(t, "x", 0o440)
	_, err := readSecret(path)
	if root := os.Getuid() == 0; root != (err == nil) {
		t.Errorf("as root %v: %v", root, err)
	}
}

func TestTheDatabaseIsFoundByTheFirstThatNamesIt(t *testing.T) {
	const section = "postgres: {host: h, db_user: u, db_password: 'p@ss/w?rd%', port: 5433, db_name: 'my db', ssl_mode: verify-full}\n"
	for _, c := range []struct {
		text, env, want string
	}{
		{"", "", ""},
		{"postgres: {db_user: u}", "", ""},
		{section, "", "postgres://u:p%40ss%2Fw%3Frd%25@h:5433/my%20db?sslmode=verify-full"},
		{section + "flowgate: {database_url: 'postgres://b/c'}", "", "postgres://b/c"},
		{section + "flowgate: {database_url: 'postgres://b/c'}", "postgres://env/d", "postgres://env/d"},
		{"postgres: {host: '::1'}", "", "postgres://[::1]:5432/flowgate?sslmode=prefer"},
		{"postgres: {host: '[fe80::1]', db_user: u}", "", "postgres://u@[fe80::1]:5432/flowgate?sslmode=prefer"},
	} {
		s, _ := mustLoad(t, c.text, environment("DATABASE_URL", c.env))
		if got := s.DatabaseURL().Reveal(); got != c.want {
			t.Errorf("%s %s: %s", c.text, c.env, got)
		}
	}
	for text, want := range map[string]string{
		section: "h 5433 my db u p@ss/w?rd%",
		"postgres: {host: /var/run/postgresql, port: 5433, db_user: u, db_password: x}": "/var/run/postgresql 5433 flowgate u x",
		"postgres: {host: '::1', db_user: u}":                                           "::1 5432 flowgate u ",
	} {
		s, _ := mustLoad(t, text, environment())
		c, err := pgx.ParseConfig(s.DatabaseURL().Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s %d %s %s %s", c.Host, c.Port, c.Database, c.User, c.Password); got != want {
			t.Errorf("pgx reads %s, want %s", got, want)
		}
	}
	for _, bad := range []string{"{host: 'postgres://h'}", "{host: h, db_name: ''}", "{ssl_mode: yes}", "{port: 70000}", "{connection_pool_size: 1}", "{retry_delay: 0}", "{max_retries: -1}"} {
		if _, err := read("s.yaml", []byte("postgres: "+bad), environment()); err == nil || !strings.HasPrefix(err.Error(), "s.yaml:1: postgres.") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestFilesOfOtherSystemsLoad(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark": "\ufeffflowgate:\n  hold: 5m\n", "carriage returns": "flowgate:\r\n  hold: 5m\r\n", "no end of line": "flowgate:\n  hold: 5m",
	} {
		l, err := read("s.yaml", []byte(text), environment())
		if err != nil || l.Flowgate.Hold != 5*time.Minute {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"tabs":    {"flowgate:\n\thold: 5m\n", "s.yaml:2"},
		"garbage": {"\x00\x01\x02\xff\xfe", "s.yaml"},
		"zeroes":  {strings.Repeat("\x00", 1000), "s.yaml"},
		"line 12": {"flowgate:\n" + strings.Repeat("  # x\n", 10) + "  hodl: 5m\n", "s.yaml:12: flowgate.hodl: is not a known key; did you mean hold?"},
	} {
		if _, err := read("s.yaml", []byte(c.text), environment()); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

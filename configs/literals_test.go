package configs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSecretsThatStandInAFileAreNamed(t *testing.T) {
	const text = `flowgate:
  nats_url: nats://127.0.0.1:4222,tls://anna:${PW}@b:4222
  database_url: postgres://worker:hunter2-secret@db/flowgate
  backends:
    openai: {api_key: "${OPENAI_KEY}", base_url: "http://me:hunter2-secret@127.0.0.1:1/v1"}
    anthropic: {api_key: "${KEY:-hunter2-secret}"}
  nats: {password: hunter2-secret, credentials_file: /etc/nats.creds}
postgres: {db_password_file: /run/secrets/db}
aws: {bedrock: {credentials: {access_key_id: AKIAIOSFODNN7EXAMPLE, secret_access_key: *same}}}
cache: {encryption_key: &same "$${x"}
environments:
  production:
    postgres: {db_password: hunter2-secret}
    flowgate: {database_url: "postgres://${DB_USER}:x${PART}@db/flowgate"}
`
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, looked, err := LiteralSecrets(path)
	slices.Sort(keys)
	want := "aws.bedrock.credentials.access_key_id aws.bedrock.credentials.secret_access_key cache.encryption_key environments.production.postgres.db_password " +
		"flowgate.backends.anthropic.api_key flowgate.backends.openai.base_url flowgate.database_url flowgate.nats.password"
	if got := strings.Join(keys, " "); err != nil || got != want || looked != 13 {
		t.Errorf("%s\nwant\n%s\n%d: %v", got, want, looked, err)
	}
}

func TestTheSampleHasNoSecret(t *testing.T) {
	keys, looked, err := LiteralSecrets("settings.yaml")
	if err != nil || len(keys) > 0 || looked < 100 {
		t.Errorf("%v of %d: %v", keys, looked, err)
	}
	if keys, looked, err = LiteralSecrets(filepath.Join(t.TempDir(), "none.yaml")); err == nil || looked != 0 || keys != nil {
		t.Error(keys, looked, err)
	}
}

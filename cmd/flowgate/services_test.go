package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowgate/worker/workertest"
)

// TestKeysOfServicesHaveAnEffect changes one key at a time and compares what S3, Bedrock and MLflow are asked, by which key,
// and what is found.
func TestKeysOfServicesHaveAnEffect(t *testing.T) {
	clean(t)
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	profile := "[worker]\naws_access_key_id = PROFILE\naws_secret_access_key = s\n"
	if err := os.WriteFile(filepath.Join(home, ".aws", "credentials"), []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": home, "AWS_EC2_METADATA_DISABLED": "true"}
	one, two := awsForKeys(t), awsForKeys(t)
	mlflow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(mlflow.Close)
	base := strings.NewReplacer("ONE", one.URL, "MLFLOW", mlflow.URL).Replace(`
flowgate: {probes: {interval: 30s, timeout: 5s, slow: 1s}}
s3: {bucket: bucket-1, region: s3-region, prefix: pages/, endpoint: 'ONE', connection_timeout: 30, max_retries: 0}
aws: {region: general, bedrock: {region: bedrock-region, endpoint: 'ONE', credentials: {access_key_id: ID, secret_access_key: s, session_token: t}}}
integrations: {mlflow: {enabled: true, tracking_uri: 'MLFLOW'}}
`)
	before := observed(t, base, env, one, two)
	if !strings.Contains(before, "s3: {Detail:bucket bucket-1") || !strings.Contains(before, "bedrock: {Detail:bedrock-region") || !strings.Contains(before, "mlflow: {Detail:http://") {
		t.Fatalf("the base is not healthy:\n%s", before)
	}
	if again := observed(t, base, env, one, two); again != before {
		t.Fatalf("the same settings show\n%s\nand\n%s", before, again)
	}
	const keys = "credentials: {access_key_id: ID, secret_access_key: s, session_token: t}"
	for key, change := range map[string][2]string{
		"flowgate.probes.interval":                  {"interval: 30s", "interval: 20s"},
		"flowgate.probes.timeout":                   {"timeout: 5s", "timeout: 4s"},
		"flowgate.probes.slow":                      {"slow: 1s", "slow: 2s"},
		"s3.bucket":                                 {"bucket-1", "bucket-2"},
		"s3.region":                                 {"s3-region", "other-region"},
		"s3.region, left out":                       {"region: s3-region, ", ""},
		"s3.prefix":                                 {"pages/", "papers/"},
		"s3.endpoint":                               {"prefix: pages/, endpoint: '" + one.URL, "prefix: pages/, endpoint: '" + two.URL},
		"s3.connection_timeout":                     {"connection_timeout: 30", "connection_timeout: 20"},
		"s3.max_retries":                            {"max_retries: 0", "max_retries: 1"},
		"aws.region":                                {"{region: general, bedrock: {region: bedrock-region,", "{region: other, bedrock: {"},
		"aws.bedrock.region":                        {"bedrock-region", "other-region"},
		"aws.bedrock.endpoint":                      {"bedrock-region, endpoint: '" + one.URL, "bedrock-region, endpoint: '" + two.URL},
		"aws.bedrock.credentials.profile":           {keys, "credentials: {profile: worker}"},
		"aws.bedrock.credentials.access_key_id":     {"access_key_id: ID", "access_key_id: ID2"},
		"aws.bedrock.credentials.secret_access_key": {"secret_access_key: s", "secret_access_key: other"},
		"aws.bedrock.credentials.session_token":     {"session_token: t", "session_token: other"},
		"integrations.mlflow.enabled":               {"enabled: true", "enabled: false"},
		"integrations.mlflow.tracking_uri":          {mlflow.URL + "'", mlflow.URL + "/other'"},
	} {
		changed := strings.Replace(base, change[0], change[1], 1)
		if changed == base {
			t.Errorf("%s: nothing was changed", key)
		} else if after := observed(t, changed, env, one, two); after == before {
			t.Errorf("%s has no effect:\n%s", key, after)
		}
	}
}

// awsForKeys is S3 and Bedrock for the keys of the test; listing all buckets fails in a way that is worth a repetition.
func awsForKeys(t *testing.T) *workertest.AWS {
	server := workertest.NewAWS(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/converse"):
			workertest.RefuseAWS(w, r, http.StatusBadRequest, "ValidationException", "messages are required")
		case r.URL.Path == "/":
			workertest.RefuseAWS(w, r, http.StatusServiceUnavailable, "SlowDown", "later")
		default:
			_, _ = fmt.Fprint(w, `<ListBucketResult></ListBucketResult>`)
		}
	})
	server.Know("ID", "s", "t")
	server.Know("ID2", "s", "t")
	server.Know("PROFILE", "s", "")
	return server
}

// observed is everything that settings make happen at the services, as text.
func observed(t *testing.T, text string, env map[string]string, servers ...*workertest.AWS) string {
	t.Helper()
	settings, err := (&globals{config: written(t, text, 0o600), tenant: "default"}).load()
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	lookup := func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
	all, err := newServices(settings, lookup)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer all.close()
	seen := make([]int, len(servers))
	for i, s := range servers {
		seen[i] = len(s.Calls())
	}
	var out strings.Builder
	for _, p := range all.probes {
		finding, err := p.Check(t.Context())
		fmt.Fprintf(&out, "%s: %+v %v\n", p.Name(), finding, err)
	}
	if client, err := all.aws.S3(t.Context()); err == nil {
		_, _ = client.ListBuckets(t.Context(), nil) // it fails, and is repeated as often as settings say
	}
	for i, s := range servers {
		for _, call := range s.Calls()[seen[i]:] {
			fmt.Fprintf(&out, "server %d: %+v\n", i, call)
		}
	}
	o := monitorOptions(settings, nil, nil)
	fmt.Fprintln(&out, o.Interval, o.Timeout, o.Slow, awsOptions(settings, lookup).S3.ConnectTimeout/time.Second)
	return out.String()
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"flowgate/worker/sessions"
	"flowgate/worker/workertest"
)

// withoutAWS is a machine without AWS, whatever the one is on which the test runs.
func withoutAWS(t *testing.T) []string {
	return []string{"AWS_EC2_METADATA_DISABLED=true", "HOME=" + t.TempDir()}
}

// sightOf reads what flowgate health printed as JSON.
func sightOf(t *testing.T, r ran) (s sight, health map[string]sessions.Health) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil || len(s.Views) != 1 {
		t.Fatalf("%v: %+v", err, r)
	}
	health = map[string]sessions.Health{}
	for _, h := range s.Views[0].Health {
		health[h.Service] = h
	}
	return s, health
}

func TestHealthIsHonestOnAMachineWithoutAWS(t *testing.T) {
	t.Parallel()
	settings := written(t, "s3: {bucket: example-bucket, region: us-east-1, prefix: pages/}\naws: {bedrock: {region: us-east-1}}\n", 0o600)
	dir := stateFolder(t)
	r := flowgateIn(t, dir, withoutAWS(t), "health", "--config", settings, "--json")
	s, health := sightOf(t, r)
	if r.code != exitFailed || s.OK || s.State != sessions.StateUnknown || s.Asked != "settings" || !strings.Contains(s.Why, "flowgate is not running") {
		t.Errorf("%d %+v", r.code, s)
	}
	for _, service := range []string{"s3", "bedrock"} {
		h := health[service]
		if h.State != sessions.StateUnknown || h.Unused || h.LastCheck.IsZero() {
			t.Errorf("%+v", h)
		}
		for _, place := range []string{"IAM role (container)", "IAM role (web identity)", "IAM role (instance metadata)", "environment (AWS_ACCESS_KEY_ID)", "AWS profile", "settings (aws.bedrock.credentials)"} {
			if !strings.Contains(h.Error, place+": ") {
				t.Errorf("%s does not tell about %s: %s", service, place, h.Error)
			}
		}
	}
	for _, service := range []string{"postgres", "nats", "mlflow", "openai"} {
		if h := health[service]; !h.Unused || h.Detail == "" {
			t.Errorf("%+v", h)
		}
	}
	text := flowgateIn(t, dir, withoutAWS(t), "health", "--config", settings)
	for _, want := range []string{"Asked directly, by the settings:", "SERVICE", "no AWS credentials", "integrations.mlflow.enabled is false"} {
		if !strings.Contains(text.stdout, want) {
			t.Errorf("%s is missing in\n%s", want, text.stdout)
		}
	}
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"health"}, exitEnvironment, "there is nothing to ask"},
		{[]string{"health", "mlflow"}, exitDone, "unused"},
		{[]string{"health", "--config", settings, "openai"}, exitDone, "set OPENAI_API_KEY, or OPENAI_BASE_URL"},
		{[]string{"health", "s33"}, exitUsage, "must be of postgres, nats, s3, bedrock, mlflow, openai, anthropic"},
	} {
		if r := flowgateIn(t, dir, withoutAWS(t), step.args...); r.code != step.code || !strings.Contains(r.stdout+r.stderr, step.says) {
			t.Errorf("%v: %+v", step.args, r)
		}
	}
}

// TestHealthAsksTheServicesThatSettingsName has no process, so the command asks by itself.
func TestHealthAsksTheServicesThatSettingsName(t *testing.T) {
	t.Parallel()
	dir := stateFolder(t)
	env := append(withoutAWS(t), "DATABASE_URL="+workertest.Database(t), "NATS_URL=nats://127.0.0.1:1")
	r := flowgateIn(t, dir, env, "health", "--json")
	s, health := sightOf(t, r)
	if h := health["postgres"]; h.State != sessions.StateHealthy || h.Source != "environment (DATABASE_URL)" || !strings.HasPrefix(h.Detail, "PostgreSQL ") {
		t.Errorf("%+v", h)
	}
	if h := health["nats"]; r.code != exitFailed || h.State != sessions.StateUnhealthy || h.Source != "environment (NATS_URL)" || h.Error == "" || s.State != sessions.StateUnhealthy {
		t.Errorf("%d %+v", r.code, h)
	}
}

// TestHealthIsWhatTheProcessSees has an S3 and a Bedrock that verify signatures; then S3 refuses.
func TestHealthIsWhatTheProcessSees(t *testing.T) {
	t.Parallel()
	var refusing atomic.Bool
	server := workertest.NewAWS(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/converse"):
			workertest.RefuseAWS(w, r, http.StatusBadRequest, "ValidationException", "messages are required")
		case refusing.Load():
			workertest.RefuseAWS(w, r, http.StatusForbidden, "AccessDenied", "Access Denied")
		default:
			_, _ = fmt.Fprint(w, `<ListBucketResult><Contents><Key>pages/1</Key></Contents></ListBucketResult>`)
		}
	})
	server.Know("KEYID", "hunter2", "")
	settings := written(t, "flowgate: {probes: {interval: 1s, timeout: 30s, slow: 20s}}\ns3: {bucket: example-bucket, region: us-east-1, prefix: pages/}\naws: {bedrock: {region: us-west-2}}\n", 0o600)
	env := append(withoutAWS(t), "AWS_ACCESS_KEY_ID=KEYID", "AWS_SECRET_ACCESS_KEY=hunter2", "AWS_ENDPOINT_URL_S3="+server.URL, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME="+server.URL)
	up := start(t, stateFolder(t), append([]string{"--config", settings}, env...)...)
	s, health := healthWhen(t, up.State, func(h map[string]sessions.Health) bool {
		for _, service := range []string{"postgres", "nats", "s3", "bedrock"} {
			if h[service].State != sessions.StateHealthy {
				return false
			}
		}
		return true
	})
	for service, detail := range map[string]string{
		"postgres": "PostgreSQL ", "nats": "nats-server ", "s3": `bucket example-bucket, us-east-1, 1 objects under "pages/"`, "bedrock": "us-west-2, authorised for anthropic.claude-3-sonnet",
	} {
		if h := health[service]; h.State != sessions.StateHealthy || !strings.HasPrefix(h.Detail, detail) || h.LatencyMS.P99 <= 0 || h.Since.IsZero() || len(h.History) == 0 {
			t.Errorf("%+v", h)
		}
	}
	if !s.OK || s.Asked != "processes" || s.Views[0].Worker == "" || health["s3"].Source != "environment (AWS_ACCESS_KEY_ID)" || health["postgres"].Source != ownServer {
		t.Errorf("%+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch := exec.CommandContext(ctx, binary(t), "health", "--watch", "s3") //nolint:gosec // the program under test
	said := &printed{}
	watch.Env, watch.Stdout, watch.Stderr = environ("FLOWGATE_STATE="+up.State), said, said
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	whenSo(t, func() bool { return strings.Contains(said.String(), "s3 is healthy: bucket example-bucket") })
	refusing.Store(true)
	whenSo(t, func() bool {
		return strings.Contains(said.String(), "s3 was healthy, is unhealthy: bucket example-bucket: AccessDenied")
	})
	if err := watch.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("an interrupted watch ended with %v:\n%s", err, said)
	}
	if r := flowgate(t, up.State, "health"); r.code != exitFailed || !strings.Contains(r.stdout, "AccessDenied: Access Denied (HTTP 403)") || strings.Contains(r.stdout, "hunter2") {
		t.Errorf("%+v", r)
	}
	if r := flowgate(t, up.State, "health", "bedrock", "nats"); r.code != exitDone || strings.Contains(r.stdout, "postgres") {
		t.Errorf("%+v", r)
	}
	if log := up.stderr.String(); !strings.Contains(log, `"service":"s3"`) || strings.Contains(log, "hunter2") {
		t.Errorf("the log says\n%s", log)
	}
}

// healthWhen asks until the services are as they shall be.
func healthWhen(t *testing.T, dir string, good func(map[string]sessions.Health) bool) (s sight, health map[string]sessions.Health) {
	t.Helper()
	whenSo(t, func() bool {
		s, health = sightOf(t, flowgate(t, dir, "health", "--json"))
		return good(health)
	})
	return s, health
}

// whenSo waits for a state of the world.
func whenSo(t *testing.T, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !reached(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %s", patience)
		}
	}
}

func TestServicesAreAskedOnlyWhereTheyAreConfigured(t *testing.T) {
	clean(t)
	for text, want := range map[string][]string{
		"{}":                                  nil,
		"aws: {region: us-east-1}":            nil,
		"s3: {bucket: example-bucket}":        {"s3"},
		"aws: {bedrock: {region: us-east-1}}": {"bedrock"},
		"aws: {bedrock: {endpoint: 'https://h.example'}}":                                          {"bedrock"},
		"aws: {bedrock: {credentials: {profile: worker}}}":                                         {"bedrock"},
		"flowgate: {backends: {allowed: [bedrock]}}":                                               {"bedrock"},
		"integrations: {mlflow: {tracking_uri: 'http://h:5'}}":                                     nil,
		"flowgate: {backends: {openai: {api_key: k}}}":                                             {"openai"},
		"flowgate: {backends: {openai: {api_key: k}, allowed: [offline]}}":                         nil,
		"aws: {bedrock: {region: us-east-1}}\nflowgate: {backends: {order: [openai]}}":             nil,
		"integrations: {mlflow: {enabled: true, tracking_uri: 'http://h:5'}}\ns3: {bucket: abc.d}": {"s3", "mlflow"},
	} {
		settings, err := (&globals{config: written(t, text, 0o600), tenant: "default"}).load()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all, err := newServices(settings, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var asked []string
		for _, p := range all.probes {
			asked = append(asked, p.Name())
		}
		if !slices.Equal(asked, want) || len(all.probes)+len(all.unused) != 5 {
			t.Errorf("%s: %v are asked, want %v", text, asked, want)
		}
		all.close()
	}
}

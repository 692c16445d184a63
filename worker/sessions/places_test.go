package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/worker/workertest"
)

// environ is an environment of its own.
type environ map[string]string

func (e environ) get(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

// with copies it.
func (e environ) with(pairs ...string) environ {
	copied := maps.Clone(e)
	for i := 0; i < len(pairs); i += 2 {
		copied[pairs[i]] = pairs[i+1]
	}
	return copied
}

// keysOf are keys that bear the name of their source.
func keysOf(source string) Keys { return Keys{"KEY-" + source, "secret-" + source, "token-" + source} }

// document is what endpoints of containers and instances answer.
func document(k Keys, life time.Duration) string {
	text, err := json.Marshal(map[string]any{
		"Code": "Success", "AccessKeyId": k.ID, "SecretAccessKey": k.Secret, "Token": k.Token, "Expiration": time.Now().Add(life).UTC(),
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// listen serves until the test ends.
func listen(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// containerServer is the endpoint that ECS and EKS give to a container.
func containerServer(t *testing.T, wantToken string) string {
	return listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/credentials" || r.Header.Get("Authorization") != wantToken {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `{"code":"AccessDenied","message":"the token is wrong"}`)
			return
		}
		_, _ = fmt.Fprint(w, document(keysOf("container"), time.Hour))
	})
}

// instanceServer is the metadata service of EC2, version 2 only.
func instanceServer(t *testing.T) string {
	return listen(t, func(w http.ResponseWriter, r *http.Request) {
		const roles = "/latest/meta-data/iam/security-credentials/"
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			_, _ = fmt.Fprint(w, "of-version-2")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "of-version-2":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == roles:
			_, _ = fmt.Fprint(w, "worker-role")
		case r.URL.Path == roles+"worker-role":
			_, _ = fmt.Fprint(w, document(keysOf("instance"), time.Hour))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

// stsServer exchanges one web identity token.
func stsServer(t *testing.T) string {
	return listen(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("Action") != "AssumeRoleWithWebIdentity" || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.Form.Get("WebIdentityToken") != "a.jwt.token" || r.Form.Get("RoleArn") != "arn:aws:iam::123456789012:role/worker" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>the token ended</Message></Error></ErrorResponse>`)
			return
		}
		k := keysOf("web")
		_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId>
<SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`, k.ID, k.Secret, k.Token, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	})
}

// file writes one into a folder of the test.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func profileText(k Keys) string {
	return fmt.Sprintf("aws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n", k.ID, k.Secret, k.Token)
}

// bare is a machine without AWS: no metadata service, no files.
func bare(t *testing.T) environ {
	return environ{"AWS_EC2_METADATA_DISABLED": "true", "HOME": t.TempDir()}
}

// store is an S3 that knows the keys of every source and one bucket.
func store(t *testing.T) *workertest.AWS {
	t.Helper()
	server := workertest.NewAWS(t, false, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
	})
	for _, source := range []string{"container", "web", "instance", "environment", "profile", "settings"} {
		k := keysOf(source)
		server.Know(k.ID, k.Secret, k.Token)
	}
	return server
}

// TestCredentialsAreTakenInThePromisedOrder sets every source up and takes away the first, again and again.
func TestCredentialsAreTakenInThePromisedOrder(t *testing.T) {
	shared := file(t, "credentials", "[worker]\n"+profileText(keysOf("profile")))
	env := bare(t).with(
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", containerServer(t, "pod-token")+"/v1/credentials",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file(t, "token", "pod-token\n"),
		"AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "jwt", "a.jwt.token"), "AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/worker",
		"AWS_ENDPOINT_URL_STS", stsServer(t),
		"AWS_EC2_METADATA_DISABLED", "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT", instanceServer(t),
		"AWS_ACCESS_KEY_ID", keysOf("environment").ID, "AWS_SECRET_ACCESS_KEY", keysOf("environment").Secret, "AWS_SESSION_TOKEN", keysOf("environment").Token,
		"AWS_SHARED_CREDENTIALS_FILE", shared, "AWS_PROFILE", "worker",
	)
	keys := keysOf("settings")
	for _, step := range []struct {
		source, key string
		takeAway    func()
	}{
		{"IAM role (container)", "KEY-container", func() { delete(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI") }},
		{"IAM role (web identity)", "KEY-web", func() { delete(env, "AWS_WEB_IDENTITY_TOKEN_FILE") }},
		{"IAM role (instance metadata)", "KEY-instance", func() { env["AWS_EC2_METADATA_DISABLED"] = "true" }},
		{"environment (AWS_ACCESS_KEY_ID)", "KEY-environment", func() { delete(env, "AWS_ACCESS_KEY_ID"); delete(env, "AWS_SECRET_ACCESS_KEY") }},
		{`AWS profile "worker"`, "KEY-profile", func() { delete(env, "AWS_PROFILE") }},
		{"settings (aws.bedrock.credentials)", "KEY-settings", func() { keys = Keys{} }},
	} {
		server := store(t)
		s := open(t, Options{Env: env.get, Keys: keys, S3: S3Options{Bucket: "b", Region: "eu-west-1", Endpoint: server.URL}})
		f, err := (S3Probe{s}).Check(t.Context())
		if err != nil || f.Source != step.source {
			t.Errorf("%s: %+v %v", step.source, f, err)
		}
		if calls := server.Calls(); len(calls) != 2 || calls[0].KeyID != step.key || calls[0].Region != "eu-west-1" || calls[0].Service != "s3" {
			t.Errorf("%s: %+v", step.source, calls)
		}
		step.takeAway()
	}
	s := open(t, Options{Env: env.get, S3: S3Options{Bucket: "b", Region: "eu-west-1"}})
	_, err := (S3Probe{s}).Check(t.Context())
	var none *NoCredentialsError
	if !errors.Is(err, ErrUnknown) || !errors.As(err, &none) || len(none.Looked) != 6 {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{
		"IAM role (container): not in a container", "(web identity): AWS_WEB_IDENTITY_TOKEN_FILE is not set", "(instance metadata): AWS_EC2_METADATA_DISABLED",
		"environment (AWS_ACCESS_KEY_ID): not set", "AWS profile: no profile is named", "settings (aws.bedrock.credentials): not set",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

// open makes the sessions of a test.
func open(t *testing.T, o Options) *Sessions {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestBrokenSourceEndsTheSearch(t *testing.T) {
	refusing := listen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	shared := file(t, "credentials", "[half]\naws_access_key_id = KEY\n[empty]\nregion = eu-west-1\n[mfa]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = base\nmfa_serial = 1\n"+
		"[base]\n"+profileText(keysOf("profile")))
	secure := func(with ...string) environ {
		return bare(t).with("AWS_ACCESS_KEY_ID", "KEY", "AWS_SECRET_ACCESS_KEY", "pa55word").with(with...)
	}
	named := func(with ...string) environ { return bare(t).with("AWS_SHARED_CREDENTIALS_FILE", shared).with(with...) }
	for name, step := range map[string]struct {
		env  environ
		says string
	}{
		"a container endpoint that refuses": {
			secure("AWS_CONTAINER_CREDENTIALS_FULL_URI", containerServer(t, "right")+"/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "pa55word"),
			"IAM role (container): AccessDenied: the token is wrong",
		},
		"a container endpoint on a stranger's machine": {
			secure("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/v1"), "must be https, or http to a loopback",
		},
		"a container token that cannot be read": {
			secure("AWS_CONTAINER_CREDENTIALS_FULL_URI", containerServer(t, "")+"/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/no/such/file"),
			"IAM role (container): ",
		},
		"a web identity without a role": {secure("AWS_WEB_IDENTITY_TOKEN_FILE", shared), "AWS_ROLE_ARN is not"},
		"a web identity whose token ended": {
			secure("AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "jwt", "pa55word"), "AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/worker", "AWS_ENDPOINT_URL_STS", stsServer(t)),
			"IAM role (web identity): ExpiredTokenException: the token ended (HTTP 403)",
		},
		"a metadata service at fault": {
			secure("AWS_EC2_METADATA_DISABLED", "", "AWS_EC2_METADATA_SERVICE_ENDPOINT", refusing), "instance metadata service answers with HTTP 500",
		},
		"a metadata service that was named and is not there": {
			secure("AWS_EC2_METADATA_DISABLED", "", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+closedPort(t)), "AWS_EC2_METADATA_SERVICE_ENDPOINT does not answer",
		},
		"half a key":                         {bare(t).with("AWS_SECRET_ACCESS_KEY", "pa55word"), "environment (AWS_ACCESS_KEY_ID): an access key id and a secret"},
		"a profile that does not exist":      {named("AWS_PROFILE", "nobody"), `profile "nobody" is neither in`},
		"a profile without credentials":      {named("AWS_PROFILE", "empty"), `profile "empty" has no credentials`},
		"a profile with half a key":          {named("AWS_PROFILE", "half"), "AWS profile: "},
		"a profile that wants a code typed":  {named("AWS_PROFILE", "mfa"), "MFA"},
		"a profile file that cannot be read": {bare(t).with("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(shared, "below-a-file")), "AWS profile: reading the profiles: "},
		"a profile file that is a folder":    {bare(t).with("AWS_CONFIG_FILE", t.TempDir(), "AWS_PROFILE", "x"), "is no regular file"},
	} {
		s := open(t, Options{Env: step.env.get, Keys: keysOf("settings"), Region: "eu-west-1", S3: S3Options{Bucket: "b"}})
		_, err := (S3Probe{s}).Check(t.Context())
		if err == nil || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), step.says) || strings.Contains(Printable(err), "pa55word") {
			t.Errorf("%s: %v, want %s", name, err, step.says)
		}
	}
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestMachineThatIsNoInstanceIsNotWaitedFor(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers, as a network does that drops packets
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	other := listen(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	for name, endpoint := range map[string]string{"silent": "http://" + silent.Addr().String(), "absent": "http://" + closedPort(t), "of another cloud": other} {
		s := open(t, Options{Env: environ{"HOME": t.TempDir()}.get, Keys: keysOf("settings"), Region: "r"})
		if s.finder.instanceHost != "http://169.254.169.254" || s.finder.patience != time.Second {
			t.Errorf("%+v", s.finder)
		}
		s.finder.instanceHost, s.finder.patience = endpoint, 50*time.Millisecond
		if c, err := s.S3(t.Context()); err != nil || c.Credentials.Source() != "settings (aws.bedrock.credentials)" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRelativeContainerEndpointIsThatOfECS(t *testing.T) {
	s := open(t, Options{Env: bare(t).with("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "direct").get, Region: "r"})
	if s.finder.containerHost != "http://169.254.170.2" {
		t.Error(s.finder.containerHost)
	}
	s.finder.containerHost = containerServer(t, "direct")
	if c, err := s.S3(t.Context()); err != nil || c.Credentials.Source() != "IAM role (container)" {
		t.Errorf("%+v %v", c, err)
	}
}

func TestProfileMayAssumeARoleOrRunAProcess(t *testing.T) {
	shared := file(t, "config", "[profile tool]\nregion = eu-north-1\ncredential_process = /bin/sh -c \"cat '"+
		file(t, "out.json", `{"Version":1,"AccessKeyId":"KEY-profile","SecretAccessKey":"secret-profile","SessionToken":"token-profile"}`)+"'\"\n")
	server := store(t)
	s := open(t, Options{Env: bare(t).with("AWS_CONFIG_FILE", shared).get, Profile: "tool", S3: S3Options{Bucket: "b", Endpoint: server.URL}})
	f, err := (S3Probe{s}).Check(t.Context())
	if err != nil || f.Source != `AWS profile "tool"` || !strings.Contains(f.Detail, "eu-north-1") {
		t.Errorf("%+v %v", f, err)
	}
}

func TestRegionOfTheServiceWinsThenTheEnvironmentThenTheSettings(t *testing.T) {
	env := bare(t).with("AWS_ACCESS_KEY_ID", "K", "AWS_SECRET_ACCESS_KEY", "S", "AWS_REGION", "env-1", "AWS_DEFAULT_REGION", "env-2",
		"AWS_CONFIG_FILE", file(t, "config", "[default]\nregion = profile-1\n"))
	own := "service-1"
	general := "settings-1"
	for _, want := range []string{"service-1", "env-1", "env-2", "settings-1", "profile-1"} {
		s := open(t, Options{Env: env.get, Region: general, S3: S3Options{Bucket: "b", Region: own}})
		c, err := s.S3(t.Context())
		if err != nil || c.Region != want {
			t.Errorf("%s: %+v %v", want, c, err)
		}
		switch want {
		case "service-1":
			own = ""
		case "env-1":
			delete(env, "AWS_REGION")
		case "env-2":
			delete(env, "AWS_DEFAULT_REGION")
		default:
			general = ""
		}
	}
	delete(env, "AWS_CONFIG_FILE")
	s := open(t, Options{Env: env.get, S3: S3Options{Bucket: "b"}})
	if _, err := s.S3(t.Context()); err == nil || !strings.Contains(err.Error(), "set s3.region, aws.region or AWS_REGION") {
		t.Errorf("%v", err)
	}
}

func TestClientIsMadeOnceAndLookedForUntilFound(t *testing.T) {
	env := bare(t).with("AWS_REGION", "r")
	s := open(t, Options{Env: env.get, S3: S3Options{Bucket: "b"}})
	if _, err := s.S3(t.Context()); !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "K", "S"
	first, err := s.S3(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delete(env, "AWS_ACCESS_KEY_ID")
	if second, err := s.S3(t.Context()); err != nil || second != first {
		t.Errorf("%v %v", second, err)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	_, err := New(Options{Keys: Keys{ID: "only"}, S3: S3Options{Endpoint: "store:9000", Retries: -1}, Bedrock: BedrockOptions{Endpoint: "http://u:pa55word@h"}})
	for _, want := range []string{"go together", "endpoint of S3", "endpoint of Bedrock", "must not be negative"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pa55word") {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	for _, path := range []string{"/no/such/file", file(t, "ca.pem", "no certificate")} {
		if _, err := New(Options{Env: environ{"AWS_CA_BUNDLE": path}.get}); err == nil || !strings.Contains(err.Error(), "AWS_CA_BUNDLE") {
			t.Errorf("%v", err)
		}
	}
}

func TestNobodyWaitsLongerForAClientThanItMay(t *testing.T) {
	var asked atomic.Int64
	entered, release := make(chan struct{}), make(chan struct{})
	endpoint := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			close(entered)
		}
		<-release
		_, _ = fmt.Fprint(w, document(keysOf("container"), time.Hour))
	})
	s := open(t, Options{Env: bare(t).with("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint, "AWS_REGION", "r").get})
	first := make(chan error, 1)
	go func() { _, err := s.S3(t.Context()); first <- err }()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.S3(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if asked.Load() != 1 {
		t.Errorf("the source was asked %d times", asked.Load())
	}
}

package sessions

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/worker/workertest"
)

// oneKey is an environment with one key, and that key known to servers.
func oneKey(t *testing.T, servers ...*workertest.AWS) environ {
	k := keysOf("environment")
	for _, s := range servers {
		s.Know(k.ID, k.Secret, k.Token)
	}
	return bare(t).with("AWS_ACCESS_KEY_ID", k.ID, "AWS_SECRET_ACCESS_KEY", k.Secret, "AWS_SESSION_TOKEN", k.Token, "AWS_REGION", "eu-west-1")
}

// s3Server has a bucket with objects; answer may answer in its place.
func s3Server(t *testing.T, secure bool, answer func(http.ResponseWriter, *http.Request) bool) *workertest.AWS {
	t.Helper()
	return workertest.NewAWS(t, secure, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case answer != nil && answer(w, r):
		case r.URL.Path != "/pages-bucket":
			workertest.RefuseAWS(w, r, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
		case r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2" && r.URL.Query().Get("prefix") == "pages/":
			_, _ = fmt.Fprint(w, `<ListBucketResult><Contents><Key>pages/1</Key></Contents><Contents><Key>pages/2</Key></Contents><IsTruncated>true</IsTruncated></ListBucketResult>`)
		case r.Method == http.MethodHead:
		default:
			workertest.RefuseAWS(w, r, http.StatusBadRequest, "InvalidRequest", "unexpected")
		}
	})
}

func TestS3IsAskedForBucketAndOnePage(t *testing.T) {
	server := s3Server(t, false, nil)
	s := open(t, Options{Env: oneKey(t, server).get, S3: S3Options{Bucket: "pages-bucket", Prefix: "pages/", Endpoint: server.URL}})
	f, err := (S3Probe{s}).Check(t.Context())
	if err != nil || f.Detail != `bucket pages-bucket, eu-west-1, 2 or more objects under "pages/"` || f.Degraded != "" {
		t.Errorf("%+v %v", f, err)
	}
	if calls := server.Calls(); len(calls) != 2 || calls[0].Method != http.MethodHead {
		t.Errorf("%+v", calls)
	}
}

func TestFaultsOfS3SayWhatToDo(t *testing.T) {
	refuse := func(status int, code, message, region string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if region != "" {
				w.Header().Set("X-Amz-Bucket-Region", region)
			}
			workertest.RefuseAWS(w, r, status, code, message)
			return true
		}
	}
	for name, step := range map[string]struct {
		bucket string
		answer func(http.ResponseWriter, *http.Request) bool
		says   string
	}{
		"no such bucket":   {"nobody", nil, "NoSuchBucket: The specified bucket does not exist (HTTP 404); does it exist"},
		"the wrong region": {"pages-bucket", refuse(http.StatusMovedPermanently, "PermanentRedirect", "elsewhere", "us-east-2"), "is in the region us-east-2, asked for in eu-west-1: set s3.region"},
		"an ended token":   {"pages-bucket", refuse(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.", ""), "ExpiredToken: The provided token has expired. (HTTP 400)"},
		"no permission":    {"pages-bucket", refuse(http.StatusForbidden, "AccessDenied", "Access Denied", ""), "AccessDenied: Access Denied (HTTP 403)"},
		"no answer in XML": {"pages-bucket", func(w http.ResponseWriter, _ *http.Request) bool { _, _ = fmt.Fprint(w, "<html>"); return true }, "bucket pages-bucket: "},
	} {
		server := s3Server(t, false, step.answer)
		s := open(t, Options{Env: oneKey(t, server).get, S3: S3Options{Bucket: step.bucket, Prefix: "pages/", Endpoint: server.URL}})
		f, err := (S3Probe{s}).Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), step.says) || f.Source != "environment (AWS_ACCESS_KEY_ID)" {
			t.Errorf("%s: %+v %v", name, f, err)
		}
	}
}

func TestPrefixThatCanBeListedWithoutTheBucketIsDegraded(t *testing.T) {
	server := s3Server(t, false, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
		}
		return r.Method == http.MethodHead
	})
	s := open(t, Options{Env: oneKey(t, server).get, S3: S3Options{Bucket: "pages-bucket", Prefix: "pages/", Endpoint: server.URL}})
	if f, err := (S3Probe{s}).Check(t.Context()); err != nil || !strings.Contains(f.Degraded, "HeadBucket is refused") {
		t.Errorf("%+v %v", f, err)
	}
}

func TestStrangersCertificateIsTrustedWhenItIsNamed(t *testing.T) {
	server := s3Server(t, true, nil)
	env := oneKey(t, server)
	o := S3Options{Bucket: "pages-bucket", Prefix: "pages/", Endpoint: server.URL}
	if _, err := (S3Probe{open(t, Options{Env: env.get, S3: o})}).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "AWS_CA_BUNDLE names a file") {
		t.Errorf("%v", err)
	}
	env["AWS_CA_BUNDLE"] = certificate(t, server)
	if _, err := (S3Probe{open(t, Options{Env: env.get, S3: o})}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// certificate writes that of a server into a file.
func certificate(t *testing.T, server *workertest.AWS) string {
	t.Helper()
	return file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
}

func TestEndpointMayBeAnIPv6Address(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	server := s3Server(t, false, nil)
	forward := http.Server{Handler: server.Config.Handler} //nolint:gosec // for one test
	go func() { _ = forward.Serve(l) }()
	t.Cleanup(func() { _ = forward.Close() })
	s := open(t, Options{Env: oneKey(t, server).get, S3: S3Options{Bucket: "pages-bucket", Prefix: "pages/", Endpoint: "http://" + l.Addr().String()}})
	if _, err := (S3Probe{s}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClientOfS3RepeatsAsOftenAsItIsTold(t *testing.T) {
	for _, retries := range []int{0, 1} {
		var asked atomic.Int64
		server := s3Server(t, false, func(w http.ResponseWriter, r *http.Request) bool {
			asked.Add(1)
			workertest.RefuseAWS(w, r, http.StatusServiceUnavailable, "SlowDown", "later")
			return true
		})
		s := open(t, Options{Env: oneKey(t, server).get, S3: S3Options{Bucket: "pages-bucket", Endpoint: server.URL, Retries: retries}})
		c, err := s.S3(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ListBuckets(t.Context(), nil); err == nil || asked.Load() != int64(retries)+1 {
			t.Errorf("%d retries: %v after %d calls", retries, err, asked.Load())
		}
	}
}

const model = "anthropic.claude-3-sonnet-20240229-v1:0"

// bedrockServer answers Converse as Bedrock does: it authorises, then it refuses a call without messages.
func bedrockServer(t *testing.T, secure bool, status int, code, message string) *workertest.AWS {
	t.Helper()
	return workertest.NewAWS(t, secure, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/model/"+model+"/converse" {
			workertest.RefuseAWS(w, r, http.StatusNotFound, "UnknownOperationException", r.URL.Path)
			return
		}
		if status == http.StatusOK {
			_, _ = fmt.Fprint(w, `{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}`)
			return
		}
		workertest.RefuseAWS(w, r, status, code, message)
	})
}

func TestBedrockIsAskedByASignedCallThatBillsNothing(t *testing.T) {
	const refusal = "The messages field is required"
	for name, step := range map[string]struct {
		status         int
		code, message  string
		fault, warning string
	}{
		"authorised":              {http.StatusBadRequest, "ValidationException", refusal, "", ""},
		"throttled":               {http.StatusTooManyRequests, "ThrottlingException", "slow down", "", "throttled: ThrottlingException: slow down"},
		"no access to the model":  {http.StatusForbidden, "AccessDeniedException", "You don't have access to the model", "AccessDeniedException: You don't have access", ""},
		"an ended token":          {http.StatusForbidden, "ExpiredTokenException", "The security token included in the request is expired", "ExpiredTokenException", ""},
		"no such model here":      {http.StatusBadRequest, "ValidationException", "The provided model identifier is invalid.", "model " + model + ": ValidationException", ""},
		"a model by profile only": {http.StatusBadRequest, "ValidationException", "Invocation with on-demand throughput isn’t supported", "on-demand", ""},
		"a retired model":         {http.StatusNotFound, "ResourceNotFoundException", "This model version has reached the end of its life.", "ResourceNotFoundException", ""},
		"a fault of Bedrock's":    {http.StatusInternalServerError, "InternalServerException", "oops", "InternalServerException: oops (HTTP 500)", ""},
		"something else":          {http.StatusOK, "", "", "", "it accepted a call without messages"},
	} {
		server := bedrockServer(t, false, step.status, step.code, step.message)
		s := open(t, Options{Env: oneKey(t, server).get, Bedrock: BedrockOptions{Region: "us-east-1", Endpoint: server.URL, Model: model}})
		f, err := (BedrockProbe{s}).Check(t.Context())
		if (err != nil) != (step.fault != "") || err != nil && !strings.Contains(err.Error(), step.fault) || !strings.Contains(f.Degraded, step.warning) || step.warning == "" && f.Degraded != "" {
			t.Errorf("%s: %+v %v", name, f, err)
		}
		if calls := server.Calls(); len(calls) != 1 || calls[0].Service != "bedrock" || calls[0].Region != "us-east-1" || calls[0].KeyID != "KEY-environment" {
			t.Errorf("%s: %+v", name, calls)
		}
	}
}

// TestWrongSecretShowsNoToken has a server that repeats headers in its answer, as AWS does.
func TestWrongSecretShowsNoToken(t *testing.T) {
	server := bedrockServer(t, false, http.StatusBadRequest, "ValidationException", "messages")
	env := oneKey(t, server).with("AWS_SECRET_ACCESS_KEY", "wrong", "AWS_SESSION_TOKEN", "pa55word")
	s := open(t, Options{Env: env.get, Bedrock: BedrockOptions{Region: "us-east-1", Endpoint: server.URL, Model: model}})
	_, err := (BedrockProbe{s}).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "InvalidSignatureException: the request signature we calculated does not match") || strings.Contains(err.Error(), "pa55word") {
		t.Errorf("%v", err)
	}
	if len(server.Calls()) != 0 {
		t.Error("a wrong signature was let pass")
	}
}

// TestRoleWinsOverABearerToken sets the token in the process' own environment too, where the SDK would find it by itself.
func TestRoleWinsOverABearerToken(t *testing.T) {
	t.Setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer")
	server := bedrockServer(t, true, http.StatusBadRequest, "ValidationException", "messages")
	server.KnowBearer("bearer")
	k := keysOf("container")
	server.Know(k.ID, k.Secret, k.Token)
	env := oneKey(t, server).with("AWS_BEARER_TOKEN_BEDROCK", "bearer", "AWS_CONTAINER_CREDENTIALS_FULL_URI", containerServer(t, "")+"/v1/credentials",
		"AWS_CA_BUNDLE", certificate(t, server))
	for _, want := range []struct{ source, key, bearer string }{
		{"IAM role (container)", k.ID, ""},
		{"environment (AWS_BEARER_TOKEN_BEDROCK)", "", "bearer"},
		{"environment (AWS_ACCESS_KEY_ID)", keysOf("environment").ID, ""},
	} {
		s := open(t, Options{Env: env.get, Bedrock: BedrockOptions{Endpoint: server.URL, Model: model}})
		f, err := (BedrockProbe{s}).Check(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", want.source, err)
		}
		calls := server.Calls()
		if last := calls[len(calls)-1]; f.Source != want.source || last.KeyID != want.key || last.Bearer != want.bearer {
			t.Errorf("%+v %+v", f, last)
		}
		if want.bearer == "" {
			delete(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
		} else {
			delete(env, "AWS_BEARER_TOKEN_BEDROCK")
		}
	}
}

func TestBearerTokenIsNothingForS3(t *testing.T) {
	s := open(t, Options{Env: bare(t).with("AWS_BEARER_TOKEN_BEDROCK", "bearer").get, Region: "r", S3: S3Options{Bucket: "b"}})
	if _, err := s.S3(t.Context()); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// TestTroubleWithCredentialsIsDegraded has keys that still hold and a source that gives no new ones.
func TestTroubleWithCredentialsIsDegraded(t *testing.T) {
	store, models := s3Server(t, false, nil), bedrockServer(t, false, http.StatusBadRequest, "ValidationException", "messages")
	s := open(t, Options{
		Env: oneKey(t, store, models).get, S3: S3Options{Bucket: "pages-bucket", Prefix: "pages/", Endpoint: store.URL},
		Bedrock: BedrockOptions{Endpoint: models.URL, Model: model},
	})
	objects, err := s.S3(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	calls, err := s.Bedrock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Credentials{objects.Credentials, calls.Credentials} {
		c.renewal.failed, c.renewal.fault, c.renewal.expires = time.Unix(60, 0), errors.New("no route"), time.Unix(120, 0)
	}
	for _, p := range []Probe{S3Probe{s}, BedrockProbe{s}} {
		const want = "credentials from environment (AWS_ACCESS_KEY_ID) could not be renewed at 1970-01-01 00:01:00Z (no route); those in use end at 1970-01-01 00:02:00Z"
		if f, err := p.Check(t.Context()); err != nil || f.Degraded != want {
			t.Errorf("%s: %+v %v", p.Name(), f, err)
		}
	}
}

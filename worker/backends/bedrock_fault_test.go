package backends

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/pipelines/ai"
	"flowgate/worker/provider"
	"flowgate/worker/sessions"
)

func TestExceptionsOfBedrockHaveTheirClass(t *testing.T) {
	for _, test := range []struct {
		reply     provider.Reply
		class     ai.Class
		code      string
		elsewhere bool
	}{
		{provider.Reply{Outcome: provider.RateLimited}, ai.ClassRateLimited, "ThrottlingException", false},
		{provider.Reply{Outcome: provider.NotReady}, ai.ClassRateLimited, "ModelNotReadyException", false},
		{provider.Reply{Outcome: provider.Quota}, ai.ClassQuota, "ServiceQuotaExceededException", false},
		{provider.Reply{Outcome: provider.Overloaded}, ai.ClassOverloaded, "ServiceUnavailableException", false},
		{provider.Reply{Outcome: provider.Failed}, ai.ClassTransient, "InternalServerException", false},
		{provider.Reply{Outcome: provider.Timeout}, ai.ClassTransient, "ModelTimeoutException", false},
		{provider.Reply{Outcome: provider.ModelError}, ai.ClassTransient, "ModelErrorException", false},
		{provider.Reply{Outcome: provider.ModelError, Original: 500}, ai.ClassTransient, "ModelErrorException", false},
		{provider.Reply{Outcome: provider.ModelError, Original: 503}, ai.ClassOverloaded, "ModelErrorException", false},
		{provider.Reply{Outcome: provider.ModelError, Original: 429}, ai.ClassRateLimited, "ModelErrorException", false},
		{provider.Reply{Outcome: provider.ModelError, Original: 400}, ai.ClassInvalid, "ModelErrorException", false},
		{provider.Reply{Outcome: provider.Forbidden}, ai.ClassAuth, "AccessDeniedException", false},
		{provider.Reply{Outcome: provider.Forbidden, Message: "You don't have access to the model with the specified model ID."}, ai.ClassInvalid, "AccessDeniedException", true},
		{provider.Reply{Outcome: provider.Auth}, ai.ClassAuth, "UnrecognizedClientException", false},
		{provider.Reply{Outcome: provider.ExpiredToken}, ai.ClassAuth, "ExpiredTokenException", false},
		{provider.Reply{Outcome: provider.ClockSkew}, ai.ClassAuth, codeClock, false},
		{provider.Reply{Outcome: provider.ClockSkew, Message: "The request signature we calculated does not match"}, ai.ClassAuth, "InvalidSignatureException", false},
		{provider.Reply{Outcome: provider.Invalid}, ai.ClassInvalid, "ValidationException", false},
		{provider.Reply{Outcome: provider.Invalid, Message: "The provided model identifier is invalid."}, ai.ClassInvalid, "ValidationException", true},
		{provider.Reply{Outcome: provider.Invalid, Message: "This model doesn't support tool use."}, ai.ClassInvalid, "ValidationException", true},
		{provider.Reply{Outcome: provider.Missing, Message: "This model version has reached the end of its life."}, ai.ClassInvalid, "ResourceNotFoundException", true},
		{provider.Reply{Outcome: provider.Conflict}, ai.ClassInvalid, "ConflictException", false},
		{provider.Reply{Outcome: provider.TooLarge}, ai.ClassInvalid, "413", false},
		{provider.Reply{Outcome: provider.BadGateway}, ai.ClassTransient, "502", false},
		{provider.Reply{Outcome: provider.Failed, Code: "SecretlyNewException"}, ai.ClassTransient, "500", false},
		{provider.Reply{Outcome: provider.Invalid, Code: "aws.shapes#ThrottlingException"}, ai.ClassRateLimited, "ThrottlingException", false},
	} {
		s := pretended(t, provider.Options{Script: func(provider.Ask) provider.Reply {
			r := test.reply
			r.RetryAfter, r.RetryForm = 3*time.Second, provider.RetrySeconds
			return r
		}})
		_, err := bedrockAt(t, s.Root(), environment(t)).Call(t.Context(), onBedrock("exception"))
		fault := faultOf(t, err)
		if fault.Class != test.class || fault.Code != test.code || fault.Elsewhere != test.elsewhere || fault.RetryAfter != 3*time.Second {
			t.Errorf("%s %q: %+v", test.reply.Outcome, test.reply.Message, fault)
		}
		if n := len(s.Seen("acme/exception")); n != 1 {
			t.Errorf("%s: the SDK made %d calls", test.reply.Outcome, n)
		}
		if said := fmt.Sprintf("%v %+v", err, fault); strings.Contains(said, "wisteria") || strings.Contains(said, "fake provider answers") {
			t.Errorf("%s: the provider's message is repeated: %s", test.reply.Outcome, said)
		}
	}
}

func TestExceptionInTheDocumentAlone(t *testing.T) {
	for body, want := range map[string]string{
		`{"__type":"com.amazon#ThrottlingException","message":"m"}`: "ThrottlingException",
		`{"code":"ThrottlingException"}`:                            "ThrottlingException",
		`{"Message":"m"}`:                                           "418",
		`[`:                                                         "418",
	} {
		s := pretended(t, provider.Options{Script: func(provider.Ask) provider.Reply {
			return provider.Reply{Outcome: provider.Raw, Status: http.StatusTeapot, Body: body}
		}})
		_, err := bedrockAt(t, s.Root(), environment(t)).Call(t.Context(), onBedrock("document"))
		if fault := faultOf(t, err); fault.Code != want {
			t.Errorf("%s: %+v", body, fault)
		}
	}
}

// TestClocksThatDifferAreHealedByTheNextCall has a provider whose clock is ten minutes ahead, or behind. The first call is refused, and
// the next is signed by the provider's clock.
func TestClocksThatDifferAreHealedByTheNextCall(t *testing.T) {
	for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		s := pretended(t, provider.Options{Now: func() time.Time { return time.Now().Add(off) }})
		b := bedrockAt(t, s.Root(), environment(t))
		_, err := b.Call(t.Context(), onBedrock("skewed"))
		if fault := faultOf(t, err); fault.Class != ai.ClassTransient || fault.Code != codeClock || !strings.Contains(fault.Detail, "10m0s") && !strings.Contains(fault.Detail, "9m59s") && !strings.Contains(fault.Detail, "10m1s") {
			t.Errorf("%s: %+v", off, fault)
		}
		if _, err := b.Call(t.Context(), onBedrock("skewed")); err != nil {
			t.Errorf("%s: the clocks were not reconciled: %v", off, err)
		}
	}
}

// TestAWrongSecretIsNoClock has clocks that agree.
func TestAWrongSecretIsNoClock(t *testing.T) {
	s := pretended(t, provider.Options{})
	b := bedrockAt(t, s.Root(), environment(t, "AWS_SECRET_ACCESS_KEY", "pa55word"))
	for range 2 {
		_, err := b.Call(t.Context(), onBedrock("wrong"))
		fault := faultOf(t, err)
		if fault.Class != ai.ClassAuth || fault.Code != "InvalidSignatureException" || strings.Contains(fmt.Sprintf("%+v", fault), "pa55word") {
			t.Errorf("%+v", fault)
		}
	}
}

// roleEndpoint is the endpoint of a container's role. It counts how often it gave a key.
type roleEndpoint struct {
	*httptest.Server

	keys   atomic.Pointer[provider.AWSKey]
	given  atomic.Int64
	broken atomic.Bool
}

func newRoleEndpoint(t *testing.T) *roleEndpoint {
	t.Helper()
	r := &roleEndpoint{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if r.broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		r.given.Add(1)
		k := r.keys.Load()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"AccessKeyId": k.ID, "SecretAccessKey": k.Secret, "Token": k.Token, "Expiration": time.Now().Add(time.Hour).UTC(),
		})
	}))
	t.Cleanup(r.Close)
	return r
}

// TestCredentialsThatEndInTheMiddleAreRenewed has a role whose credentials are taken back while calls are made with them.
func TestCredentialsThatEndInTheMiddleAreRenewed(t *testing.T) {
	role := newRoleEndpoint(t)
	old, fresh := provider.AWSKey{ID: "ASIAOLD", Secret: "old", Token: "t1"}, provider.AWSKey{ID: "ASIANEW", Secret: "new", Token: "t2"}
	role.keys.Store(&old)
	s := pretended(t, provider.Options{AWS: []provider.AWSKey{old}})
	b := bedrockAt(t, s.Root(), environment(t, "AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL+"/v1/credentials"))
	if _, err := b.Call(t.Context(), onBedrock("before")); err != nil {
		t.Fatal(err)
	}
	old.Expires = time.Now().Add(-time.Second)
	s.SetKeys("", old, fresh)
	role.keys.Store(&fresh)
	var calls sync.WaitGroup
	var renewed atomic.Int64
	for i := range 32 {
		calls.Go(func() {
			_, err := b.Call(t.Context(), onBedrock(fmt.Sprintf("ended-%d", i)))
			if err == nil { // another call's renewal came before it
				return
			}
			fault := faultOf(t, err)
			if fault.Class != ai.ClassTransient || fault.Code != "ExpiredTokenException" || !strings.Contains(fault.Detail, "were renewed") {
				t.Errorf("%+v", fault)
			}
			renewed.Add(1)
			if _, err := b.Call(t.Context(), onBedrock(fmt.Sprintf("again-%d", i))); err != nil {
				t.Errorf("the renewed credentials are not used: %v", err)
			}
		})
	}
	calls.Wait()
	if renewed.Load() == 0 || role.given.Load() > 4 {
		t.Errorf("%d calls were refused, and the role was asked %d times", renewed.Load(), role.given.Load())
	}
}

func TestCredentialsThatEndAndCannotBeRenewedAreRefused(t *testing.T) {
	role := newRoleEndpoint(t)
	key := provider.AWSKey{ID: "ASIAOLD", Secret: "old", Token: "t1"}
	role.keys.Store(&key)
	s := pretended(t, provider.Options{AWS: []provider.AWSKey{key}})
	b := bedrockAt(t, s.Root(), environment(t, "AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL+"/v1/credentials"))
	if _, err := b.Call(t.Context(), onBedrock("before")); err != nil {
		t.Fatal(err)
	}
	key.Expires = time.Now().Add(-time.Second)
	s.SetKeys("", key)
	role.broken.Store(true)
	_, err := b.Call(t.Context(), onBedrock("after"))
	if fault := faultOf(t, err); fault.Class != ai.ClassAuth || fault.Code != "ExpiredTokenException" || !strings.Contains(fault.Detail, "gives no others") {
		t.Errorf("%+v", fault)
	}
}

func TestWithoutCredentialsNothingIsSent(t *testing.T) {
	s := pretended(t, provider.Options{})
	for name, env := range map[string]func(string) (string, bool){
		"none":   environment(t, "AWS_ACCESS_KEY_ID", "", "AWS_SECRET_ACCESS_KEY", ""),
		"half":   environment(t, "AWS_SECRET_ACCESS_KEY", ""),
		"a role": environment(t, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"),
	} {
		_, err := bedrockAt(t, s.Root(), env).Call(t.Context(), onBedrock("without"))
		if fault := faultOf(t, err); fault.Class != ai.ClassAuth || fault.Code != codeCredentials {
			t.Errorf("%s: %+v", name, fault)
		}
	}
	if len(s.Calls()) != 0 {
		t.Error("a call was sent without credentials")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := bedrockAt(t, s.Root(), environment(t)).Call(ctx, onBedrock("ended"))
	if fault := faultOf(t, err); fault.Class != ai.ClassTransient || fault.Code != "cancelled" {
		t.Errorf("%+v", fault)
	}
}

func TestBedrockTakesABearerToken(t *testing.T) {
	s := pretended(t, provider.Options{Key: "bedrock-api-key-1"})
	front := overTLS(t, s.Root())
	env := environment(t, "AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-1", "AWS_CA_BUNDLE", certificateOf(t, front))
	if _, err := bedrockAt(t, front.URL, env).Call(t.Context(), onBedrock("bearer")); err != nil {
		t.Fatal(err)
	}
	s.SetKeys("another")
	_, err := bedrockAt(t, front.URL, env).Call(t.Context(), onBedrock("refused"))
	if fault := faultOf(t, err); fault.Class != ai.ClassAuth || strings.Contains(fmt.Sprintf("%+v", fault), "bedrock-api-key") {
		t.Errorf("%+v", fault)
	}
}

// overTLS is a front with a certificate of its own.
func overTLS(t *testing.T, root string) *httptest.Server {
	t.Helper()
	back, err := url.Parse(root)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(back)
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(front.Close)
	return front
}

// certificateOf writes that of a server into a file.
func certificateOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLSOfAStrangerIsRefusedBeforeAnythingIsSent(t *testing.T) {
	s := pretended(t, provider.Options{})
	front := overTLS(t, s.Root())
	for name, endpoint := range map[string]string{
		"a stranger's certificate": front.URL,
		"no TLS at all":            strings.Replace(s.Root(), "http://", "https://", 1),
	} {
		_, err := bedrockAt(t, endpoint, environment(t)).Call(t.Context(), onBedrock("tls"))
		if fault := faultOf(t, err); fault.Class != ai.ClassTransient || fault.Code != "tls" {
			t.Errorf("%s: %+v", name, fault)
		}
	}
	if len(s.Calls()) != 0 {
		t.Error("a call came through")
	}
}

func TestTroubleOfBedrocksAnswersIsInDoubt(t *testing.T) {
	for outcome, code := range map[provider.Outcome][]string{
		provider.Cut:       {"reset", "eof"},
		provider.Half:      {"half_answer", "eof"},
		provider.Garbage:   {badJSON},
		provider.EmptyBody: {badJSON},
		provider.Huge:      {"too_large"},
		provider.Endless:   {"timeout"},
	} {
		s := pretended(t, provider.Options{Script: func(provider.Ask) provider.Reply { return provider.Reply{Outcome: outcome} }})
		b := bedrockAt(t, s.Root(), environment(t), func(o *BedrockOptions) {
			o.MaxResponseBytes = 1 << 20
			if outcome == provider.Endless {
				o.Timeout = 300 * time.Millisecond
			}
		})
		_, err := b.Call(t.Context(), onBedrock("trouble"))
		if fault := faultOf(t, err); fault.Class != ai.ClassInDoubt || !slices.Contains(code, fault.Code) {
			t.Errorf("%s: %+v", outcome, fault)
		}
		if n := len(s.Seen("acme/trouble")); n != 1 {
			t.Errorf("%s: %d calls", outcome, n)
		}
	}
	for _, outcome := range []provider.Outcome{provider.NoUsage, provider.NegativeUsage, provider.AbsurdUsage, provider.ZeroUsage} {
		s := pretended(t, provider.Options{Script: func(provider.Ask) provider.Reply { return provider.Reply{Outcome: outcome} }})
		got, err := bedrockAt(t, s.Root(), environment(t)).Call(t.Context(), onBedrock("usage"))
		if err != nil || !got.UsageUnknown || got.Text == "" {
			t.Errorf("%s: %+v %v", outcome, got, err)
		}
	}
	s := pretended(t, provider.Options{Script: func(provider.Ask) provider.Reply { return provider.Reply{Outcome: provider.ErrorIn200} }})
	_, err := bedrockAt(t, s.Root(), environment(t)).Call(t.Context(), onBedrock("inside"))
	if fault := faultOf(t, err); fault.Class != ai.ClassInDoubt {
		t.Errorf("%+v", fault)
	}
}

func TestSessionIsAskedAtEveryCall(t *testing.T) {
	s := pretended(t, provider.Options{})
	whole := bedrockAt(t, s.Root(), environment(t))
	asked := 0
	b := bedrockAt(t, s.Root(), environment(t), func(o *BedrockOptions) {
		o.Session = func(ctx context.Context) (*sessions.Bedrock, error) {
			asked++
			if asked == 1 {
				return nil, &sessions.NoCredentialsError{}
			}
			return whole.options.Session(ctx)
		}
	})
	if _, err := b.Call(t.Context(), onBedrock("first")); faultOf(t, err).Class != ai.ClassAuth {
		t.Error(err)
	}
	if _, err := b.Call(t.Context(), onBedrock("second")); err != nil {
		t.Error(err)
	}
}

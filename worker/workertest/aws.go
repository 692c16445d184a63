package workertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// AWS is a server that lets calls pass whose signature (version 4) the SDK's own signer makes too, or whose bearer token it
// knows, and refuses all others as AWS does.
type AWS struct {
	*httptest.Server

	mu    sync.Mutex
	keys  map[string]aws.Credentials
	token string
	calls []AWSCall
}

// AWSCall is a call that was let pass: for which region and service it was signed, and with which key.
type AWSCall struct{ Method, Path, KeyID, Region, Service, Bearer string }

// NewAWS starts a server for a handler, over TLS with a certificate of its own where secure is true; it stops when the test
// ends.
func NewAWS(t testing.TB, secure bool, handler http.HandlerFunc) *AWS {
	t.Helper()
	a := &AWS{keys: map[string]aws.Credentials{}}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call, err := a.authorise(r)
		if err != nil {
			RefuseAWS(w, r, http.StatusForbidden, "InvalidSignatureException", err.Error()+"\n\nThe Canonical String for this request should have been\n"+
				"x-amz-security-token:"+r.Header.Get("X-Amz-Security-Token"))
			return
		}
		a.mu.Lock()
		a.calls = append(a.calls, call)
		a.mu.Unlock()
		handler(w, r)
	}))
	if secure {
		a.StartTLS()
	} else {
		a.Start()
	}
	t.Cleanup(a.Close)
	return a
}

// Know makes a key valid.
func (a *AWS) Know(id, secret, token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys[id] = aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}
}

// KnowBearer makes a bearer token valid.
func (a *AWS) KnowBearer(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = token
}

// Calls are those that were let pass, oldest first.
func (a *AWS) Calls() []AWSCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]AWSCall(nil), a.calls...)
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=[0-9a-f]{64}$`)

func (a *AWS) authorise(r *http.Request) (AWSCall, error) {
	call := AWSCall{Method: r.Method, Path: r.URL.Path}
	header := r.Header.Get("Authorization")
	a.mu.Lock()
	bearer := a.token
	a.mu.Unlock()
	if given, isBearer := strings.CutPrefix(header, "Bearer "); isBearer {
		if bearer == "" || given != bearer {
			return call, fmt.Errorf("the bearer token is not known")
		}
		call.Bearer = given
		return call, nil
	}
	parts := authorization.FindStringSubmatch(header)
	if parts == nil {
		return call, fmt.Errorf("the call is not signed")
	}
	call.KeyID, call.Region, call.Service = parts[1], parts[2], parts[3]
	a.mu.Lock()
	keys, known := a.keys[call.KeyID]
	a.mu.Unlock()
	if !known {
		return call, fmt.Errorf("the security token included in the request is invalid")
	}
	return call, verify(r, keys, call, strings.Split(parts[4], ";"))
}

// verify signs what was received once more and compares.
func verify(r *http.Request, keys aws.Credentials, call AWSCall, signed []string) error {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return fmt.Errorf("reading the time of the signature: %w", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if given := r.Header.Get("X-Amz-Content-Sha256"); given != "" && given != hash {
		return fmt.Errorf("the body is not the one that was signed")
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	again.ContentLength = 0
	for _, name := range signed {
		if name == "content-length" {
			again.ContentLength = r.ContentLength
		} else if name != "host" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	err = v4.NewSigner().SignHTTP(r.Context(), keys, again, hash, call.Service, call.Region, at, func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = call.Service == "s3"
	})
	if err != nil {
		return err
	}
	if again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		return fmt.Errorf("the request signature we calculated does not match the signature you provided")
	}
	return nil
}

// RefuseAWS answers as S3 (XML) and the services with JSON do.
func RefuseAWS(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	if strings.Contains(r.Header.Get("Authorization"), "/s3/") {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message) // the client sees a short answer
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", code)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message":%q}`, message) // the same
}

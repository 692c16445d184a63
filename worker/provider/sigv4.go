package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// maxSkew is how far the time of a signature may lie from ours.
const maxSkew = 5 * time.Minute

const awsTime = "20060102T150405Z"

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?SignedHeaders=([^,]+), ?Signature=[0-9a-f]{64}$`)

// signed lets calls pass whose signature (version 4) the SDK's own signer makes too, or whose bearer token is the key, and says
// of all others what AWS says.
func (k *keyring) signed(r *http.Request, body []byte, now time.Time) *fault {
	header := r.Header.Get("Authorization")
	if strings.HasPrefix(header, "Bearer ") {
		if !k.takes(bearer(r)) {
			return &fault{Forbidden, "The bearer token is not valid."}
		}
		return nil
	}
	if header == "" {
		return &fault{Auth, "Missing Authentication Token"}
	}
	parts := authorization.FindStringSubmatch(header)
	if parts == nil {
		return &fault{ClockSkew, "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter."}
	}
	key, known := k.find(parts[1])
	switch {
	case !known || key.Token != r.Header.Get("X-Amz-Security-Token"):
		return &fault{Auth, "The security token included in the request is invalid."}
	case !key.Expires.IsZero() && !now.Before(key.Expires):
		return &fault{ExpiredToken, "The security token included in the request is expired"}
	case parts[4] != "bedrock":
		return &fault{ClockSkew, "Credential should be scoped to correct service: 'bedrock'."}
	}
	at, err := time.Parse(awsTime, r.Header.Get("X-Amz-Date"))
	if err != nil || at.Format("20060102") != parts[2] {
		return &fault{ClockSkew, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"}
	}
	if f := skewed(at, now); f != nil {
		return f
	}
	return verify(r, body, key, parts, at)
}

func skewed(at, now time.Time) *fault {
	stamp := func(t time.Time) string { return t.UTC().Format(awsTime) }
	switch {
	case at.Before(now.Add(-maxSkew)):
		return &fault{ClockSkew, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)", stamp(at), stamp(now.Add(-maxSkew)), stamp(now))}
	case at.After(now.Add(maxSkew)):
		return &fault{ClockSkew, fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)", stamp(at), stamp(now.Add(maxSkew)), stamp(now))}
	}
	return nil
}

// verify signs what was received once more and compares.
func verify(r *http.Request, body []byte, key AWSKey, parts []string, at time.Time) *fault {
	wrong := &fault{ClockSkew, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if given := r.Header.Get("X-Amz-Content-Sha256"); given != "" && given != hash {
		return wrong
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.RequestURI, bytes.NewReader(body))
	if err != nil {
		return wrong
	}
	again.ContentLength = 0
	for name := range strings.SplitSeq(parts[5], ";") {
		switch name {
		case "content-length":
			again.ContentLength = r.ContentLength
		case "host":
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	credentials := aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret, SessionToken: key.Token}
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, again, hash, parts[4], parts[3], at); err != nil {
		return wrong
	}
	normal := func(s string) string { return strings.ReplaceAll(s, ", ", ",") }
	if normal(again.Header.Get("Authorization")) != normal(r.Header.Get("Authorization")) {
		return wrong
	}
	return nil
}

package sessions

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
)

// BedrockProbe calls the model without a message. Bedrock authorises the call, then refuses it as invalid, before a model
// runs and anything is billed.
type BedrockProbe struct{ Sessions *Sessions }

// Name makes it a Probe.
func (p BedrockProbe) Name() string { return "bedrock" }

// Check makes it a Probe.
func (p BedrockProbe) Check(ctx context.Context) (Finding, error) {
	client, err := p.Sessions.Bedrock(ctx)
	if err != nil {
		return Finding{}, err
	}
	model := p.Sessions.options.Bedrock.Model
	f := Finding{Source: client.Credentials.Source(), Detail: fmt.Sprintf("%s, authorised for %s", client.Region, model)}
	_, err = client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(model)})
	var api smithy.APIError
	errors.As(err, &api)
	switch status := httpStatus(err); {
	case err == nil:
		f.Degraded = "it accepted a call without messages, which Bedrock refuses: is the endpoint Bedrock's?"
	case api == nil:
		return f, hinted(err, "AWS_CA_BUNDLE")
	case status == http.StatusTooManyRequests:
		f.Degraded = "throttled: " + Printable(plain(err))
	case status != http.StatusBadRequest || api.ErrorCode() != "ValidationException":
		return f, plain(err)
	case BlamesModel(api.ErrorMessage()):
		return f, fmt.Errorf("model %s: %w", model, plain(err))
	}
	if f.Degraded == "" {
		f.Degraded = client.Credentials.trouble()
	}
	return f, nil
}

// BlamesModel tells a refusal of the model, or of what it cannot do, from one of what it was asked.
func BlamesModel(message string) bool {
	message = strings.ToLower(message)
	for _, part := range []string{"model identifier", "on-demand throughput", "end of its life", "inference profile", "doesn't support", "not supported"} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}

func isUnknownAuthority(err error) bool {
	var unknown x509.UnknownAuthorityError
	var unverified *tls.CertificateVerificationError
	return errors.As(err, &unknown) || errors.As(err, &unverified)
}

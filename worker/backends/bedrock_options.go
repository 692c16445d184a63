package backends

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"flowgate/worker/sessions"
)

// BedrockName is the name of the Bedrock backend.
const BedrockName = "bedrock"

// What cohere.embed models are told that texts are for.
const (
	InputDocument = "search_document"
	InputQuery    = "search_query"
)

// BedrockOptions configure the Bedrock backend. Region, endpoint, credentials and the way there are the session's.
type BedrockOptions struct {
	// Session gives the client of the Bedrock runtime, as (*sessions.Sessions).Bedrock does. It is asked at every call.
	Session func(context.Context) (*sessions.Bedrock, error)
	// GuardrailID is the id or ARN of a guardrail that every prompt passes; GuardrailVersion is its version, a number or DRAFT.
	GuardrailID, GuardrailVersion string
	// ServiceTier is default, priority, flex or reserved; left out Bedrock decides, which is default. It changes what a call costs.
	ServiceTier string
	// EmbeddingInput is what cohere.embed models are told that texts are for: search_document (left out), search_query, classification or
	// clustering.
	EmbeddingInput string
	// Timeout bounds one call, from looking for credentials to the answer's last byte; left out it is DefaultTimeout.
	Timeout time.Duration
	// MaxResponseBytes bounds an answer's body, in bytes; left out it is DefaultMaxResponseBytes.
	MaxResponseBytes int64
}

var (
	guardrailID      = regexp.MustCompile(`^([a-z0-9]+|arn:aws(-[a-z]+)*:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail(-profile)?/[a-z0-9.:-]+)$`)
	guardrailVersion = regexp.MustCompile(`^([1-9][0-9]{0,7}|DRAFT)$`)
)

// maxGuardrailID is what Bedrock takes, in bytes.
const maxGuardrailID = 2048

// Validate names every option that is wrong.
func (o BedrockOptions) Validate() error {
	errs := optionErrors{backend: BedrockName}
	if o.Session == nil {
		errs.add("session", "is required")
	}
	switch {
	case (o.GuardrailID == "") != (o.GuardrailVersion == ""):
		errs.add("guardrail_id", "goes together with guardrail_version; one of them is missing")
	case o.GuardrailID == "":
	case len(o.GuardrailID) > maxGuardrailID || !guardrailID.MatchString(o.GuardrailID):
		errs.add("guardrail_id", "must be the id or the ARN of a guardrail")
	case !guardrailVersion.MatchString(o.GuardrailVersion):
		errs.add("guardrail_version", "must be a number from 1 on, or DRAFT")
	}
	if tiers := types.ServiceTierType("").Values(); o.ServiceTier != "" && !slices.Contains(tiers, types.ServiceTierType(o.ServiceTier)) {
		words := make([]string, len(tiers))
		for i, tier := range tiers {
			words[i] = string(tier)
		}
		errs.add("service_tier", "must be %s or empty, is %q", strings.Join(words, ", "), o.ServiceTier)
	}
	switch o.EmbeddingInput {
	case "", InputDocument, InputQuery, "classification", "clustering":
	default:
		errs.add("embedding_input", "must be %s, %s, classification, clustering or empty, is %q", InputDocument, InputQuery, o.EmbeddingInput)
	}
	if o.Timeout < 0 {
		errs.add("timeout", "must not be negative; left out it is the default")
	}
	if o.MaxResponseBytes < 0 {
		errs.add("max_response_bytes", "must not be negative; left out it is the default")
	}
	return errs.join()
}

func (o BedrockOptions) withDefaults() BedrockOptions {
	if o.EmbeddingInput == "" {
		o.EmbeddingInput = InputDocument
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxResponseBytes == 0 {
		o.MaxResponseBytes = DefaultMaxResponseBytes
	}
	return o
}

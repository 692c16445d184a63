package provider

import (
	"fmt"
	"net/http"
)

// word is how a protocol words an outcome: the status, and the type and code of its document.
type word struct {
	status     int
	kind, code string
}

// words finds an outcome's word; of one that a protocol has none for, its kin's.
func words(table map[Outcome]word, o Outcome) word {
	kin := map[Outcome]Outcome{
		Unavailable: Overloaded, Timeout: Failed, Billing: Quota, Forbidden: Auth, ExpiredToken: Auth, ClockSkew: Auth, Missing: Invalid,
		TooLarge: Invalid, Conflict: Invalid, FilteredInput: Invalid, NotReady: RateLimited, ModelError: Failed, ErrorIn200: Failed,
		FailedIn200: Failed,
	}
	for range len(kin) {
		if w, ok := table[o]; ok {
			return w
		}
		next, ok := kin[o]
		if !ok {
			break
		}
		o = next
	}
	return table[Failed]
}

var anthropicWords = map[Outcome]word{
	RateLimited: {429, "rate_limit_error", ""}, Quota: {429, "rate_limit_error", "enforced_spend_limit_reached"}, Billing: {402, "billing_error", ""},
	Overloaded: {529, "overloaded_error", ""}, Unavailable: {503, "api_error", ""}, Failed: {500, "api_error", ""}, Timeout: {504, "timeout_error", ""},
	Auth: {401, "authentication_error", ""}, Forbidden: {403, "permission_error", ""}, Invalid: {400, "invalid_request_error", ""},
	Missing: {404, "not_found_error", ""}, TooLarge: {413, "request_too_large", ""}, Conflict: {409, "conflict_error", ""},
}

func (anthropic) refuse(h http.Header, o Outcome, r *Reply, message string) (int, any) {
	w := words(anthropicWords, o)
	if r.Code != "" {
		w.kind = r.Code
	}
	if o == FilteredInput {
		message = "Output blocked by content filtering policy"
	}
	inner := map[string]any{"type": w.kind, "message": message}
	if w.code != "" {
		inner["details"] = map[string]any{"error_code": w.code}
	}
	h.Set("Request-Id", "req_fake_refused")
	return w.status, map[string]any{"type": "error", "error": inner, "request_id": "req_fake_refused"}
}

var openaiWords = map[Outcome]word{
	RateLimited: {429, "requests", "rate_limit_exceeded"}, Quota: {429, "insufficient_quota", "insufficient_quota"},
	Billing: {429, "insufficient_quota", "credit_balance_exhausted"}, Overloaded: {503, "server_error", "server_is_overloaded"},
	Unavailable: {503, "server_error", ""}, Failed: {500, "server_error", ""}, Timeout: {504, "server_error", ""},
	Auth: {401, "invalid_request_error", "invalid_api_key"}, Forbidden: {403, "permission_error", "insufficient_permissions"},
	Invalid: {400, "invalid_request_error", "invalid_value"}, Missing: {404, "invalid_request_error", "model_not_found"},
	TooLarge: {413, "invalid_request_error", ""}, Conflict: {409, "invalid_request_error", ""},
	FilteredInput: {400, "invalid_request_error", "content_filter"},
}

// refuseOpenAI is the error of all OpenAI's protocols.
func refuseOpenAI(h http.Header, o Outcome, r *Reply, message string) (int, any) {
	w := words(openaiWords, o)
	if r.Code != "" {
		w.code = r.Code
	}
	h.Set("X-Request-Id", "req_fake_refused")
	inner := map[string]any{"message": message, "type": w.kind, "param": nil, "code": nil}
	if w.code != "" {
		inner["code"] = w.code
	}
	return w.status, map[string]any{"error": inner}
}

var bedrockWords = map[Outcome]word{
	RateLimited: {429, "ThrottlingException", ""}, NotReady: {429, "ModelNotReadyException", ""}, Quota: {400, "ServiceQuotaExceededException", ""},
	Overloaded: {503, "ServiceUnavailableException", ""}, Failed: {500, "InternalServerException", ""}, Timeout: {408, "ModelTimeoutException", ""},
	Auth: {403, "UnrecognizedClientException", ""}, Forbidden: {403, "AccessDeniedException", ""}, ExpiredToken: {403, "ExpiredTokenException", ""},
	ClockSkew: {403, "InvalidSignatureException", ""}, Invalid: {400, "ValidationException", ""}, Missing: {404, "ResourceNotFoundException", ""},
	Conflict: {400, "ConflictException", ""}, ModelError: {424, "ModelErrorException", ""}, TooLarge: {413, "RequestEntityTooLargeException", ""},
}

// refuseBedrock is the error of Bedrock: its type stands in a header, and only the message in the document.
func refuseBedrock(h http.Header, o Outcome, r *Reply, message string) (int, any) {
	w := words(bedrockWords, o)
	if r.Code != "" {
		w.kind = r.Code
	}
	h.Set("X-Amzn-Requestid", "fake-refused")
	h.Set("X-Amzn-Errortype", w.kind+":http://internal.amazon.com/coral/com.amazon.bedrock/")
	doc := map[string]any{"message": message}
	if o == ModelError {
		doc["originalStatusCode"], doc["resourceName"] = r.Original, "fake"
	}
	if o == ClockSkew && r.Message == "" {
		doc["message"] = "Signature expired: 20200101T000000Z is now earlier than 20200101T000500Z (20200101T001000Z - 5 min.)"
	}
	return w.status, doc
}

// refuse words an error as FastAPI does. MLflow passes the status of the provider behind it on.
func (mlflow) refuse(_ http.Header, o Outcome, r *Reply, message string) (int, any) {
	w := words(openaiWords, o)
	switch o { //nolint:exhaustive // the others are told by their status
	case Quota, Billing:
		message = "Request rejected: budget limit exceeded"
	case Auth:
		message = "Not authenticated"
	case Invalid:
		if r.Code == "list" {
			return http.StatusUnprocessableEntity, map[string]any{"detail": []any{map[string]any{"loc": []any{"body", "messages"}, "msg": message, "type": "value_error"}}}
		}
	}
	if r.Code != "" {
		message = fmt.Sprintf("%s: %s", r.Code, message)
	}
	return w.status, map[string]any{"detail": message}
}

package backends

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"flowgate/pipelines/ai"
)

// told is what an error's body told. Its message is never kept: it may quote key, prompt or answer.
type told struct {
	Code, Type, Param string
	// noModel is true where the message says, in the words of servers that have no code for it, that there is no such model; blocked where it is
	// the one sentence of a content filter that has none.
	noModel, blocked bool
	// class is set where the provider's protocol has a class for Code, whatever the status.
	class ai.Class
}

// decodeTold reads {"error": {"code", "type", "param", "details": {"error_code"}}}, and the same fields without "error", as vLLM had
// them. Whatever else the body is, it told nothing.
func decodeTold(_ http.Header, body []byte) told {
	type fields struct {
		Code    json.RawMessage `json:"code"`
		Type    json.RawMessage `json:"type"`
		Param   json.RawMessage `json:"param"`
		Message json.RawMessage `json:"message"`
		Details json.RawMessage `json:"details"`
	}
	var outer struct {
		fields

		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &outer); err != nil {
		return told{}
	}
	f := outer.fields
	if len(outer.Error) > 0 && string(outer.Error) != "null" {
		f = fields{}
		if err := json.Unmarshal(outer.Error, &f); err != nil {
			return told{noModel: saysNoModel(textOf(outer.Error))}
		}
	}
	t := told{Code: textOf(f.Code), Type: textOf(f.Type), Param: textOf(f.Param)}
	var details struct {
		Code json.RawMessage `json:"error_code"`
	}
	if json.Unmarshal(f.Details, &details) == nil && t.Code == "" {
		t.Code = textOf(details.Code)
	}
	t.read(textOf(f.Message))
	return t
}

// read takes from a message what has no code.
func (t *told) read(message string) {
	t.noModel, t.blocked = saysNoModel(message), message == blockedMessage
}

// blockedMessage is all that Anthropic says where its filter refuses.
const blockedMessage = "Output blocked by content filtering policy"

// noModel is how servers say that there is no such model, or that it cannot do what is asked.
var noModel = regexp.MustCompile(`(?i)\bmodel\b.{0,300}\b(not found|does not exist|not exist|not supported|not available)\b|\b(deprecated|unsupported|not supported) (for|by|with) this model\b`)

func saysNoModel(message string) bool {
	return noModel.MatchString(message[:min(len(message), maxMessage)])
}

// maxMessage bounds how much of a message is looked at, in bytes.
const maxMessage = 1024

// textOf is a string of JSON as text, else "". Numbers repeat the status.
func textOf(raw json.RawMessage) string {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return ""
	}
	return text
}

// deciding are the codes and types that decide the class, whatever the status.
var deciding = map[string]ai.Class{
	"insufficient_quota":         ai.ClassQuota,
	"credit_balance_exhausted":   ai.ClassQuota,
	"billing_hard_limit_reached": ai.ClassQuota,
	"billing_not_active":         ai.ClassQuota,
	"slow_down":                  ai.ClassOverloaded,
	"server_is_overloaded":       ai.ClassOverloaded,
	"engine_overloaded":          ai.ClassOverloaded,
	"rate_limit_exceeded":        ai.ClassRateLimited,
	"invalid_api_key":            ai.ClassAuth,
	"model_not_found":            ai.ClassInvalid,
	"context_length_exceeded":    ai.ClassInvalid,

	"enforced_spend_limit_reached": ai.ClassQuota,
	"billing_error":                ai.ClassQuota,
	"overloaded_error":             ai.ClassOverloaded,

	codeBudget: ai.ClassQuota,
}

// late are the codes and types that decide the class of an error that comes with a good status: what they name cannot have been billed.
var late = map[string]ai.Class{
	"rate_limit_error": ai.ClassRateLimited, "authentication_error": ai.ClassAuth, "permission_error": ai.ClassAuth, "not_found_error": ai.ClassInvalid,
	"invalid_request_error": ai.ClassInvalid, "request_too_large": ai.ClassInvalid, "invalid_prompt": ai.ClassInvalid, "invalid_image": ai.ClassInvalid,
	"invalid_image_format": ai.ClassInvalid, "invalid_base64_image": ai.ClassInvalid, "invalid_image_url": ai.ClassInvalid,
	"invalid_image_mode": ai.ClassInvalid, "image_too_large": ai.ClassInvalid, "image_too_small": ai.ClassInvalid, "image_parse_error": ai.ClassInvalid,
	"image_file_too_large": ai.ClassInvalid, "unsupported_image_media_type": ai.ClassInvalid, "empty_image_file": ai.ClassInvalid,
	"failed_to_download_image": ai.ClassInvalid, "image_file_not_found": ai.ClassInvalid, "data_residency_mismatch": ai.ClassInvalid,
}

// absent are the codes and types of what another model or backend may have or can do.
var absent = map[string]bool{
	"model_not_found": true, "not_found_error": true, "NotFoundError": true, "unsupported_parameter": true, "unsupported_value": true,
	"data_residency_mismatch": true,
}

// telling are the other words of OpenAI, Ollama and vLLM that tell an operator something.
var telling = map[string]bool{
	"account_deactivated": true, "conflict_error": true, "timeout_error": true, "vector_store_timeout": true, "request_too_large": true,
	"insufficient_permissions": true, "api_error": true, "authentication_error": true, "BadRequestError": true, "empty_array": true,
	"integer_above_max_value": true, "InternalServerError": true, "invalid_organization": true, "invalid_prompt": true,
	"invalid_request_error": true, "invalid_type": true, "invalid_value": true, "ip_not_authorized": true,
	"missing_required_parameter": true, "not_found_error": true, "NotFoundError": true, "permission_error": true,
	"rate_limit_error": true, "requests": true, "server_error": true, "ServiceUnavailableError": true,
	"string_above_max_length": true, "tokens": true, "unknown_parameter": true, "unsupported_country_region_territory": true,
	"unsupported_parameter": true, "unsupported_value": true,
	codeNoRoute: true, noResource: true, "INVALID_PARAMETER_VALUE": true, "PERMISSION_DENIED": true, "UNAUTHENTICATED": true, "INTERNAL_ERROR": true,
	"TEMPORARILY_UNAVAILABLE": true,
}

// parameter is the name of what we send, and so of what can be wrong with it.
var parameter = regexp.MustCompile(`^(model|temperature|max_tokens|max_completion_tokens|messages(\[\d{1,4}\](\.(role|content|name))?)?)$`)

// filtering are the codes of content filters.
var filtering = map[string]bool{
	"content_filter": true, "content_policy_violation": true, "image_content_policy_violation": true, "bio_policy": true,
	"misalignment_policy_violation": true, codeGuardrail: true,
}

// filters tells whether a content filter refused the question, which is a result and no fault. Code is then the filter's.
func (t *told) filters() bool {
	if t.blocked {
		t.Code = "content_filter"
	}
	return filtering[t.Code]
}

// printable keeps the words that are known. Any other may be a piece of key, prompt or answer, whatever it looks like.
func (t told) printable() told {
	keep := func(word string) string {
		if word == t.Code && t.class != "" {
			return word
		}
		_, decides := deciding[word]
		if _, decidesLate := late[word]; decides || decidesLate || telling[word] {
			return word
		}
		return ""
	}
	t.Code, t.Type = keep(t.Code), keep(t.Type)
	if !parameter.MatchString(t.Param) {
		t.Param = ""
	}
	return t
}

// suffix is what was told beside the code, for a detail.
func (t told) suffix() string {
	var parts []string
	if t.Type != "" {
		parts = append(parts, "type "+t.Type)
	}
	if t.Param != "" {
		parts = append(parts, "param "+t.Param)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// statusFault is the fault that an answer with a status that is no success stands for. Code is the provider's own where it
// is a known one, else the status.
func statusFault(status int, t told) *ai.Fault {
	class := classOf(status, t)
	code := t.Code
	if code == "" {
		code = strconv.Itoa(status)
	}
	elsewhere := class == ai.ClassInvalid && (status == http.StatusNotFound || t.elsewhere())
	return &ai.Fault{Class: class, Code: code, Detail: sentences[class] + t.suffix(), Elsewhere: elsewhere}
}

// elsewhere tells whether the fault is that this provider has no such model, or that the model cannot do what is asked.
func (t told) elsewhere() bool {
	return absent[t.Code] || absent[t.Type] || t.noModel || t.Param == "model"
}

// insideFault is the fault of an answer with a good status that is none. It is classified by what it tells, and is in doubt where that
// may have been billed. wrong is what is wrong with it.
func insideFault(wrong string, t told) *ai.Fault {
	for _, word := range []string{t.Code, t.Type} {
		class, ok := deciding[word]
		if !ok {
			class, ok = late[word]
		}
		if word == t.Code && t.class != "" && t.class != ai.ClassTransient { // what fails late may have been billed
			class, ok = t.class, true
		}
		if ok {
			return &ai.Fault{Class: class, Code: word, Detail: sentences[class] + t.suffix(), Elsewhere: class == ai.ClassInvalid && t.elsewhere()}
		}
	}
	switch {
	case t.Code != "":
		wrong = t.Code
	case t.Type != "":
		wrong = t.Type
	case wrong == badJSON:
		return inDoubt(wrong, "the provider answered with something that is no answer", nil)
	}
	return inDoubt(wrong, "the provider answered without a message"+t.suffix(), nil)
}

// badJSON is the code of a body that is not what its protocol has.
const badJSON = "bad_json"

var sentences = map[ai.Class]string{
	ai.ClassRateLimited: "the provider limits the rate",
	ai.ClassOverloaded:  "the provider is overloaded",
	ai.ClassTransient:   "the provider failed",
	ai.ClassQuota:       "the provider's quota or credit is used up",
	ai.ClassAuth:        "the provider refused the credentials",
	ai.ClassInvalid:     "the provider refused the request as it is",
}

// classOf sorts by the provider's code or type where they decide, else by status.
func classOf(status int, t told) ai.Class {
	if t.class != "" {
		return t.class
	}
	for _, word := range []string{t.Code, t.Type} {
		if class, ok := deciding[word]; ok {
			return class
		}
	}
	switch status {
	case http.StatusTooManyRequests:
		return ai.ClassRateLimited
	case http.StatusServiceUnavailable, 529:
		return ai.ClassOverloaded
	case http.StatusRequestTimeout:
		return ai.ClassTransient
	case http.StatusPaymentRequired:
		return ai.ClassQuota
	case http.StatusUnauthorized, http.StatusForbidden:
		return ai.ClassAuth
	}
	if status >= http.StatusInternalServerError {
		return ai.ClassTransient
	}
	return ai.ClassInvalid
}

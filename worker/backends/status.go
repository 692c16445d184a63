package backends

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"flowgate/pipelines/ai"
)

// told is what an error's body told, of which the message is never read: it may quote key, prompt or answer.
type told struct {
	Code, Type, Param string
}

// decodeTold reads {"error": {"code", "type", "param"}}, and the same fields without "error", as vLLM had them. Whatever
// else the body is, it told nothing.
func decodeTold(body []byte) told {
	type fields struct {
		Code  json.RawMessage `json:"code"`
		Type  json.RawMessage `json:"type"`
		Param json.RawMessage `json:"param"`
	}
	var outer struct {
		fields

		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &outer); err != nil {
		return told{}
	}
	f := outer.fields
	if len(outer.Error) > 0 {
		f = fields{}
		if err := json.Unmarshal(outer.Error, &f); err != nil {
			return told{}
		}
	}
	return told{Code: textOf(f.Code), Type: textOf(f.Type), Param: textOf(f.Param)}
}

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
}

// telling are the other words of OpenAI, Ollama and vLLM that tell an operator something.
var telling = map[string]bool{
	"account_deactivated": true, "api_error": true, "authentication_error": true, "BadRequestError": true, "empty_array": true,
	"integer_above_max_value": true, "InternalServerError": true, "invalid_organization": true, "invalid_prompt": true,
	"invalid_request_error": true, "invalid_type": true, "invalid_value": true, "ip_not_authorized": true,
	"missing_required_parameter": true, "not_found_error": true, "NotFoundError": true, "permission_error": true,
	"rate_limit_error": true, "requests": true, "server_error": true, "ServiceUnavailableError": true,
	"string_above_max_length": true, "tokens": true, "unknown_parameter": true, "unsupported_country_region_territory": true,
	"unsupported_parameter": true, "unsupported_value": true,
}

// parameter is the name of what we send, and so of what can be wrong with it.
var parameter = regexp.MustCompile(`^(model|temperature|max_tokens|max_completion_tokens|messages(\[\d{1,4}\](\.(role|content|name))?)?)$`)

// filters tells whether a content filter refused the question, which is a result and no fault.
func (t told) filters() bool {
	return t.Code == "content_filter" || t.Code == "content_policy_violation"
}

// printable keeps the words that are known. Any other may be a piece of key, prompt or answer, whatever it looks like.
func (t told) printable() told {
	keep := func(word string) string {
		if _, known := deciding[word]; known || telling[word] {
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
	return &ai.Fault{Class: class, Code: code, Detail: sentences[class] + t.suffix()}
}

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

package backends

import (
	"encoding/json"
	"net/http"
	"regexp"
)

// mlflowChat and mlflowEmbeddings are what an exchange has to know of the gateway.
var (
	mlflowChat       = &protocol{requestIDs: []string{"X-Request-Id"}, told: toldByMLflow, whole: wholeChat}
	mlflowEmbeddings = &protocol{requestIDs: []string{"X-Request-Id"}, told: toldByMLflow, whole: wholeEmbeddings}
)

const (
	// codeNoRoute is the code where a route, or on the last one perhaps the endpoint, is not there.
	codeNoRoute = "no_route"
	// codeBudget is the code where a budget of the gateway is used up.
	codeBudget = "budget_exceeded"
	// codeGuardrail is the code where a guardrail of the gateway stepped in.
	codeGuardrail = "guardrail_blocked"
	// noResource is the gateway's own code for an endpoint that is not there.
	noResource = "RESOURCE_DOES_NOT_EXIST"
)

var (
	budget    = regexp.MustCompile(`(?i)\bbudget\b.{0,40}\bexceeded\b`)
	guardrail = regexp.MustCompile(`^Guardrail '.{0,256}?' blocked: `)
)

// toldByMLflow reads {"detail": …} of FastAPI: a text, a list of what is wrong with fields, or an error code with its message. What
// is no JSON comes from another server, which has no such route.
func toldByMLflow(header http.Header, body []byte) (t told) {
	var doc struct {
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return told{Code: codeNoRoute}
	}
	if len(doc.Detail) == 0 {
		return decodeTold(header, body)
	}
	var object struct {
		Code    json.RawMessage `json:"error_code"`
		Message json.RawMessage `json:"message"`
	}
	var list []struct {
		Where []json.RawMessage `json:"loc"`
	}
	text := textOf(doc.Detail)
	switch {
	case text == "Not Found" || text == "Method Not Allowed":
		return told{Code: codeNoRoute}
	case json.Unmarshal(doc.Detail, &list) == nil:
		if len(list) > 0 && len(list[0].Where) > 1 {
			t.Param = textOf(list[0].Where[1])
		}
		return t
	case json.Unmarshal(doc.Detail, &object) == nil:
		text, t.Code = textOf(object.Message), textOf(object.Code)
	}
	text = text[:min(len(text), maxMessage)]
	switch {
	case budget.MatchString(text):
		t.Code = codeBudget
	case guardrail.MatchString(text):
		t.Code = codeGuardrail
	}
	t.noModel = t.Code == noResource || saysNoModel(text)
	return t
}

// keeps tells whether a tool's parameters come through the gateway: of each property it knows type, description, enum, and items.
func keeps(parameters json.RawMessage) bool {
	if len(parameters) == 0 {
		return true
	}
	var root map[string]json.RawMessage
	if json.Unmarshal(parameters, &root) != nil {
		return false
	}
	for _, lost := range []string{"$defs", "definitions", "$ref", "anyOf", "oneOf", "allOf", "not", "if", "patternProperties"} {
		if _, there := root[lost]; there {
			return false
		}
	}
	if extra := root["additionalProperties"]; len(extra) > 0 && string(extra) != "true" && string(extra) != "false" {
		return false
	}
	var properties map[string]property
	if raw := root["properties"]; len(raw) > 0 && json.Unmarshal(raw, &properties) != nil {
		return false
	}
	for _, p := range properties {
		if !p.flat() {
			return false
		}
	}
	return true
}

// property is one of a tool's parameters, with what the gateway would drop of it.
type property struct {
	Properties json.RawMessage `json:"properties"`
	Ref        json.RawMessage `json:"$ref"`
	AnyOf      json.RawMessage `json:"anyOf"`
	OneOf      json.RawMessage `json:"oneOf"`
	AllOf      json.RawMessage `json:"allOf"`
	Const      json.RawMessage `json:"const"`
	Items      *property       `json:"items"`
}

func (p *property) flat() bool {
	return len(p.Properties)+len(p.Ref)+len(p.AnyOf)+len(p.OneOf)+len(p.AllOf)+len(p.Const) == 0 && (p.Items == nil || p.Items.flat())
}

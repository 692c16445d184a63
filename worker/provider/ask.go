package provider

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Protocol is how a call was made.
type Protocol string

// The protocols.
const (
	Anthropic Protocol = "anthropic" // POST /v1/messages
	Chat      Protocol = "chat"      // POST /v1/chat/completions
	Responses Protocol = "responses" // POST /v1/responses
	Embed     Protocol = "embed"     // POST /v1/embeddings
	Converse  Protocol = "converse"  // POST /model/{id}/converse, signed
	Invoke    Protocol = "invoke"    // POST /model/{id}/invoke, signed
	MLflow    Protocol = "mlflow"    // POST /gateway/{endpoint}/mlflow/invocations and its kin
)

// Ask is one call as a script sees it. Key, Epoch and Attempt are read from our request id, "<tenant>/<id>/<epoch>/<attempt>",
// which travels as the header X-Client-Request-Id (OpenAI, MLflow), as metadata.user_id (Anthropic) and as flowgate-request in
// the request metadata (Bedrock); of a call without one they are empty. It holds no text of anybody.
type Ask struct {
	// RequestID is the whole id. N counts the calls of exactly that id, from 1.
	RequestID string `json:"request_id"`
	N         int    `json:"n"`
	// Key is "<tenant>/<id>".
	Key     string `json:"key"`
	Epoch   int    `json:"epoch"`
	Attempt int    `json:"attempt"`
	// Protocol and Path say how it was asked.
	Protocol Protocol `json:"protocol,omitempty"`
	Path     string   `json:"path,omitempty"`
	// Model and MaxTokens are the document's, PromptBytes the length of all its texts: system prompt, messages, tool results.
	Model       string `json:"model"`
	MaxTokens   int    `json:"max_tokens"`
	PromptBytes int    `json:"prompt_bytes"`
	// Features are what the call makes use of.
	Features Features `json:"features,omitzero"`
}

// Features are what a call makes use of, beside its messages.
type Features struct {
	System      bool   `json:"system,omitempty"`
	Temperature bool   `json:"temperature,omitempty"`
	TopP        bool   `json:"top_p,omitempty"`
	Stop        bool   `json:"stop,omitempty"`
	Seed        bool   `json:"seed,omitempty"`
	Structured  bool   `json:"structured,omitempty"`
	Tools       int    `json:"tools,omitempty"`
	ToolChoice  string `json:"tool_choice,omitempty"` // auto, none, required or the name of a tool
	ToolResults int    `json:"tool_results,omitempty"`
	Images      int    `json:"images,omitempty"`
	Inputs      int    `json:"inputs,omitempty"` // texts to embed
	Tier        string `json:"tier,omitempty"`
}

// Call is one call in the provider's books.
type Call struct {
	Ask

	Answered Outcome `json:"answered"`
	// Began is when it was read, Ended when its answer was written or its caller had gone.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// Body is the document as it arrived, of the newest calls only, and never printed.
	Body []byte `json:"-"`
}

// parseID takes "<tenant>/<id>/<epoch>/<attempt>" apart.
func parseID(id string) (key string, epoch, attempt int) {
	parts := strings.Split(id, "/")
	if len(parts) != 4 {
		return "", 0, 0
	}
	epoch, e1 := strconv.Atoi(parts[2])
	attempt, e2 := strconv.Atoi(parts[3])
	if errors.Join(e1, e2) != nil {
		return "", 0, 0
	}
	return parts[0] + "/" + parts[1], epoch, attempt
}

// below tells whether a request id is parent or one of its parts continued: "acme/r-1" stands for all its epochs and attempts,
// "" for every call.
func below(parent, requestID string) bool {
	return parent == "" || requestID == parent || len(requestID) > len(parent) && requestID[len(parent)] == '/' && strings.HasPrefix(requestID, parent)
}

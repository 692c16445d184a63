package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"flowgate/messages"
)

// openAIPrefix makes the id of an OpenAI result line from a request id.
const openAIPrefix = "batch_req_"

// ended is what the counters want to know of a request that has ended.
type ended struct {
	status  messages.Status
	reason  messages.Reason
	cost    int64 // micro-dollars
	in, out int64 // tokens
}

// answered is true for what belongs into the output file; the rest belongs into the error file.
func (e ended) answered() bool {
	return e.status == messages.StatusSuccess || e.status == messages.StatusPartial
}

func endedOf(r *messages.Result) ended {
	e := ended{status: r.Status, reason: r.Reason}
	if m := r.Metadata; m != nil {
		e.cost, e.in, e.out = m.CostMicroUSD, m.Tokens.Input, m.Tokens.Output
	}
	return e
}

// RequestID is the id of the request of a line: what makes a repeated run ask instead of sending again.
func RequestID(batchID string, line int) string { return batchID + "-" + strconv.Itoa(line) }

// lineOf reads the line's number from a request id; false: it is none of the batch's.
func lineOf(batchID, requestID string) (int, bool) {
	rest, ours := strings.CutPrefix(requestID, batchID+"-")
	if !ours {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 1 || strconv.Itoa(n) != rest {
		return 0, false
	}
	return n, true
}

// refused is the result of a line that was never sent.
func refused(key messages.Key, l *Line) messages.Result {
	return messages.Result{
		V: messages.Version, Key: key, State: messages.ResultDone, Status: messages.StatusFailure,
		Reason: l.Fault.Reason, Message: l.Fault.Error(), Field: l.Fault.Field,
	}
}

// nativeLine is a line of a result file for a native request.
type nativeLine struct {
	messages.Result

	Line     int    `json:"line"`
	CustomID string `json:"custom_id,omitempty"`
}

// openAILine is a line of a result file for a line of an OpenAI batch file. Lines of the error file have what the format
// has no place for beside it.
type openAILine struct {
	ID       string          `json:"id"`
	CustomID string          `json:"custom_id"`
	Response *openAIResponse `json:"response"`
	Error    *openAIError    `json:"error"`
	Status   messages.Status `json:"status,omitempty"`
	Flowgate *provenance     `json:"flowgate,omitempty"`
}

type openAIResponse struct {
	StatusCode int        `json:"status_code"`
	RequestID  string     `json:"request_id"`
	Body       completion `json:"body"`
}

type openAIError struct {
	Code    messages.Reason `json:"code"`
	Message string          `json:"message"`
	Param   string          `json:"param,omitempty"`
	Line    int             `json:"line,omitempty"`
	// RetryAt is when a request that was rate_limited has room.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

type completion struct {
	ID       string           `json:"id"`
	Object   string           `json:"object"`
	Created  int64            `json:"created"`
	Model    string           `json:"model"`
	Choices  []choice         `json:"choices"`
	Usage    usage            `json:"usage"`
	Metadata completionOrigin `json:"metadata"`
}

type choice struct {
	Index        int     `json:"index"`
	Message      message `json:"message"`
	FinishReason string  `json:"finish_reason"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type usage struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
}

type completionOrigin struct {
	Flowgate *provenance `json:"flowgate"`
}

// provenance says who answered, at what cost, and how the request ended.
type provenance struct {
	Status       messages.Status `json:"status"`
	Reason       messages.Reason `json:"reason"`
	Backend      string          `json:"backend,omitempty"`
	CacheHit     bool            `json:"cache_hit"`
	Attempts     int             `json:"attempts"`
	CostUSD      float64         `json:"cost_usd"`
	FinishReason string          `json:"finish_reason,omitempty"`
	Retry        bool            `json:"retry,omitempty"`
	Usage        *usage          `json:"usage,omitempty"` // in error lines, where there is no other place
}

// recordOf writes the one line that a request leaves behind, with its line end.
func recordOf(l *Line, r *messages.Result) ([]byte, error) {
	var v any = nativeLine{Result: *r, Line: l.Number, CustomID: l.CustomID}
	if l.OpenAI {
		v = openAIRecord(l, r)
	}
	data, err := encode(v)
	if err != nil {
		return nil, fmt.Errorf("writing the result of line %d: %w", l.Number, err)
	}
	return append(data, '\n'), nil
}

func openAIRecord(l *Line, r *messages.Result) openAILine {
	line := openAILine{ID: openAIPrefix + r.ID, CustomID: l.CustomID}
	origin := &provenance{Status: r.Status, Reason: r.Reason, Retry: r.Retry}
	var used usage
	var model string
	if m := r.Metadata; m != nil {
		origin.Backend, origin.CacheHit, origin.Attempts = m.Backend, m.CacheHit, m.Attempts
		origin.CostUSD, origin.FinishReason = float64(m.CostMicroUSD)/1e6, m.FinishReason
		used = usage{PromptTokens: m.Tokens.Input, CompletionTokens: m.Tokens.Output, TotalTokens: m.Tokens.Total}
		model = m.Model
	}
	if !endedOf(r).answered() {
		if r.Metadata != nil {
			origin.Usage = &used
		}
		line.Error = &openAIError{Code: r.Reason, Message: r.Message, Param: r.Field, Line: l.Number, RetryAt: r.RetryAt}
		line.Status, line.Flowgate = r.Status, origin
		return line
	}
	line.Response = &openAIResponse{StatusCode: 200, RequestID: r.ID, Body: completion{
		ID: "chatcmpl-" + r.ID, Object: "chat.completion", Created: created(r.FinishedAt), Model: model,
		Choices: []choice{{
			Message:      message{Role: "assistant", Content: r.Answer},
			FinishReason: finishReason(origin.FinishReason),
		}},
		Usage: used, Metadata: completionOrigin{Flowgate: origin},
	}}
	return line
}

func created(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// finishReason translates the words of providers into OpenAI's.
func finishReason(word string) string {
	switch strings.ToLower(word) {
	case "", "stop", "end_turn", "stop_sequence", "complete", "finish":
		return "stop"
	case "length", "max_tokens":
		return "length"
	case "content_filter", "refusal", "guardrail_intervened", "content_filtered":
		return "content_filter"
	}
	return word
}

// past is a line of a result file, read again.
type past struct {
	requestID, customID string
	ended
}

// errNoResult says that a line is no line of a result file.
var errNoResult = errors.New("is no result of a batch")

// pastOf reads a line that recordOf wrote.
func pastOf(raw []byte) (past, error) {
	var form struct {
		ID       string          `json:"id"`
		Response json.RawMessage `json:"response"`
		Error    json.RawMessage `json:"error"`
	}
	if json.Unmarshal(bytes.TrimSpace(raw), &form) != nil || form.ID == "" {
		return past{}, errNoResult
	}
	if form.Response == nil && form.Error == nil {
		var line nativeLine
		if err := json.Unmarshal(raw, &line); err != nil || line.State != messages.ResultDone {
			return past{}, errNoResult
		}
		return past{requestID: line.ID, customID: line.CustomID, ended: endedOf(&line.Result)}, nil
	}
	var line openAILine
	if err := json.Unmarshal(raw, &line); err != nil {
		return past{}, errNoResult
	}
	id, ours := strings.CutPrefix(line.ID, openAIPrefix)
	origin, used := line.Flowgate, usage{}
	if line.Response != nil {
		origin, used = line.Response.Body.Metadata.Flowgate, line.Response.Body.Usage
	}
	if !ours || origin == nil {
		return past{}, errNoResult
	}
	if origin.Usage != nil {
		used = *origin.Usage
	}
	return past{requestID: id, customID: line.CustomID, ended: ended{
		status: origin.Status, reason: origin.Reason, cost: int64(math.Round(origin.CostUSD * 1e6)),
		in: used.PromptTokens, out: used.CompletionTokens,
	}}, nil
}

package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"flowgate/messages"
)

// ended is what the counters want to know of a request that has ended.
type ended struct {
	status  messages.Status
	reason  messages.Reason
	cost    int64 // micro-dollars
	in, out int64 // tokens
	calls   int
	reused  *messages.Reused
}

// answered is true for what belongs into the output file; the rest belongs into the error file.
func (e ended) answered() bool {
	return e.status == messages.StatusSuccess || e.status == messages.StatusPartial
}

func endedOf(r *messages.Result) ended {
	e := ended{status: r.Status, reason: r.Reason}
	if m := r.Metadata; m != nil {
		e.cost, e.in, e.out, e.calls, e.reused = m.CostMicroUSD, m.Tokens.Input, m.Tokens.Output, m.Attempts, m.Reused
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

// recordOf writes the one line that a request leaves behind, with its line end.
func recordOf(l *Line, r *messages.Result) ([]byte, error) {
	var v any = nativeLine{Result: *r, Line: l.Number, CustomID: l.CustomID}
	var err error
	if l.OpenAI {
		v, err = openAIRecord(l, r)
	}
	var data []byte
	if err == nil {
		data, err = encode(v)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the result of line %d: %w", l.Number, err)
	}
	return append(data, '\n'), nil
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
	var body completion
	line.Response = &openAIResponse{Body: &body}
	if err := json.Unmarshal(raw, &line); err != nil {
		return past{}, errNoResult
	}
	id, ours := strings.CutPrefix(line.ID, openAIPrefix)
	origin, used := line.Flowgate, usage{}
	if line.Response != nil {
		origin, used = body.Metadata.Flowgate, body.Usage
	}
	if !ours || origin == nil {
		return past{}, errNoResult
	}
	if origin.Usage != nil {
		used = *origin.Usage
	}
	return past{requestID: id, customID: line.CustomID, ended: ended{
		status: origin.Status, reason: origin.Reason, cost: int64(math.Round(origin.CostUSD * 1e6)),
		in: used.PromptTokens, out: used.CompletionTokens, calls: origin.Attempts, reused: origin.Reused,
	}}, nil
}

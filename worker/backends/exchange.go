package backends

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"flowgate/pipelines/ai"
)

// maxErrorBytes bounds what is read of an answer that is an error.
const maxErrorBytes = 64 << 10

// maxProviderText bounds the provider's short texts that are kept: model, finish reason and request id, in bytes.
const maxProviderText = 256

// errTooLarge says that a body is over its bound.
var errTooLarge = errors.New("answer is over the bound of its size")

// exchange is one HTTP exchange with the provider and what is known of it. It reads the whole answer itself, before the SDK
// does: only here is it known how far the request came, and only here are status and headers of every answer seen.
type exchange struct {
	call     *ai.Call
	maxBytes int64

	// sent is true from when a connection was handed to the request: from then on any byte may have left.
	sent   atomic.Bool
	header http.Header
	// fault is set unless a whole answer with a good status came.
	fault *ai.Fault
	// filtered is the provider's code where a content filter refused the question.
	filtered string
}

// do makes the exchange under ctx.
func (x *exchange) do(ctx context.Context, req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { x.sent.Store(true) }}
	res, err := next(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		x.fault = lost(ctx, x.sent.Load(), err)
		return nil, x.fault
	}
	x.header = res.Header
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, x.failed(res)
	}
	body, err := readBounded(res.Body, x.maxBytes)
	if err != nil {
		x.fault = lost(ctx, true, err)
		return nil, x.fault
	}
	if x.fault = x.checkShape(body); x.fault != nil {
		return nil, x.fault
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.Header.Set("Content-Type", "application/json") // it is, whatever the server called it
	return res, nil
}

// failed judges an answer whose status is not a success. A body that cannot be read leaves the status to go by.
func (x *exchange) failed(res *http.Response) error {
	body, err := readBounded(res.Body, maxErrorBytes)
	if err != nil {
		body = nil
	}
	told := decodeTold(body)
	if told.filters() && res.StatusCode < http.StatusInternalServerError {
		x.filtered = told.Code
		return errors.New("the provider's content filter refused")
	}
	x.fault = statusFault(res.StatusCode, told.printable())
	x.fault.RetryAfter = retryAfter(res.Header, time.Now())
	return x.fault
}

// checkShape holds the answer to what the SDK would silently read as zero.
func (x *exchange) checkShape(body []byte) *ai.Fault {
	var shape struct {
		Choices []struct {
			Message *struct{} `json:"message"`
		} `json:"choices"`
	}
	switch err := json.Unmarshal(body, &shape); {
	case err != nil:
		return inDoubt("bad_json", "the provider answered with something that is not a chat completion", nil)
	case len(shape.Choices) == 0 || shape.Choices[0].Message == nil:
		// Some servers tell an error after status 200.
		told := decodeTold(body).printable()
		code := "no_choices"
		if told.Code != "" {
			code = told.Code
		}
		return inDoubt(code, "the provider answered without a message"+told.suffix(), nil)
	}
	return nil
}

// undecoded is the fault where the SDK could not make a request, or could not read what came.
func (x *exchange) undecoded() *ai.Fault {
	if x.sent.Load() {
		return inDoubt("bad_json", "the provider's chat completion could not be read", nil)
	}
	return &ai.Fault{Class: ai.ClassInvalid, Code: "unsendable", Detail: "the request could not be written; nothing was sent"}
}

// answer is what a chat completion says.
func (x *exchange) answer(completion *openai.ChatCompletion) (ai.Answer, error) {
	choice := completion.Choices[0]
	answer := ai.Answer{
		Text: choice.Message.Content, Model: clip(completion.Model), FinishReason: clip(choice.FinishReason),
		ProviderRequestID: x.requestID(completion.ID),
		Refused:           choice.Message.Refusal != "" || choice.FinishReason == "content_filter",
	}
	if answer.Model == "" {
		answer.Model = x.call.Model
	}
	if answer.Text == "" {
		answer.Text = choice.Message.Refusal
	}
	usage, known := chatUsage([]byte(completion.Usage.RawJSON()), factsOf(x.call, string(completion.ServiceTier)))
	answer.Usage, answer.UsageUnknown = usage, !known
	return answer, nil
}

// requestID is the provider's id of the exchange, else that of what it made.
func (x *exchange) requestID(made string) string {
	if id := x.header.Get("X-Request-Id"); id != "" {
		return clip(id)
	}
	return clip(made)
}

// readBounded reads body to its end and closes it.
func readBounded(body io.ReadCloser, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	switch closed := body.Close(); {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case int64(len(data)) > most:
		return nil, errTooLarge
	case closed != nil:
		return nil, fmt.Errorf("closing the answer: %w", closed)
	}
	return data, nil
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxProviderText)], "") }

package backends

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"flowgate/pipelines/ai"
)

// maxErrorBytes bounds what is read of an answer that is an error.
const maxErrorBytes = 64 << 10

// maxProviderText bounds the provider's short texts that are kept: model, finish reason and request id, in bytes.
const maxProviderText = 256

var (
	// errTooLarge says that a body is over its bound.
	errTooLarge = errors.New("answer is over the bound of its size")
	// errAgain says that an SDK tried to send a call twice.
	errAgain = errors.New("one call is one request")
	// errFiltered says that a content filter refused.
	errFiltered = errors.New("the provider's content filter refused")
)

// protocol is what an exchange has to know of the way a provider speaks. It holds no state.
type protocol struct {
	// requestIDs are the headers that may have the provider's id of the exchange; the first that is there counts.
	requestIDs []string
	// told reads what the document of an error tells.
	told func(header http.Header, body []byte) told
	// whole tells what is wrong with a body that came with a good status, as a code; empty: nothing. It holds the body to what an SDK would
	// silently read as zero.
	whole func(body []byte) (wrong string)
}

// exchange is one HTTP exchange with the provider and what is known of it. It reads the whole answer itself, before an SDK
// does: only here is it known how far the request came, and only here are status and headers of every answer seen.
type exchange struct {
	protocol *protocol
	maxBytes int64

	asked atomic.Bool
	// sent is true from when a connection was handed to the request: from then on any byte may have left.
	sent   atomic.Bool
	header http.Header
	quota  ai.Quota
	// body is the whole answer with a good status.
	body []byte
	// secrets are the credentials that went with the request: nothing that the provider says is kept that holds one.
	secrets []string
	// fault is set unless a whole answer with a good status came.
	fault *ai.Fault
	// filtered is the provider's code where a content filter refused the question; maybeBilled where that may have cost something.
	filtered    string
	maybeBilled bool
}

// doer is an HTTP client, as the SDKs take one.
type doer func(*http.Request) (*http.Response, error)

// Do makes one exchange.
func (d doer) Do(req *http.Request) (*http.Response, error) { return d(req) }

// through is the HTTP client of this exchange alone: next, under ctx, whatever context the request brings.
func (x *exchange) through(ctx context.Context, next interface {
	Do(req *http.Request) (*http.Response, error)
},
) doer {
	return func(req *http.Request) (*http.Response, error) { return x.do(ctx, req, next.Do) }
}

func (x *exchange) do(ctx context.Context, req *http.Request, next doer) (*http.Response, error) {
	if x.asked.Swap(true) {
		return nil, errAgain
	}
	x.secrets = credentials(req.Header)
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { x.sent.Store(true) }}
	res, err := next(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		x.fault = lost(ctx, x.sent.Load(), err)
		return nil, x.fault
	}
	now := time.Now()
	x.header, x.quota = res.Header, ai.ReadQuota(res.Header.Get, now)
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, x.failed(res, now)
	}
	if x.body, err = readBounded(res.Body, x.maxBytes); err != nil {
		x.fault = lost(ctx, true, err)
		x.fault.Quota = x.quota
		return nil, x.fault
	}
	if wrong := x.protocol.whole(x.body); wrong != "" {
		return nil, x.notWhole(wrong, now)
	}
	res.Body = io.NopCloser(bytes.NewReader(x.body))
	res.Header.Set("Content-Type", "application/json") // it is, whatever the server called it
	return res, nil
}

// failed judges an answer whose status is not a success. A body that cannot be read leaves the status to go by.
func (x *exchange) failed(res *http.Response, now time.Time) error {
	body, err := readBounded(res.Body, maxErrorBytes)
	if err != nil {
		body = nil
	}
	told := x.protocol.told(res.Header, body)
	if told.filters() && res.StatusCode < http.StatusInternalServerError {
		x.filtered = told.Code
		return errFiltered
	}
	return x.faulted(statusFault(res.StatusCode, told.printable()), now)
}

// notWhole judges an answer with a good status that is none: an error told late, or nothing that can be read.
func (x *exchange) notWhole(wrong string, now time.Time) error {
	told := x.protocol.told(x.header, x.body)
	if told.filters() {
		x.filtered, x.maybeBilled = told.Code, true
		return errFiltered
	}
	return x.faulted(insideFault(wrong, told.printable()), now)
}

func (x *exchange) faulted(f *ai.Fault, now time.Time) error {
	f.RetryAfter, f.Quota = retryAfter(x.header, now), x.quota
	x.fault = f
	return f
}

// answer is what came of the exchange. err is the SDK's own, read takes the answer out of what the SDK has read, and is not called where
// there is none.
func (x *exchange) answer(call *ai.Call, err error, read func() (ai.Answer, *ai.Fault)) (ai.Answer, error) {
	switch {
	case x.fault != nil:
		return ai.Answer{}, x.fault
	case x.filtered != "":
		return ai.Answer{
			Model: call.Model, FinishReason: x.filtered, ProviderRequestID: x.requestID(""), Refused: true, UsageUnknown: x.maybeBilled, Quota: x.quota,
		}, nil
	case err != nil:
		return ai.Answer{}, x.undecoded()
	}
	a, fault := read()
	if fault != nil {
		fault.Quota = x.quota
		return ai.Answer{}, fault
	}
	a.Model, a.FinishReason, a.ProviderRequestID, a.Quota = x.word(a.Model), x.word(a.FinishReason), x.requestID(a.ProviderRequestID), x.quota
	if a.Model == "" {
		a.Model = call.Model
	}
	return a, nil
}

// undecoded is the fault where the SDK could not make a request, or could not read what came.
func (x *exchange) undecoded() *ai.Fault {
	if x.asked.Load() {
		fault := inDoubt("bad_json", "the provider's answer could not be read", nil)
		fault.Quota = x.quota
		return fault
	}
	return &ai.Fault{Class: ai.ClassInvalid, Code: "unsendable", Detail: "the request could not be written; nothing was sent"}
}

// requestID is the provider's id of the exchange, else that of what it made.
func (x *exchange) requestID(made string) string {
	for _, name := range x.protocol.requestIDs {
		if id := x.word(x.header.Get(name)); id != "" {
			return id
		}
	}
	return x.word(made)
}

// credentials are those of a request's headers.
func credentials(h http.Header) (all []string) {
	for _, name := range []string{"Authorization", "X-Api-Key", "X-Amz-Security-Token"} {
		for _, value := range h.Values(name) {
			if _, token, two := strings.Cut(value, " "); two && name == "Authorization" {
				value = token
			}
			if len(value) > 3 {
				all = append(all, value)
			}
		}
	}
	return all
}

// wordForm is what a word of a provider looks like that the record keeps: an id, a model, a reason. Nothing that looks like a key does.
var (
	wordForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/=+-]*$`)
	keyForm  = regexp.MustCompile(`(?i)^(sk|pk|rk|key|xox[a-z]|gh[a-z]|akia|asia|bearer|basic)[-_]?[a-z0-9_-]{16,}`)
)

// word is a short word of the provider; empty where it is none, or holds a credential.
func (x *exchange) word(text string) string {
	text = clip(text)
	if !wordForm.MatchString(text) || keyForm.MatchString(text) {
		return ""
	}
	for _, secret := range x.secrets {
		if strings.Contains(text, secret) || strings.Contains(secret, text) && len(text) >= 16 {
			return ""
		}
	}
	return text
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

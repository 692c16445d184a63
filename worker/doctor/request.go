package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/results"
)

// Tenant is whose requests the doctor's are: limits and record of others are not touched.
const Tenant = "doctor"

// maxTokens bounds what the answer to the doctor's request can cost; models that think need a few.
const maxTokens = 16

// Request is the real request that the doctor sent, and how far it came.
type Request struct {
	// Sent is false where it was not wanted or could not be sent.
	Sent bool   `json:"sent"`
	ID   string `json:"id,omitempty"`
	OK   bool   `json:"ok"`
	// StoppedAt is the layer where it stopped; empty where it passed all three.
	StoppedAt messages.LayerName `json:"stopped_at,omitempty"`
	Status    messages.Status    `json:"status,omitempty"`
	Reason    messages.Reason    `json:"reason,omitempty"`
	Detail    string             `json:"detail,omitempty"`
	Backend   string             `json:"backend,omitempty"`
	// CostMicroUSD is what it cost.
	CostMicroUSD int64   `json:"cost_microusd"`
	Seconds      float64 `json:"seconds,omitempty"`
}

// Finding is what is wrong with a request that did not pass; nil where it did, or was not wanted.
func (r Request) Finding() *Finding {
	if r.OK || !r.Sent && r.Detail == "" {
		return nil
	}
	info := Explain(RequestStopped)
	about := string(r.StoppedAt)
	if about == "" {
		about = "submission"
	}
	return &Finding{Code: RequestStopped, Severity: info.Severity, About: about, Seen: r.Detail, Remedy: strings.ReplaceAll(info.Do, "ID", r.ID)}
}

// Ask sends a small request through all three layers and waits for its end, at most for a time, after which the request
// itself ends too. minReason is how long an audit reason must be.
func Ask(ctx context.Context, js jetstream.JetStream, wait time.Duration, minReason int) Request {
	r := Request{ID: "doctor-" + uuid.NewString()}
	key := messages.Key{Tenant: Tenant, ID: r.ID}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	reason := "flowgate doctor"
	for len(reason) < minReason {
		reason += ": does a request pass all three layers"
	}
	document, err := json.Marshal(map[string]any{
		"prompt": "Say OK", "max_tokens": maxTokens, "audit_reason": reason, "user_id": "flowgate-doctor", "department": "flowgate-doctor",
		"not_after": began.Add(wait).UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		r.Detail = err.Error()
		return r
	}
	if _, err := js.Publish(ctx, messages.RequestSubject(messages.ClassRT, key), document); err != nil {
		r.Detail = fmt.Sprintf("it could not be submitted: %v", err)
		return r
	}
	r.Sent = true
	result, err := results.Wait(ctx, js.Conn(), key, 0)
	r.Seconds = time.Since(began).Seconds()
	if result.State == messages.ResultDone {
		r.Status, r.Reason, r.Detail = result.Status, result.Reason, result.Message
		if m := result.Metadata; m != nil {
			r.Backend, r.CostMicroUSD = m.Backend, m.CostMicroUSD
		}
	}
	if r.OK = r.Status == messages.StatusSuccess; r.OK {
		r.Detail = ""
		return r
	}
	if err != nil {
		r.Detail = fmt.Sprintf("it was not done in %s (%v)", wait, err)
	}
	r.locate(context.WithoutCancel(ctx), &worker.Leader{JS: js}, key)
	return r
}

// locating bounds the search for a request that was not done.
const locating = 3 * time.Second

// locate finds from the newest state of a request where it stopped.
func (r *Request) locate(ctx context.Context, leader *worker.Leader, key messages.Key) {
	ctx, cancel := context.WithTimeout(ctx, locating)
	defer cancel()
	newest, found, err := leader.Newest(ctx, 0, key)
	if err != nil {
		r.Detail += fmt.Sprintf("; where it stands could not be read: %v", err)
		return
	}
	if !found {
		r.StoppedAt = messages.LayerCorporate
		r.Detail += "; it stands where it was submitted, and layer 1 has not taken it up"
		return
	}
	r.StoppedAt = layerOf(newest.State)
	e, err := messages.DecodeEnvelope(newest.Data)
	switch {
	case newest.State == messages.StateDone && err == nil && e.End != nil:
		r.StoppedAt, r.Status, r.Reason = e.End.Layer, e.End.Status, e.End.Reason
		r.Detail = fmt.Sprintf("it ended as %s (%s): %s", e.End.Status, e.End.Reason, e.End.Message())
		if r.Status == messages.StatusSuccess { // it passed, and nobody answered for its result
			r.StoppedAt, r.Detail = "", "it passed all layers, but nobody answers for results: no process runs the recorder"
		}
	case newest.State == messages.StateHold && err == nil && e.End == nil:
		r.Detail += fmt.Sprintf("; it waits at layer 1: %s", messages.Explain(e.Wait).Text)
	default:
		r.Detail += fmt.Sprintf("; it stands at %q", newest.State)
	}
}

// layerOf is the layer in whose hands a request is that stands at a state.
func layerOf(at messages.State) messages.LayerName {
	switch at {
	case messages.StateAI, messages.StateCalling:
		return messages.LayerAI
	case messages.StateOptimizer:
		return messages.LayerOptimizer
	case messages.StateHold, messages.StateDone:
	}
	return messages.LayerCorporate
}

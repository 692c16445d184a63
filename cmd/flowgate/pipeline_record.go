package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
)

// pipelineView is what is recorded of the requests with one correlation id.
type pipelineView struct {
	CorrelationID string `json:"correlation_id"`
	// Requests are those that name it, every epoch of each, in the order in which the record heard of them; More counts those left out.
	Requests []pipelineRequest `json:"requests"`
	More     int               `json:"more,omitempty"`
	// Stages are those of each request in turn, Trail are all records in order of time.
	Stages []pipelineStage `json:"stages"`
	Trail  []trailRecord   `json:"trail"`
	// Result is that of the request which was run; of a trail that is only shown there is none.
	Result *messages.Result `json:"result,omitempty"`
}

// pipelineRequest is one epoch of a request.
type pipelineRequest struct {
	// Number is by which stages and trail name it, from 1.
	Number int    `json:"number"`
	ID     string `json:"id"`
	Epoch  int    `json:"epoch"`
	// Kind and who asked are empty where the record has them not yet.
	Kind        messages.Kind `json:"kind,omitempty"`
	UserID      string        `json:"user_id,omitempty"`
	Department  string        `json:"department,omitempty"`
	AuditReason string        `json:"audit_reason,omitempty"`
	// State is done, or pending where the end is not recorded; Status, Reason, cost and time are those of an end.
	State         messages.ResultState `json:"state"`
	Status        messages.Status      `json:"status,omitempty"`
	Reason        messages.Reason      `json:"reason,omitempty"`
	CostMicroUSD  int64                `json:"cost_microusd"`
	Seconds       float64              `json:"seconds"`
	RequestSHA256 string               `json:"request_sha256,omitempty"`
}

// trailRecord is one record of a trail.
type trailRecord struct {
	At time.Time `json:"at"`
	// OffsetMS is how long after the first record of the trail it was, in milliseconds.
	OffsetMS float64 `json:"offset_ms"`
	// Number, ID and Epoch name the request.
	Number int    `json:"number"`
	ID     string `json:"id"`
	Epoch  int    `json:"epoch"`
	Layer  string `json:"layer,omitempty"`
	Event  string `json:"event"`
	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"`
	// Stream and Seq are where the message stands that the record is of.
	Stream string `json:"stream,omitempty"`
	Seq    int64  `json:"seq,omitempty"`
}

// recordedPipeline reads what is recorded of the requests that name a correlation id, of the one that has it as its id and names none (its
// action's parts name it), and of own ones, of which the record may not have heard yet.
func recordedPipeline(ctx context.Context, db *postgres.DB, tenant, correlation string, own ...messages.Key) (pipelineView, error) {
	v := pipelineView{CorrelationID: correlation, Requests: []pipelineRequest{}, Stages: []pipelineStage{}, Trail: []trailRecord{}}
	keys, all, err := db.Correlated(ctx, tenant, correlation)
	if err != nil {
		return v, err
	}
	v.More = all - len(keys)
	if origin := (messages.Key{Tenant: tenant, ID: correlation}); !slices.Contains(keys, origin) {
		keys = append([]messages.Key{origin}, keys...)
	}
	for _, key := range own {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		story, err := db.Timeline(ctx, key)
		if errors.Is(err, worker.ErrNotFound) {
			continue
		}
		if err != nil {
			return v, err
		}
		for i := range story.Epochs {
			e, err := db.Envelope(ctx, key, story.Epochs[i].Epoch)
			if err != nil && !errors.Is(err, worker.ErrNotFound) {
				return v, err
			}
			if key.ID == correlation && e != nil && e.Corporate != nil && e.Corporate.CorrelationID != "" && e.Corporate.CorrelationID != correlation {
				continue // it belongs to others
			}
			v.add(key.ID, &story.Epochs[i], e)
		}
	}
	v.order()
	return v, nil
}

// add takes over one epoch; e is nil where its end is not recorded.
func (v *pipelineView) add(id string, story *postgres.EpochTimeline, e *messages.Envelope) {
	r := pipelineRequest{Number: len(v.Requests) + 1, ID: id, Epoch: story.Epoch, State: messages.ResultPending}
	if a := story.Admission; a != nil {
		r.RequestSHA256 = a.RequestSHA256
	}
	if i := story.Intent; i != nil {
		r.Kind, r.UserID, r.Department, r.AuditReason = messages.Kind(i.Kind), i.UserID, i.Department, i.AuditReason
	}
	if e != nil {
		r.State, r.Kind = messages.ResultDone, e.Kind
		r.Status, r.Reason, r.CostMicroUSD = e.End.Status, e.End.Reason, e.End.CostMicroUSD
		if !e.SubmittedAt.IsZero() {
			r.Seconds = e.End.FinishedAt.Sub(e.SubmittedAt).Seconds()
		}
		if c := e.Corporate; c != nil {
			r.UserID, r.Department, r.AuditReason = c.UserID, c.Department, c.AuditReason
		}
	}
	for _, s := range story.Steps {
		v.Trail = append(v.Trail, trailRecord{
			At: s.At, Number: r.Number, ID: id, Epoch: r.Epoch, Layer: s.Layer, Reason: s.Reason, Stream: s.Stream, Seq: s.Seq,
			Event: strings.TrimPrefix(s.What, s.Layer+" "), Text: strings.TrimPrefix(strings.TrimPrefix(s.Text, s.Reason), ", "),
		})
	}
	v.Stages = append(v.Stages, stagesOf(r.Number, id, story, e)...)
	v.Requests = append(v.Requests, r)
}

// order sorts the trail, and counts times from its beginning.
func (v *pipelineView) order() {
	slices.SortStableFunc(v.Trail, func(a, b trailRecord) int { return a.At.Compare(b.At) })
	if len(v.Trail) == 0 {
		return
	}
	since := func(at time.Time) float64 { return float64(at.Sub(v.Trail[0].At).Microseconds()) / 1000 }
	for i := range v.Trail {
		v.Trail[i].OffsetMS = since(v.Trail[i].At)
	}
	for i := range v.Stages {
		if s := &v.Stages[i]; !s.At.IsZero() {
			s.OffsetMS = new(since(s.At))
		}
	}
}

package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Action is what Apply would do with a thing.
type Action string

// The actions.
const (
	ActionMake   Action = "make"
	ActionChange Action = "change"
	ActionLeave  Action = "leave"
)

// Step is one thing of the topology and what Apply would do with it.
type Step struct {
	Action Action `json:"action"`
	// Kind is stream, bucket or consumer; Stream is a consumer's.
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Stream string `json:"stream,omitempty"`
	// Subjects are a stream's, or what a consumer delivers.
	Subjects []string `json:"subjects,omitempty"`
	// Replicas is how many servers keep it; 0: as many as keep its stream.
	Replicas    int          `json:"replicas,omitempty"`
	Differences []Difference `json:"differences,omitempty"`
}

// Plan tells of everything in the topology what Apply would do. It changes nothing and needs no rights but to read.
func Plan(ctx context.Context, js jetstream.JetStream, t Topology) ([]Step, error) {
	var steps []Step
	add := func(s Step, diffs []Difference, err error) error {
		s.Action, s.Differences = ActionLeave, diffs
		switch {
		case len(diffs) > 0 && diffs[0].Missing():
			s.Action = ActionMake
		case len(diffs) > 0:
			s.Action = ActionChange
		}
		steps = append(steps, s)
		return err
	}
	for _, cfg := range t.Streams {
		diffs, err := streamDifferences(ctx, js, cfg)
		if err := add(Step{Kind: "stream", Name: cfg.Name, Subjects: cfg.Subjects, Replicas: cfg.Replicas}, diffs, err); err != nil {
			return nil, err
		}
	}
	for _, cfg := range t.buckets() {
		diffs, err := bucketDifferences(ctx, js, cfg)
		if err := add(Step{Kind: "bucket", Name: cfg.Name, Replicas: cfg.Replicas}, diffs, err); err != nil {
			return nil, err
		}
	}
	for _, c := range t.Consumers {
		diffs, err := consumerDifferences(ctx, js, c)
		if err := add(Step{Kind: "consumer", Name: c.Name, Stream: c.Stream, Subjects: c.Filters()}, diffs, err); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// Check tells where JetStream is not as the topology says. Things beside the topology are not looked at, and nothing is
// changed.
func Check(ctx context.Context, js jetstream.JetStream, t Topology) ([]Difference, error) {
	steps, err := Plan(ctx, js, t)
	var all []Difference
	for _, step := range steps {
		all = append(all, step.Differences...)
	}
	return all, err
}

func streamDifferences(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) ([]Difference, error) {
	thing := "stream " + want.Name
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return []Difference{{Thing: thing}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", thing, explainAPI(js, err))
	}
	return differences(thing, s.CachedInfo().Config, want)
}

// buckets are the settings that flowgate chooses of the streams that hold the buckets; the client library has the others.
func (t Topology) buckets() []jetstream.StreamConfig {
	var streams []jetstream.StreamConfig
	for _, kv := range t.KeyValues {
		streams = append(streams, jetstream.StreamConfig{
			Name: "KV_" + kv.Bucket, Description: kv.Description, MaxMsgsPerSubject: int64(kv.History),
			Storage: kv.Storage, Replicas: kv.Replicas, MaxBytes: kv.MaxBytes, MaxAge: kv.TTL,
			AllowMsgTTL: kv.LimitMarkerTTL > 0, SubjectDeleteMarkerTTL: kv.LimitMarkerTTL,
		})
	}
	for _, o := range t.Objects {
		streams = append(streams, jetstream.StreamConfig{
			Name: "OBJ_" + o.Bucket, Description: o.Description, MaxMsgsPerSubject: unlimited,
			Storage: o.Storage, Replicas: o.Replicas, MaxBytes: o.MaxBytes, MaxAge: o.TTL,
		})
	}
	return streams
}

func bucketDifferences(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) ([]Difference, error) {
	thing := "bucket " + want.Name
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return []Difference{{Thing: thing}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", thing, explainAPI(js, err))
	}
	have := s.CachedInfo().Config
	return differences(thing, jetstream.StreamConfig{
		Name: have.Name, Description: have.Description, MaxMsgsPerSubject: have.MaxMsgsPerSubject,
		Storage: have.Storage, Replicas: have.Replicas, MaxBytes: have.MaxBytes, MaxAge: have.MaxAge,
		AllowMsgTTL: have.AllowMsgTTL, SubjectDeleteMarkerTTL: have.SubjectDeleteMarkerTTL,
	}, want)
}

func consumerDifferences(ctx context.Context, js jetstream.JetStream, want Consumer) ([]Difference, error) {
	thing := "consumer " + want.Name + " of " + want.Stream
	c, err := js.Consumer(ctx, want.Stream, want.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return []Difference{{Thing: thing}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", thing, explainAPI(js, err))
	}
	return differences(thing, c.CachedInfo().Config, want.ConsumerConfig)
}

// defaulted are settings that the server fills in and the topology leaves to it.
func defaulted(field string) bool {
	switch field {
	case "metadata", "max_waiting", "first_seq":
		return true
	}
	return false
}

// differences compares two configurations field by field as the JetStream API names them. What is not set and what is
// zero are the same.
func differences(thing string, have, want any) ([]Difference, error) {
	h, err := fields(have)
	if err != nil {
		return nil, err
	}
	w, err := fields(want)
	if err != nil {
		return nil, err
	}
	union := maps.Clone(h)
	maps.Copy(union, w)
	var diffs []Difference
	for _, field := range slices.Sorted(maps.Keys(union)) {
		if defaulted(field) || reflect.DeepEqual(h[field], w[field]) {
			continue
		}
		diffs = append(diffs, Difference{Thing: thing, Field: field, Have: text(h[field]), Want: text(w[field])})
	}
	return diffs, nil
}

func fields(cfg any) (map[string]any, error) {
	data, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("comparing configurations: %w", err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("comparing configurations: %w", err)
	}
	maps.DeleteFunc(m, func(_ string, v any) bool { return empty(v) })
	return m, nil
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return reflect.ValueOf(v).IsZero()
	}
}

func text(v any) string {
	if v == nil {
		return ""
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

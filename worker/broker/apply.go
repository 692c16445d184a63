package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Difference is one setting of one thing that is not as the topology says.
type Difference struct {
	// Thing is such as "stream FLOWGATE_INGRESS" or "consumer ai-rt-0 of FLOWGATE_WORK_0".
	Thing string
	// Field is the setting's name in the JetStream API; empty: the thing is missing.
	Field string
	// Have and Want are the values as JSON; empty: not set.
	Have, Want string
}

func (d Difference) String() string {
	if d.Field == "" {
		return d.Thing + " is missing"
	}
	return fmt.Sprintf("%s: %s is %s, must be %s", d.Thing, d.Field, orNone(d.Have), orNone(d.Want))
}

func orNone(s string) string {
	if s == "" {
		return "not set"
	}
	return s
}

// Apply creates what is missing and changes what differs. It may run in several processes at once and again. What the
// server does not let be changed is an error that names stream or consumer and field.
func Apply(ctx context.Context, js jetstream.JetStream, t Topology) error {
	for _, cfg := range t.Streams {
		if err := applyStream(ctx, js, cfg); err != nil {
			return err
		}
	}
	for _, cfg := range t.KeyValues {
		if _, err := js.CreateOrUpdateKeyValue(ctx, cfg); err != nil {
			return fmt.Errorf("making bucket %s: %w", cfg.Bucket, explainAPI(js, err))
		}
	}
	for _, cfg := range t.Objects {
		if _, err := js.CreateOrUpdateObjectStore(ctx, cfg); err != nil {
			return fmt.Errorf("making object bucket %s: %w", cfg.Bucket, explainAPI(js, err))
		}
	}
	for _, c := range t.Consumers {
		if err := applyConsumer(ctx, js, c); err != nil {
			return err
		}
	}
	return nil
}

// applyStream creates first: of several creators with one configuration each succeeds.
func applyStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) error {
	_, err := js.CreateStream(ctx, cfg)
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("making stream %s: %w", cfg.Name, explainAPI(js, err))
	}
	diffs, err := streamDifferences(ctx, js, cfg)
	if err != nil || len(diffs) == 0 {
		return err
	}
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("changing %s: %w (move it away with `nats stream`, or set what it has)", list(diffs), explainAPI(js, err))
	}
	return nil
}

func applyConsumer(ctx context.Context, js jetstream.JetStream, c Consumer) error {
	_, err := js.CreateConsumer(ctx, c.Stream, c.ConsumerConfig)
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrConsumerExists) {
		return fmt.Errorf("making consumer %s of %s: %w", c.Name, c.Stream, explainAPI(js, err))
	}
	diffs, err := consumerDifferences(ctx, js, c)
	if err != nil || len(diffs) == 0 {
		return err
	}
	if _, err := js.UpdateConsumer(ctx, c.Stream, c.ConsumerConfig); err != nil {
		return fmt.Errorf("changing %s: %w", list(diffs), explainAPI(js, err))
	}
	return nil
}

func list(diffs []Difference) string {
	parts := make([]string, len(diffs))
	for i, d := range diffs {
		parts[i] = d.String()
	}
	return strings.Join(parts, "; ")
}

// PartitionsFound is one more than the highest partition whose WORK stream exists; 0: there is none. A topology of fewer
// would leave requests without readers.
func PartitionsFound(ctx context.Context, js jetstream.JetStream) (int, error) {
	found := 0
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if p, err := strconv.Atoi(strings.TrimPrefix(name, strings.TrimSuffix(WorkStream(0), "0"))); err == nil && name == WorkStream(p) {
			found = max(found, p+1)
		}
	}
	if err := names.Err(); err != nil {
		return 0, fmt.Errorf("listing streams: %w", explainAPI(js, err))
	}
	return found, nil
}

// Check tells where JetStream is not as the topology says. Things beside the topology are not looked at.
func Check(ctx context.Context, js jetstream.JetStream, t Topology) ([]Difference, error) {
	var all []Difference
	for _, cfg := range t.Streams {
		diffs, err := streamDifferences(ctx, js, cfg)
		if err != nil {
			return nil, err
		}
		all = append(all, diffs...)
	}
	for _, cfg := range t.buckets() {
		diffs, err := bucketDifferences(ctx, js, cfg)
		if err != nil {
			return nil, err
		}
		all = append(all, diffs...)
	}
	for _, c := range t.Consumers {
		diffs, err := consumerDifferences(ctx, js, c)
		if err != nil {
			return nil, err
		}
		all = append(all, diffs...)
	}
	return all, nil
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

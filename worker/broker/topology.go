package broker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/messages"
	"flowgate/worker"
)

// Names of streams and buckets.
const (
	StreamIngress = worker.IngressStream
	StreamEvents  = worker.EventsStream

	// BucketControl holds agreements, policies, limits, pauses and cancellations, watched by every worker.
	BucketControl = "flowgate_control"
	// BucketCache holds answers that identical requests may share.
	BucketCache = "flowgate_cache"
	// BucketFlights has the questions that are on their way to models, in memory.
	BucketFlights = "flowgate_flights"
	// BucketBodies holds bodies that are too large for an envelope.
	BucketBodies = "flowgate_bodies"
)

// WorkStream is the stream in which the requests of partition p change their states.
func WorkStream(p int) string { return worker.WorkStream(p) }

// Fixed values of the topology.
const (
	// DefaultAckWait is after how much silence a delivery is given to another worker.
	DefaultAckWait = 30 * time.Second
	// MaxAckPending is high because parked messages count; slots bound concurrency.
	MaxAckPending = 500_000
	// duplicateWindow is the smallest that the server takes: ids prove nothing in flowgate, sequences do.
	duplicateWindow = 100 * time.Millisecond
	// flightsTTL ends a flight that its worker does not renew, flightsMaxBytes bounds what all of them take: some 100,000.
	flightsTTL      = 15 * time.Second
	flightsMaxBytes = 32 << 20
	// unlimited is how the server writes "no limit".
	unlimited = -1
)

// LayerQueue names a queue from which a layer takes its work, one durable consumer a class (and partition).
type LayerQueue struct {
	// Name is the beginning of the consumers' names: corporate, corporate-hold, ai, optimizer.
	Name string
	// State is the state that the queue delivers; empty: requests and replays of the ingress stream.
	State messages.State
}

// Consumer is the name of the queue's durable consumer for a class; p counts only for queues of the WORK streams.
func (q LayerQueue) Consumer(c messages.Class, p int) string {
	if q.State == "" {
		return q.Name + "-" + string(c)
	}
	return q.Name + "-" + string(c) + "-" + strconv.Itoa(p)
}

// Stream is the stream that the queue reads; p counts only for queues of the WORK streams.
func (q LayerQueue) Stream(p int) string {
	if q.State == "" {
		return StreamIngress
	}
	return WorkStream(p)
}

// Filters are the subjects that the queue's consumer for a class delivers.
func (q LayerQueue) Filters(c messages.Class, p int) []string {
	if q.State == "" {
		return []string{requests(c), replays(c)}
	}
	return []string{work(p, q.State, c)}
}

// Topology is everything that must exist in JetStream, as data.
type Topology struct {
	Streams   []jetstream.StreamConfig
	KeyValues []jetstream.KeyValueConfig
	Objects   []jetstream.ObjectStoreConfig
	Consumers []Consumer
}

// Consumer is one durable consumer and the stream that it reads.
type Consumer struct {
	Stream string
	jetstream.ConsumerConfig
}

// Filters are the subjects that the consumer delivers.
func (c Consumer) Filters() []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// ConsumersOf lists the consumers of one stream.
func (t Topology) ConsumersOf(stream string) []Consumer {
	var of []Consumer
	for _, c := range t.Consumers {
		if c.Stream == stream {
			of = append(of, c)
		}
	}
	return of
}

// TopologyOptions are the choices that a topology leaves open.
type TopologyOptions struct {
	// Partitions is the number of WORK streams, at least 1. More than one is for more than one machine. A smaller number
	// than before leaves requests behind without readers: PartitionsFound tells what is there.
	Partitions int
	// Replicas is 1, or 3 or 5 in a cluster.
	Replicas int
	// AckWait is after how much silence a delivery is given to another worker; at least a second.
	AckWait time.Duration
	// IngressMaxBytes, WorkMaxBytes (each partition), EventsMaxBytes, BodiesMaxBytes and CacheMaxBytes bound what is
	// stored; a full stream refuses new messages. -1 is no limit.
	IngressMaxBytes, WorkMaxBytes, EventsMaxBytes, BodiesMaxBytes, CacheMaxBytes int64
	// CacheTTL is how long a shared answer is kept.
	CacheTTL time.Duration
}

// DefaultTopologyOptions are those of one machine without limits.
func DefaultTopologyOptions() TopologyOptions {
	return TopologyOptions{
		Partitions: 1, Replicas: 1, AckWait: DefaultAckWait,
		IngressMaxBytes: unlimited, WorkMaxBytes: unlimited, EventsMaxBytes: unlimited,
		BodiesMaxBytes: unlimited, CacheMaxBytes: unlimited, CacheTTL: 24 * time.Hour,
	}
}

// Validate reports every fault at once.
func (o TopologyOptions) Validate() error {
	var faults []error
	if o.Partitions < 1 {
		faults = append(faults, fmt.Errorf("partitions is %d, must be at least 1", o.Partitions))
	}
	if o.Replicas < 1 || o.Replicas > 5 || o.Replicas%2 == 0 {
		faults = append(faults, fmt.Errorf("replicas is %d, must be 1, 3 or 5", o.Replicas))
	}
	if o.AckWait < time.Second {
		faults = append(faults, fmt.Errorf("ack_wait is %s, must be at least 1s", o.AckWait))
	}
	if o.CacheTTL < time.Second {
		faults = append(faults, fmt.Errorf("cache_ttl is %s, must be at least 1s", o.CacheTTL))
	}
	bounds := []struct {
		name  string
		bytes int64
	}{
		{"ingress_max_bytes", o.IngressMaxBytes},
		{"work_max_bytes", o.WorkMaxBytes},
		{"events_max_bytes", o.EventsMaxBytes},
		{"bodies_max_bytes", o.BodiesMaxBytes},
		{"cache_max_bytes", o.CacheMaxBytes},
	}
	for _, b := range bounds {
		if b.bytes != unlimited && b.bytes < 1 {
			faults = append(faults, fmt.Errorf("%s is %d, must be -1 (no limit) or a number of bytes", b.name, b.bytes))
		}
	}
	return errors.Join(faults...)
}

// NewTopology derives the topology from the options and the queues of the layers. It is deterministic.
func NewTopology(o TopologyOptions, queues []LayerQueue) (Topology, error) {
	if err := o.Validate(); err != nil {
		return Topology{}, fmt.Errorf("planning the topology: %w", err)
	}
	t := Topology{
		Streams: []jetstream.StreamConfig{ingressStream(o), eventsStream(o)},
		KeyValues: []jetstream.KeyValueConfig{
			{Bucket: BucketControl, Description: "control plane", History: 1, Storage: jetstream.FileStorage, Replicas: o.Replicas, MaxBytes: unlimited},
			{
				Bucket: BucketCache, Description: "shared answers", History: 1, Storage: jetstream.FileStorage, Replicas: o.Replicas,
				MaxBytes: o.CacheMaxBytes, TTL: o.CacheTTL, LimitMarkerTTL: time.Second, // each answer has a time of its own
			},
			{
				Bucket: BucketFlights, Description: "questions on their way", History: 1, Storage: jetstream.MemoryStorage, Replicas: o.Replicas,
				MaxBytes: flightsMaxBytes, TTL: flightsTTL,
			},
		},
		Objects: []jetstream.ObjectStoreConfig{
			{Bucket: BucketBodies, Description: "large bodies", Storage: jetstream.FileStorage, Replicas: o.Replicas, MaxBytes: o.BodiesMaxBytes},
		},
	}
	for p := range o.Partitions {
		t.Streams = append(t.Streams, workStream(o, p))
	}
	for _, q := range queues {
		partitions := o.Partitions
		if q.State == "" {
			partitions = 1
		}
		for p := range partitions {
			for _, c := range messages.Classes() {
				t.Consumers = append(t.Consumers, consumer(o, q, c, p))
			}
		}
	}
	return t, nil
}

// baseStream keeps what it accepted until the janitor purges it, and refuses what is over its bounds.
func baseStream(o TopologyOptions, name string, maxBytes int64, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: subjects,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage,
		Replicas: o.Replicas, MaxBytes: maxBytes, Duplicates: duplicateWindow,
		MaxMsgs: unlimited, MaxMsgsPerSubject: unlimited, MaxMsgSize: unlimited, MaxConsumers: unlimited,
	}
}

func ingressStream(o TopologyOptions) jetstream.StreamConfig {
	var subjects []string
	for _, c := range messages.Classes() {
		subjects = append(subjects, requests(c), replays(c))
	}
	s := baseStream(o, StreamIngress, o.IngressMaxBytes, subjects...)
	s.Description = "requests and replays, each subject once"
	s.MaxMsgsPerSubject, s.DiscardNewPerSubject = 1, true
	return s
}

func eventsStream(o TopologyOptions) jetstream.StreamConfig {
	s := baseStream(o, StreamEvents, o.EventsMaxBytes, messages.EventSubject("*", "*"))
	s.Description = "events for the record"
	return s
}

// workStream wakes those who wait for a result with the headers of done. Atomic publish is the group commit of
// synchronous storage.
func workStream(o TopologyOptions, p int) jetstream.StreamConfig {
	var subjects []string
	for _, state := range messages.States() {
		for _, c := range messages.Classes() {
			subjects = append(subjects, work(p, state, c))
		}
	}
	s := baseStream(o, WorkStream(p), o.WorkMaxBytes, subjects...)
	s.Description = "states of the requests of partition " + strconv.Itoa(p)
	s.AllowAtomicPublish = true
	s.RePublish = &jetstream.RePublish{
		Source:      work(p, messages.StateDone, "*"),
		Destination: messages.ResultSubject(messages.Key{Tenant: "{{wildcard(2)}}", ID: "{{wildcard(3)}}"}),
		HeadersOnly: true,
	}
	return s
}

func consumer(o TopologyOptions, q LayerQueue, c messages.Class, p int) Consumer {
	cfg := jetstream.ConsumerConfig{
		Name: q.Consumer(c, p), Durable: q.Consumer(c, p),
		DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: o.AckWait, MaxDeliver: unlimited, MaxAckPending: MaxAckPending,
		ReplayPolicy: jetstream.ReplayInstantPolicy,
	}
	if filters := q.Filters(c, p); len(filters) == 1 {
		cfg.FilterSubject = filters[0]
	} else {
		cfg.FilterSubjects = filters
	}
	return Consumer{Stream: q.Stream(p), ConsumerConfig: cfg}
}

func requests(c messages.Class) string { return messages.RequestSubject(c, anyKey()) }

func replays(c messages.Class) string {
	return strings.TrimSuffix(messages.ReplaySubject(c, anyKey(), 0), "0") + "*"
}

func work(p int, s messages.State, c messages.Class) string {
	return messages.WorkSubject(p, s, c, anyKey())
}

// anyKey stands for every key in a filter.
func anyKey() messages.Key { return messages.Key{Tenant: "*", ID: "*"} }

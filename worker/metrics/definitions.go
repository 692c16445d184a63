package metrics

import "github.com/prometheus/client_golang/prometheus"

// Definition is what a metric is called and means.
type Definition struct {
	Name string
	// Type is counter, gauge or histogram.
	Type   string
	Labels []string
	// Help says what it is, with its unit.
	Help string

	buckets []float64
}

const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// The names, where code beside the list needs them.
const (
	nameTokens       = "gen_ai_client_token_usage"
	nameDuration     = "gen_ai_client_operation_duration_seconds"
	nameRequests     = "flowgate_requests_total"
	nameAttempts     = "flowgate_attempts_total"
	nameDead         = "flowgate_dead_letters_total"
	nameCost         = "flowgate_cost_microusd_total"
	nameCacheHits    = "flowgate_cache_hits_total"
	nameCacheMisses  = "flowgate_cache_misses_total"
	nameCacheSaved   = "flowgate_cache_saved_microusd_total"
	nameCacheEvicted = "flowgate_cache_evictions_total"
	nameCacheBytes   = "flowgate_cache_bytes"
	nameDeadline     = "flowgate_deadline_proximity_seconds"
	nameWait         = "flowgate_layer_wait_seconds"
	nameWork         = "flowgate_layer_work_seconds"
	nameOldest       = "flowgate_queue_oldest_age_seconds"
	namePending      = "flowgate_queue_pending"
	nameUnanswered   = "flowgate_queue_unanswered"
	nameHeld         = "flowgate_reservations_held_microusd"
	nameOverBound    = "flowgate_over_bound_total"
	nameBudgetUsed   = "flowgate_budget_used_ratio"
	nameBudgetAlerts = "flowgate_budget_alerts_total"
	nameLag          = "flowgate_audit_lag_seconds"
	nameService      = "flowgate_service_state"
	nameServiceTime  = "flowgate_service_probe_seconds"
	nameConnections  = "flowgate_postgres_connections"
	nameMostConns    = "flowgate_postgres_connections_max"
	nameConnWaits    = "flowgate_postgres_waits_total"
	nameConnWaitTime = "flowgate_postgres_wait_seconds_total"
	nameConnected    = "flowgate_broker_connected"
	nameReconnects   = "flowgate_broker_reconnects_total"
	nameBreaker      = "flowgate_backend_breaker_state"
	nameBreakersOpen = "flowgate_backend_models_stopped"
	nameWaiting      = "flowgate_backend_waiting"
	nameAway         = "flowgate_backend_away"
	nameBlocked      = "flowgate_backend_blocked_seconds"
	namePaced        = "flowgate_backend_paced_seconds_total"
	nameAsked        = "flowgate_scrape_source_up"
	nameBuild        = "flowgate_build_info"
)

// Definitions lists every metric of our own, in the order of a request's life. The Go runtime's and the process's (go_…,
// process_…) come beside them.
func Definitions() []Definition {
	return []Definition{
		{
			Name: nameRequests, Type: counter, Labels: []string{"layer", "outcome", "reason"},
			Help: "Deliveries that a layer answered, by what they came to: the status of a request that ended, or passed, waiting, retry, " +
				"parked, moved, lost, unpublished, left.",
		},
		{
			Name: nameWait, Type: histogram, Labels: []string{"layer", "class"},
			Help:    "Seconds from when a message was stored (or from its not_before) until a worker took it up.",
			buckets: prometheus.ExponentialBucketsRange(0.001, 3600, 14),
		},
		{
			Name: nameWork, Type: histogram, Labels: []string{"layer"},
			Help:    "Seconds from when a worker took a message up until it was answered.",
			buckets: prometheus.ExponentialBucketsRange(0.001, 600, 14),
		},
		{
			Name: nameAttempts, Type: counter, Labels: []string{"backend", "class"},
			Help: "Attempts at a backend, by the class of their fault; ok where an answer came.",
		},
		{
			Name: nameDuration, Type: histogram,
			Labels: []string{"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"},
			Help: "Seconds that an attempt at a model took (gen_ai.client.operation.duration), chat and embeddings apart; error_type is empty where " +
				"an answer came, a model without a price of its own is other.",
			// The convention's boundaries: 0.01 s doubling to 81.92 s.
			buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		},
		{
			Name: nameTokens, Type: histogram,
			Labels: []string{"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"},
			Help: "Tokens of one answer (gen_ai.client.token.usage), input and output apart; embeddings have no output, a model without a price of " +
				"its own is other.",
			buckets: prometheus.ExponentialBuckets(1, 4, 14), // 1, 4, 16 … 67108864
		},
		{
			Name: nameCost, Type: counter, Labels: []string{"backend"},
			Help: "Micro-dollars that attempts cost, those in doubt at their bound.",
		},
		{
			Name: nameOverBound, Type: counter, Labels: []string{"backend"},
			Help: "Attempts that cost more than their bound, which limits on money rely on: each is an alarm, an event over_bound in the record, and charged in full.",
		},
		{
			Name: nameCacheHits, Type: counter, Labels: []string{"level"},
			Help: "Answers that were found in the cache, by where: memory, disk, or shared with other workers.",
		},
		{Name: nameCacheMisses, Type: counter, Help: "Questions that the cache had no answer to."},
		{Name: nameCacheSaved, Type: counter, Help: "Micro-dollars that the calls had cost that answers of the cache took the place of."},
		{Name: nameCacheEvicted, Type: counter, Help: "Files of the cache that this process removed to make room."},
		{
			Name: nameCacheBytes, Type: gauge, Labels: []string{"level"},
			Help: "Bytes of the cache, in memory and on disk. Processes of one state folder share its files: take the maximum of disk.",
		},
		{
			Name: nameDeadline, Type: histogram,
			Help:    "Seconds that were left until not_after when a request ended; 0 where it had passed.",
			buckets: []float64{0, 1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 72 * 3600},
		},
		{
			Name: nameDead, Type: counter, Labels: []string{"layer", "reason"},
			Help: "Dead letters: failures that were stored for a replay.",
		},
		{
			Name: nameOldest, Type: gauge, Labels: []string{"layer", "class", "queue"},
			Help: "Seconds since the oldest message of a queue was stored that is not done with, parked ones included; absent where the " +
				"queue is empty. Every process of the layer tells the same: take the maximum.",
		},
		{
			Name: namePending, Type: gauge, Labels: []string{"layer", "class", "queue"},
			Help: "Messages of a queue that no worker was given yet. Every process of the layer tells the same: take the maximum.",
		},
		{
			Name: nameUnanswered, Type: gauge, Labels: []string{"layer", "class", "queue"},
			Help: "Messages of a queue that workers have in hand or that are parked. Every process of the layer tells the same: take the maximum.",
		},
		{
			Name: nameHeld, Type: gauge,
			Help: "Micro-dollars that open requests hold in reserve. Every process tells the same: take the maximum.",
		},
		{
			Name: nameBudgetUsed, Type: gauge, Labels: []string{"kind", "window"},
			Help: "Part of its limit that the fullest budget of a kind (tenant, department, user, agreement) has spent in the day or month, 1 for " +
				"all of it. The process that looks after budgets tells it: take the maximum.",
		},
		{
			Name: nameBudgetAlerts, Type: counter, Labels: []string{"kind", "window", "mark"},
			Help: "Alerts of budgets that this process told, by the mark (in percent of the limit) that was passed.",
		},
		{
			Name: nameLag, Type: gauge, Labels: []string{"stream"},
			Help: "Seconds since the oldest message of a stream was stored that is not in the record yet; 0 where all are. Every process " +
				"tells the same: take the maximum.",
		},
		{
			Name: nameService, Type: gauge, Labels: []string{"service", "state"},
			Help: "1 for the state that a service is in (healthy, degraded, unhealthy, unknown), 0 for the others; services that are not " +
				"used are absent.",
		},
		{
			Name: nameServiceTime, Type: gauge, Labels: []string{"service"},
			Help: "Seconds that the last probe of a service took that was answered; absent where none was.",
		},
		{Name: nameConnections, Type: gauge, Labels: []string{"state"}, Help: "Connections of the pool to Postgres, in_use and idle."},
		{Name: nameMostConns, Type: gauge, Help: "The most connections that the pool to Postgres may have."},
		{Name: nameConnWaits, Type: counter, Help: "How often somebody had to wait for a connection because the pool was empty."},
		{Name: nameConnWaitTime, Type: counter, Help: "Seconds that all waited for connections of the pool, together."},
		{Name: nameConnected, Type: gauge, Help: "1 where this process is connected to the broker, else 0."},
		{Name: nameReconnects, Type: counter, Help: "How often this process had to connect to the broker anew."},
		{
			Name: nameBreaker, Type: gauge, Labels: []string{"backend", "state"},
			Help: "1 for the state that the breaker of a whole backend is in (closed, half_open, open, held, unhealthy), 0 for the others.",
		},
		{Name: nameBreakersOpen, Type: gauge, Labels: []string{"backend"}, Help: "Models of a backend whose own breaker is not closed."},
		{Name: nameWaiting, Type: gauge, Labels: []string{"backend"}, Help: "Calls that wait in their slots until the provider's limit has room for them."},
		{Name: nameAway, Type: gauge, Labels: []string{"backend"}, Help: "Calls that were told to come back when the provider's limit has room for them."},
		{Name: nameBlocked, Type: gauge, Labels: []string{"backend"}, Help: "Seconds until calls may go again after a provider refused one for its rate; 0 where they may. Of several models the longest."},
		{Name: namePaced, Type: counter, Labels: []string{"backend"}, Help: "Seconds that calls waited in their slots for a provider's limit, all together."},
		{
			Name: nameAsked, Type: gauge, Labels: []string{"source"},
			Help: "1 where a source that is asked for a scrape answered in time (queues, ledger, record), else 0: its metrics are absent then.",
		},
		{Name: nameBuild, Type: gauge, Labels: []string{"version", "goversion"}, Help: "1; its labels say what runs."},
	}
}

// define finds a definition.
func define(name string) Definition {
	for _, d := range Definitions() {
		if d.Name == name {
			return d
		}
	}
	panic("metrics: " + name + " is not defined") // a fault of this package, found by its first test
}

func (d Definition) desc() *prometheus.Desc { return prometheus.NewDesc(d.Name, d.Help, d.Labels, nil) }

func (d Definition) counters() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
}

func (d Definition) histograms() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: d.buckets}, d.Labels)
}

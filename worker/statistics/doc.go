// Package statistics counts what gateways and backends of this process did, over the last minute, five minutes and hour:
// requests, errors by reason, times. Counts of several processes are added, and their quantiles are then those of them all.
//
// Read book.go, then window.go and histogram.go.
package statistics

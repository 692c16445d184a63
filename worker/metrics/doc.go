// Package metrics counts what the runtime tells its observers and asks broker and database, when somebody scrapes, how
// they stand. It has a registry of its own. Every label has a bounded set of values: no tenant, no user, no request.
//
// Read next: definitions.go (every metric), then metrics.go.
package metrics

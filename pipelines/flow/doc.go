// Package flow has the FLOW agreements: what a request may be asked under, how its encoding is written, and when it is
// valid. Whoever calls passes the time in; nothing here reads a clock.
//
// Read next: agreement.go (one agreement), book.go (all of them), encoding.go (the grammar of flow_encoding).
package flow

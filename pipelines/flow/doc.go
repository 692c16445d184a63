// Package flow has the FLOW agreements: what a request may be asked under, how its encoding is written, and when it is
// valid. Whoever calls passes the time in; nothing here reads a clock.
//
// Read next: agreement.go (one agreement), life.go (where a version stands), edit.go (who may change what), book.go (all of them),
// match.go (which one a text means), encoding.go (the grammar of flow_encoding).
package flow

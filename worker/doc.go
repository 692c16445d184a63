// Package worker is the runtime: a message's life, one file a station. A delivery is fetched (consume.go), screened and
// handed to its layer (handle.go), the next state is published under the law of the hop (publish.go), and the input is
// answered (settle.go). Adapters to the world outside (Postgres, the broker's administration, model backends) are packages
// below this one; they import it, never the reverse.
//
// Read next: handle.go, then publish.go.
package worker

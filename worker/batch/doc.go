// Package batch fans a file of requests out: it checks every line, publishes one request a line, collects how each ended,
// and writes exactly one line for it into the output or the error file, however often the process is killed and started
// again.
//
// What is remembered stands in two places that survive: the broker, which takes a request id once, and the files that are
// written, whose lines name the ids that are done. So a run that is repeated asks about what is missing and sends nothing
// twice.
//
// Read next: file.go (what may be in a file), run.go (what is done with it), output.go (what is left behind).
package batch

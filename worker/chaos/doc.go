// Package chaos is what a drill of faults decides: the schedule and the mix of requests, both from a seed alone, and the verdict
// from the evidence. It starts nothing and kills nothing; cmd/flowgate does.
//
// Read next: plan.go (what happens when), mix.go (what is asked), verdict.go (what must be zero).
package chaos

// Package cache keeps what models answered, so that nobody pays twice for an answer that is there: in memory, in files of this machine,
// and in a level that all workers share. Whatever goes wrong with it is a miss, never the fault of a request.
//
// What lies in it is what the provider saw and said, so with placeholders in the place of masked data: whoever takes an answer out
// applies the rules on personal data to it, as to one that has just come.
//
// Read next: cache.go (what is asked of it), files.go (the folder), bucket.go (the shared level), counters.go (what it saved).
package cache

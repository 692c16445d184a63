// Package pace lets calls to a provider wait instead of being refused: one bucket a backend and model, shared by all workers of a
// deployment, fed by what answers tell (quota headers, Retry-After, 429).
//
// Three things say how fast calls may go:
//
//   - A block: after a 429 nothing is sent before its Retry-After has passed, and then calls go on one by one.
//   - Quota headers, where a provider sends them: what is left of the limit, spread over the time until all is there again
//     (quota.go). Nothing is guessed, a changed limit counts from the next answer on.
//   - Else what was learnt from refusals (limit.go, learn.go): a picture of the provider's token bucket, kept nearly empty, and one
//     call more than it can hold every 125 calls, since without headers nothing but a refusal tells where the limit is. At most
//     one call in a hundred is refused so, and a lifted limit is noticed within the time of about 150 calls: three seconds at 50 a
//     second, six where three workers were refused at once. No schedule of probes that keeps to one in a hundred does it in less
//     than two on average.
//
// While nothing is known of a limit calls grow by what is answered, and few are on their way at once (bucket.daring): where the
// limit is reached, about one call a worker is refused. That costs an unlimited provider which answers in 50 to 300 ms two to three
// seconds, once; one that answers in 5 ms, or in 2 s, nothing.
//
// Calls of one key go oldest first; who cannot go within its patience is told when to come back (queue.go), and is then older than
// whoever came later. Workers tell each other their calls, demand and what they learnt over core NATS (share.go): a worker
// that hears nobody paces alone, and one that was not heard for three seconds has no share.
//
// Read pace.go, then bucket.go.
package pace

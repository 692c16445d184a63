// Package pace lets calls to a provider wait instead of being refused: one bucket a backend and model, shared by all workers of a
// deployment, fed by what answers tell (quota headers, Retry-After, 429).
//
// Three things say how fast calls may go:
//
//   - A block: after a 429 nothing is sent before its Retry-After has passed, and then calls go on one by one.
//   - Quota headers, where a provider sends them: what is left of the limit, spread over the time until all is there again
//     (quota.go). Nothing is guessed, a changed limit counts from the next answer on.
//   - Else what was learnt from refusals (limit.go): cruising at what the provider delivered, and a short probe above that every
//     two hundred calls or so, since without headers nothing but a refusal tells where the limit is.
//
// Calls of one key go oldest first; who cannot go within its patience is told when to come back (queue.go), and is then older than
// whoever came later. Workers tell each other their calls, demand and what they learnt over core NATS (share.go): a worker
// that hears nobody paces alone, and one that was not heard for three seconds has no share.
//
// Read pace.go, then bucket.go.
package pace

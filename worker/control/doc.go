// Package control is the control plane: what operators paused or cancelled, and the policy in force, in the bucket
// flowgate_control, watched by every process.
//
// An entry is `pause.<kind>.<name>`, `cancel.<tenant>.<id>.<epoch>` or `cancel.<tenant>.<batch>.batch`, with a JSON value;
// `policy.active` is the policy in force, `agreement.<hash of the trigger>` a FLOW agreement as it stands. The key `heartbeat` proves that the bucket can be written and heard: a process that
// has not heard it for a while writes it. Nothing here needs Postgres.
//
// Read next: pauses.go (setting, clearing, listing), cancels.go, policies.go, watch.go (how a process knows).
package control

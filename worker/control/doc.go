// Package control is the control plane: what operators paused, in the bucket flowgate_control, watched by every process.
//
// An entry is `pause.<kind>.<name>` with a JSON value. The key `heartbeat` proves that the bucket can be written and heard:
// a process that has not heard it for a while writes it. Nothing here needs Postgres.
//
// Read next: pauses.go (setting, clearing, listing), watch.go (how a process knows).
package control

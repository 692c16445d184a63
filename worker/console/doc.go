// Package console is the HTTP listener of a process: whether it lives (/livez), whether it can work (/readyz), and its
// metrics (/metrics). It listens on loopback, where no stranger is, and answers nothing that a stranger must not read.
//
// Read console.go, then checks.go and guard.go.
package console

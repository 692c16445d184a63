// Package sessions knows the services that a process depends on: with which credentials they are reached, the clients
// that reach them, and how they are.
//
// Read next: health.go, then monitor.go.
package sessions

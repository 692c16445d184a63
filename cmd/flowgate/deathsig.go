//go:build linux

package main

import "syscall"

// ownGroup puts a child into a process group of its own, so that a terminal's interrupt reaches this process alone, and has
// the child drain when this process dies, however it dies.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

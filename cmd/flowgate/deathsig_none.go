//go:build unix && !linux

package main

import "syscall"

// ownGroup puts a child into a process group of its own, so that a terminal's interrupt reaches this process alone. This
// system has no death signals: what this process leaves behind when it is killed has to be ended by hand.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

//go:build unix && !linux

package private

import (
	"errors"
	"fmt"
	"syscall"
)

// attributes knows neither namespaces, which makes the caller try the next identity, nor death signals: a server that
// outlives this process is ended by the next start.
func attributes(id identity) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true}
	switch id.mode {
	case asItself:
	case inNamespace:
		return nil, fmt.Errorf("entering a user namespace: %w", errors.ErrUnsupported)
	case switched:
		attr.Credential = &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid)}
	}
	return attr, nil
}

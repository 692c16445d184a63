package main

import (
	"errors"
	"fmt"
	"slices"
)

// shutdown is a stack of named steps, undone last first.
type shutdown []struct {
	name string
	undo func() error
}

func (s *shutdown) push(name string, undo func() error) {
	*s = append(*s, struct {
		name string
		undo func() error
	}{name, undo})
}

func (s *shutdown) run() error {
	var faults []error
	for _, step := range slices.Backward(*s) {
		if err := step.undo(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	*s = nil
	return errors.Join(faults...)
}

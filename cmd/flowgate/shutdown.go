package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// shutdown is a stack of named steps, undone last first. Several goroutines may push.
type shutdown struct {
	mu    sync.Mutex
	steps []undoing
}

type undoing struct {
	name string
	undo func() error
}

func (s *shutdown) push(name string, undo func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, undoing{name, undo})
}

// run undoes everything once; nothing MUST be pushed meanwhile.
func (s *shutdown) run() error {
	var faults []error
	for _, step := range slices.Backward(s.steps) {
		if err := step.undo(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	s.steps = nil
	return errors.Join(faults...)
}

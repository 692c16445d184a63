package worker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
)

// PauseKind is what a pause stops.
type PauseKind string

// The kinds of pauses.
const (
	// PauseLayer stops one layer, PauseClass one class in every layer.
	PauseLayer PauseKind = "layer"
	PauseClass PauseKind = "class"
	// PauseTenant and PauseAgreement stop the requests of a tenant, or under an agreement (by its trigger).
	PauseTenant    PauseKind = "tenant"
	PauseAgreement PauseKind = "agreement"
	// PauseBackend keeps layer 2 from asking a backend.
	PauseBackend PauseKind = "backend"
)

// PauseKinds lists the kinds.
func PauseKinds() []PauseKind {
	return []PauseKind{PauseLayer, PauseClass, PauseTenant, PauseAgreement, PauseBackend}
}

// ParsePauseKind reads a kind.
func ParsePauseKind(s string) (PauseKind, error) {
	if k := PauseKind(s); slices.Contains(PauseKinds(), k) {
		return k, nil
	}
	names := make([]string, len(PauseKinds()))
	for i, k := range PauseKinds() {
		names[i] = string(k)
	}
	return "", fmt.Errorf("%.40q is no kind of pause; use %s", s, strings.Join(names, ", "))
}

// Pause is an operator's word that something must not go on for now. Nothing that waits for its end is lost or burns an
// attempt; deadlines go on.
type Pause struct {
	Kind PauseKind `json:"kind"`
	Name string    `json:"name"`
	// Reason is shown to everybody who waits; By is who paused.
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	Since  time.Time `json:"since"`
	// Version is the bucket's revision of the entry, Unreadable is set where its value is none of ours: it holds all the
	// same.
	Version    uint64 `json:"version"`
	Unreadable bool   `json:"unreadable,omitempty"`
}

// Why says in one line what is paused and why.
func (p Pause) Why() string {
	return fmt.Sprintf("%s %s is paused since %s: %s", p.Kind, p.Name, p.Since.UTC().Format(time.RFC3339), p.Reason)
}

// Control tells what is paused, and what was cancelled. Methods are called for every message and must not block.
type Control interface {
	// Paused tells whether something is paused, and why.
	Paused(kind PauseKind, name string) (Pause, bool)
	// Cancelled tells whether an epoch of a request was cancelled, alone or with its batch. submitted is when the epoch was
	// asked for.
	Cancelled(key messages.Key, epoch int, submitted time.Time) (Cancellation, bool)
	// Silent is for how long nothing was heard of the control plane.
	Silent() time.Duration
}

// LongestSilence is after how long without a word of the control plane a layer stops acting: it may not know of a pause.
const LongestSilence = 15 * time.Second

package flow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
)

// DefaultConfidence is the confidence_threshold of an agreement that names none.
const DefaultConfidence = 0.8

// MaxLimit bounds each of limits: a million dollars, or as many calls.
const MaxLimit = 1_000_000_000_000

// maxVersion bounds the name of a version, in bytes.
const maxVersion = 128

// MaxSLASeconds bounds sla_seconds: a year.
const MaxSLASeconds = 366 * 24 * 3600

// Agreement is what a request may run under.
type Agreement struct {
	// Trigger is the name by which requests ask for the agreement, such as "[Cost Analysis]".
	Trigger string `json:"trigger"`
	// FlowEncoding is @entity#category!action@object.
	FlowEncoding string `json:"flow_encoding"`
	// ExpandedMeaning says in words what the agreement is for.
	ExpandedMeaning string `json:"expanded_meaning,omitempty"`
	// Action is what is done; RealImplementation does it, Fallback stands in for it where it fails.
	Action             string `json:"action"`
	RealImplementation string `json:"real_implementation,omitempty"`
	Fallback           string `json:"fallback,omitempty"`
	// Parameters are the action's defaults.
	Parameters map[string]any `json:"parameters,omitempty"`
	// ExpectedOutput says in words what comes of it.
	ExpectedOutput string `json:"expected_output,omitempty"`
	// ConfidenceThreshold is above 0 and at most 1; 0 means left out, which NewBook makes DefaultConfidence.
	ConfidenceThreshold float64 `json:"confidence_threshold"`

	// Owner answers for the agreement.
	Owner string `json:"owner,omitempty"`
	// Approver is another person who approved it.
	Approver string `json:"approver,omitempty"`
	// Purpose is what requests under it are for, where they do not say.
	Purpose string `json:"purpose,omitempty"`
	// Tenants are those whose requests may run under it; none: everybody's. DefaultFor are those whose requests do that name no other;
	// Everybody stands for all.
	Tenants    []string `json:"tenants,omitempty"`
	DefaultFor []string `json:"default_for,omitempty"`
	// Allowed bounds what its requests may use, beside the lists of tenants and departments; an empty list bounds nothing.
	Allowed messages.Allowed `json:"allowed,omitzero"`
	// Limits bound how often it runs, and for how much.
	Limits Limits `json:"limits,omitzero"`
	// FallbackAgeSeconds is how old a measured result may be that stands in for an execution that failed; 0: none may.
	FallbackAgeSeconds float64 `json:"fallback_age_seconds,omitempty"`
	// ComplianceLevel has controls that its requests must meet beside the deployment's.
	ComplianceLevel string `json:"compliance_level,omitempty"`
	// Version names this state of the agreement; left out it is made from the content.
	Version string `json:"version,omitempty"`
	// ValidFrom is the first moment at which the agreement is valid, ValidUntil the first at which it no longer is. Zero
	// times set no bound.
	ValidFrom  time.Time `json:"valid_from,omitzero"`
	ValidUntil time.Time `json:"valid_until,omitzero"`
	// SLASeconds is how long a request under the agreement may take; 0 means that none is agreed.
	SLASeconds float64 `json:"sla_seconds,omitempty"`
}

// Named says in words which version of which agreement it is.
func (a Agreement) Named() string { return a.Trigger + " version " + a.Version }

// Everybody stands for all tenants in default_for.
const Everybody = "*"

// Limits bound an agreement in each tenant, by days and months of the deployment's time zone; 0 is no limit.
type Limits struct {
	// CallsDay is how many requests may run on a day.
	CallsDay int64 `json:"calls_day,omitempty"`
	// The others are in micro-dollars: what one request may cost, and all of a day and a month.
	RequestMicroUSD int64 `json:"request_microusd,omitempty"`
	DayMicroUSD     int64 `json:"day_microusd,omitempty"`
	MonthMicroUSD   int64 `json:"month_microusd,omitempty"`
}

// Check tells why the agreement is not valid at a moment; empty where it is.
func (a Agreement) Check(at time.Time) messages.Reason {
	switch {
	case !a.ValidFrom.IsZero() && at.Before(a.ValidFrom):
		return messages.ReasonAgreementNotYetValid
	case !a.ValidUntil.IsZero() && !at.Before(a.ValidUntil):
		return messages.ReasonAgreementExpired
	}
	return ""
}

// Ref names the agreement in records, in this version.
func (a Agreement) Ref() messages.AgreementRef {
	if a.Version == "" {
		a.Version = a.contentVersion()
	}
	ref := messages.AgreementRef{
		Trigger: a.Trigger, Version: a.Version, SLASeconds: a.SLASeconds, ComplianceLevel: a.ComplianceLevel, Owner: a.Owner, Approver: a.Approver,
	}
	if !a.ValidUntil.IsZero() {
		ref.ValidUntil = a.ValidUntil.UTC()
	}
	if !a.Allowed.Empty() {
		ref.Allowed = &a.Allowed
	}
	return ref
}

// Complete fills in the threshold and the version that were left out.
func (a Agreement) Complete() Agreement {
	a.ConfidenceThreshold = a.confidence()
	if a.Version == "" {
		a.Version = a.contentVersion()
	}
	return a
}

// With is the agreement with the parameters that a request gives beside those that the agreement has: those were approved as they are,
// and fixed is one that the request wants otherwise. Numbers are json.Number, as they were written. A value that is no JSON is left to the
// action to refuse.
func (a Agreement) With(given map[string]json.RawMessage) (all Agreement, fixed string) {
	if len(given) == 0 {
		return a, ""
	}
	own := a.Parameters
	if a.Parameters = maps.Clone(own); a.Parameters == nil {
		a.Parameters = make(map[string]any, len(given))
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		var value any
		decoder := json.NewDecoder(bytes.NewReader(given[name]))
		decoder.UseNumber()
		if decoder.Decode(&value) != nil {
			value = given[name]
		}
		if approved, has := own[name]; has {
			if !sameJSON(approved, value) {
				return a, name
			}
			continue
		}
		a.Parameters[name] = value
	}
	return a, ""
}

// sameJSON tells whether two values are written the same.
func sameJSON(a, b any) bool {
	one, err := json.Marshal(a)
	other, otherErr := json.Marshal(b)
	return err == nil && otherErr == nil && bytes.Equal(one, other)
}

// Terms are what decides of an agreement, its form, and what references to it say: no parameters and no words about it.
func (a Agreement) Terms() Agreement {
	return Agreement{
		Trigger: a.Trigger, FlowEncoding: a.FlowEncoding, Action: a.Action, ConfidenceThreshold: a.confidence(), Version: a.Ref().Version,
		ValidFrom: a.ValidFrom.UTC(), ValidUntil: a.ValidUntil.UTC(), SLASeconds: a.SLASeconds,
		ComplianceLevel: a.ComplianceLevel, Owner: a.Owner, Approver: a.Approver, Purpose: a.Purpose, Tenants: a.Tenants,
		DefaultFor: a.DefaultFor, Allowed: a.Allowed, Limits: a.Limits, FallbackAgeSeconds: a.FallbackAgeSeconds,
	}
}

// contentVersion is the first twelve hexadecimal digits of the SHA-256 of the agreement as JSON without its version. Times
// count as moments, an absent threshold as the default one.
func (a Agreement) contentVersion() string {
	a.Version = ""
	a.ValidFrom, a.ValidUntil = a.ValidFrom.UTC(), a.ValidUntil.UTC()
	a.ConfidenceThreshold = a.confidence()
	data, err := json.Marshal(a)
	if err != nil { // only parameters that no document can hold, which NewBook refuses
		data = fmt.Appendf(nil, "%#v", a)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

func (a Agreement) confidence() float64 {
	if a.ConfidenceThreshold == 0 {
		return DefaultConfidence
	}
	return a.ConfidenceThreshold
}

// fault reports every fault of an agreement.
func (a Agreement) fault() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch {
	case strings.TrimSpace(a.Trigger) == "":
		add("trigger: is required")
	case strings.TrimSpace(a.Trigger) != a.Trigger || strings.ContainsAny(a.Trigger, "\x00\r\n"):
		add("trigger: must be one line without spaces around it")
	case len(a.Trigger) > messages.MaxTextBytes:
		add("trigger: must be at most %d bytes", messages.MaxTextBytes)
	}
	if err := messages.CheckWord("version", a.Version, maxVersion); err != nil {
		faults = append(faults, err)
	}
	if _, err := ParseEncoding(a.FlowEncoding); err != nil {
		faults = append(faults, fmt.Errorf("flow_encoding: %w", err))
	}
	if strings.TrimSpace(a.Action) == "" {
		add("action: is required")
	}
	if c := a.confidence(); math.IsNaN(c) || c <= 0 || c > 1 {
		add("confidence_threshold: %v is not above 0 and at most 1", c)
	}
	if s := a.SLASeconds; math.IsNaN(s) || s < 0 || s > MaxSLASeconds {
		add("sla_seconds: %v is not from 0 to %d", s, MaxSLASeconds)
	}
	if !a.ValidFrom.IsZero() && !a.ValidUntil.IsZero() && !a.ValidFrom.Before(a.ValidUntil) {
		add("valid_from: must lie before valid_until")
	}
	if _, err := json.Marshal(a.Parameters); err != nil {
		faults = append(faults, fmt.Errorf("parameters: %w", err))
	}
	return errors.Join(errors.Join(faults...), a.boundsFault())
}

// boundsFault reports every fault of what bounds requests under the agreement.
func (a Agreement) boundsFault() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s := a.FallbackAgeSeconds; math.IsNaN(s) || s < 0 || s > MaxSLASeconds {
		add("fallback_age_seconds: %v is not from 0 to %d", s, MaxSLASeconds)
	}
	for _, l := range []struct {
		name string
		n    int64
	}{
		{"calls_day", a.Limits.CallsDay},
		{"request_microusd", a.Limits.RequestMicroUSD},
		{"day_microusd", a.Limits.DayMicroUSD},
		{"month_microusd", a.Limits.MonthMicroUSD},
	} {
		if l.n < 0 || l.n > MaxLimit {
			add("limits.%s: %d is not from 0 to %d", l.name, l.n, int64(MaxLimit))
		}
	}
	for _, t := range a.Tenants {
		if err := messages.CheckTenant(t); err != nil {
			faults = append(faults, fmt.Errorf("tenants: %w", err))
		}
	}
	for _, t := range a.DefaultFor {
		switch err := messages.CheckTenant(t); {
		case t == Everybody && len(a.Tenants) == 0:
		case err != nil:
			faults = append(faults, fmt.Errorf("default_for: %w", err))
		case len(a.Tenants) > 0 && !slices.Contains(a.Tenants, t):
			add("default_for: %s is not one of tenants", t)
		}
	}
	if err := a.Allowed.Check(); err != nil {
		faults = append(faults, fmt.Errorf("allowed: %w", err))
	}
	return errors.Join(faults...)
}

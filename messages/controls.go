package messages

import (
	"slices"
	"strings"
)

// Control is how one control of the deployment's compliance came out for a request, at one stage.
type Control struct {
	// ID begins with that of the control's framework and a dot.
	ID string `json:"id"`
	// Stage is before, call, after or end; empty where the request ended before it was judged.
	Stage string `json:"stage,omitempty"`
	// State is pass, fail, unknown (evidence is missing) or not_applicable.
	State string `json:"state"`
	// Severity is critical, high, medium or low; a request that fails a Gate ends.
	Severity string `json:"severity,omitempty"`
	Gate     bool   `json:"gate,omitempty"`
	// Evidence are the facts that it was judged by, or the rule by which it does not apply; never personal data.
	Evidence string `json:"evidence,omitempty"`
}

// Share is how far controls are met.
type Share struct {
	// Score is the share of weight that passed among the applicable controls, from 0 to 1, at most 0.49 where a gate failed;
	// Coverage the share of weight of which it is known whether it passed. Both are absent where no control applies.
	Score    *float64 `json:"score,omitempty"`
	Coverage *float64 `json:"coverage,omitempty"`

	Passed        int `json:"passed"`
	Failed        int `json:"failed"`
	Unknown       int `json:"unknown"`
	NotApplicable int `json:"not_applicable"`
}

// FrameworkScore is the share of one framework's controls.
type FrameworkScore struct {
	ID string `json:"id"`
	Share
}

// Compliance is conformance of an epoch to the configured controls. It is no legal advice.
type Compliance struct {
	Share

	Frameworks []FrameworkScore `json:"frameworks,omitempty"`
}

// ComplianceNote is what a score is, and what it is not.
const ComplianceNote = "Conformance to the configured controls; no legal advice."

// ResultCompliance is a result's compliance with every control.
type ResultCompliance struct {
	Share

	// Version names the controls, Level those of them that the request had to meet.
	Version    string            `json:"version"`
	Level      string            `json:"level,omitempty"`
	Frameworks []ResultFramework `json:"frameworks"`
	// Note says what the score is.
	Note string `json:"note"`
}

// ResultFramework is a framework with its controls.
type ResultFramework struct {
	FrameworkScore

	Controls []Control `json:"controls"`
}

// Controls are the results of an epoch's controls, stage by stage. What was due and never judged, since the request ended
// before, is not applicable.
func (e *Envelope) Controls() []Control {
	var all []Control
	var due []string
	if e.Corporate != nil {
		all, due = append(all, e.Corporate.Controls...), e.Corporate.ControlsDue
	}
	if e.AI != nil {
		all = append(all, e.AI.Controls...)
	}
	if e.Optimizer != nil {
		all = append(all, e.Optimizer.Controls...)
	}
	for _, id := range due {
		if !slices.ContainsFunc(all, func(c Control) bool { return c.ID == id }) {
			all = append(all, Control{ID: id, State: "not_applicable", Evidence: "the request ended before a result was recorded"})
		}
	}
	return all
}

// compliance projects the controls of an envelope that has ended; nil: there are none.
func compliance(e *Envelope) *ResultCompliance {
	if e.End == nil || e.End.Compliance == nil || e.Corporate == nil {
		return nil
	}
	c := &ResultCompliance{
		Share: e.End.Compliance.Share, Version: e.Corporate.ControlsVersion, Level: e.Corporate.ComplianceLevel, Note: ComplianceNote,
	}
	all := e.Controls()
	for _, f := range e.End.Compliance.Frameworks {
		of := ResultFramework{FrameworkScore: f}
		for _, one := range all {
			if strings.HasPrefix(one.ID, f.ID+".") {
				of.Controls = append(of.Controls, one)
			}
		}
		c.Frameworks = append(c.Frameworks, of)
	}
	return c
}

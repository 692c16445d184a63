package configs

import (
	"fmt"
	"time"

	"flowgate/pipelines/flow"
)

// agreementEntry is an agreement as agreements.yaml has it.
type agreementEntry struct {
	Trigger             string         `yaml:"trigger"`
	FlowEncoding        string         `yaml:"flow_encoding"`
	ExpandedMeaning     string         `yaml:"expanded_meaning"`
	Action              string         `yaml:"action"`
	RealImplementation  string         `yaml:"real_implementation"`
	Fallback            string         `yaml:"fallback"`
	Parameters          map[string]any `yaml:"parameters"`
	ExpectedOutput      string         `yaml:"expected_output"`
	ConfidenceThreshold *float64       `yaml:"confidence_threshold"`
	Owner               string         `yaml:"owner"`
	Approver            string         `yaml:"approver"`
	ComplianceLevel     string         `yaml:"compliance_level"`
	Version             string         `yaml:"version"`
	ValidFrom           time.Time      `yaml:"valid_from"`
	ValidUntil          time.Time      `yaml:"valid_until" unit:"until"`
	SLASeconds          float64        `yaml:"sla_seconds"`
}

// LoadAgreements reads agreements.yaml: a list of agreements, complete with threshold and version. An empty path reads the
// embedded ones. The error names every fault at once. A day in valid_from counts from its beginning and one in valid_until
// through its end, both in UTC.
func LoadAgreements(path string) ([]flow.Agreement, error) {
	if path == "" {
		return decodeAgreements("agreements.yaml", embeddedAgreements)
	}
	data, err := readFile(path, MaxAgreementsBytes)
	if err != nil {
		return nil, err
	}
	return decodeAgreements(path, data)
}

func decodeAgreements(file string, data []byte) ([]flow.Agreement, error) {
	var entries []agreementEntry
	d, err := decodeYAML(file, data, nil, &entries)
	if err != nil {
		return nil, err
	}
	agreements := make([]flow.Agreement, 0, len(entries))
	var wrong faults
	for i, e := range entries {
		a, err := e.agreement()
		if err != nil {
			key := fmt.Sprintf("[%d].confidence_threshold", i)
			wrong = append(wrong, &Fault{File: file, Line: d.lines[key], Key: key, Text: err.Error()})
		}
		agreements = append(agreements, a)
	}
	if err := wrong.join(); err != nil {
		return nil, err
	}
	book, err := flow.NewBook(agreements)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return book.Agreements(), nil
}

func (e agreementEntry) agreement() (flow.Agreement, error) {
	a := flow.Agreement{
		Trigger: e.Trigger, FlowEncoding: e.FlowEncoding, ExpandedMeaning: e.ExpandedMeaning,
		Action: e.Action, RealImplementation: e.RealImplementation, Fallback: e.Fallback,
		Parameters: e.Parameters, ExpectedOutput: e.ExpectedOutput,
		Owner: e.Owner, Approver: e.Approver, ComplianceLevel: e.ComplianceLevel, Version: e.Version, ValidFrom: e.ValidFrom, ValidUntil: e.ValidUntil, SLASeconds: e.SLASeconds,
	}
	if e.ConfidenceThreshold != nil {
		a.ConfidenceThreshold = *e.ConfidenceThreshold
		if a.ConfidenceThreshold == 0 {
			return a, fmt.Errorf("must be above 0 and at most 1; leave it out for %v", flow.DefaultConfidence)
		}
	}
	return a, nil
}

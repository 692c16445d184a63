package configs

import (
	"fmt"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
)

// agreementEntry is an agreement as agreements.yaml has it.
type agreementEntry struct {
	Trigger             string          `yaml:"trigger"`
	FlowEncoding        string          `yaml:"flow_encoding"`
	ExpandedMeaning     string          `yaml:"expanded_meaning"`
	Action              string          `yaml:"action"`
	RealImplementation  string          `yaml:"real_implementation"`
	Fallback            string          `yaml:"fallback"`
	Parameters          map[string]any  `yaml:"parameters"`
	ExpectedOutput      string          `yaml:"expected_output"`
	ConfidenceThreshold *float64        `yaml:"confidence_threshold"`
	Owner               string          `yaml:"owner"`
	Approver            string          `yaml:"approver"`
	Purpose             string          `yaml:"purpose"`
	Tenants             []string        `yaml:"tenants"`
	DefaultFor          []string        `yaml:"default_for"`
	Allowed             allowedEntry    `yaml:"allowed"`
	Limits              agreementLimits `yaml:"limits"`
	FallbackAge         time.Duration   `yaml:"fallback_age"`
	ComplianceLevel     string          `yaml:"compliance_level"`
	Version             string          `yaml:"version"`
	ValidFrom           time.Time       `yaml:"valid_from"`
	ValidUntil          time.Time       `yaml:"valid_until" unit:"until"`
	SLASeconds          float64         `yaml:"sla_seconds"`
}

// allowedEntry is messages.Allowed as a file has it.
type allowedEntry struct {
	Models   []string `yaml:"models"`
	Backends []string `yaml:"backends"`
	Regions  []string `yaml:"regions"`
	Purposes []string `yaml:"purposes"`
	Data     []string `yaml:"data"`
}

// agreementLimits are flow.Limits as a file has them.
type agreementLimits struct {
	CallsDay *int64    `yaml:"calls_day"`
	Request  agreedSum `yaml:"request"`
	Day      agreedSum `yaml:"day"`
	Month    agreedSum `yaml:"month"`
}

// agreedSum is Dollars, with or without their sign before them.
type agreedSum struct{ Dollars }

func (s *agreedSum) fromText(text string) error {
	return s.Dollars.fromText(strings.TrimPrefix(text, "$"))
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
		for _, zero := range e.zeros() {
			key := fmt.Sprintf("[%d].%s", i, zero.Key)
			wrong = append(wrong, &Fault{File: file, Line: d.lines[key], Key: key, Text: zero.Text})
		}
		agreements = append(agreements, e.agreement())
	}
	if err := wrong.join(); err != nil {
		return nil, err
	}
	book, err := flow.NewBook(agreements)
	if err == nil {
		err = flow.CheckNames(agreements)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return book.Agreements(), nil
}

// zeros are the values of an entry that would silently mean something else.
func (e agreementEntry) zeros() (wrong []Fault) {
	if e.ConfidenceThreshold != nil && *e.ConfidenceThreshold == 0 {
		wrong = append(wrong, Fault{Key: "confidence_threshold", Text: fmt.Sprintf("must be above 0 and at most 1; leave it out for %v", flow.DefaultConfidence)})
	}
	if e.Limits.CallsDay != nil && *e.Limits.CallsDay == 0 {
		wrong = append(wrong, Fault{Key: "limits.calls_day", Text: "must be above 0; leave it out for no limit, and suspend what nobody may run"})
	}
	return wrong
}

func (e agreementEntry) agreement() flow.Agreement {
	a := flow.Agreement{
		Trigger: e.Trigger, FlowEncoding: e.FlowEncoding, ExpandedMeaning: e.ExpandedMeaning,
		Action: e.Action, RealImplementation: e.RealImplementation, Fallback: e.Fallback,
		Parameters: e.Parameters, ExpectedOutput: e.ExpectedOutput,
		Owner: e.Owner, Approver: e.Approver, Purpose: e.Purpose, Tenants: e.Tenants, DefaultFor: e.DefaultFor,
		Allowed: messages.Allowed{
			Models: e.Allowed.Models, Backends: e.Allowed.Backends, Regions: e.Allowed.Regions, Purposes: e.Allowed.Purposes, Data: e.Allowed.Data,
		},
		Limits: flow.Limits{
			RequestMicroUSD: e.Limits.Request.MicroUSD(), DayMicroUSD: e.Limits.Day.MicroUSD(), MonthMicroUSD: e.Limits.Month.MicroUSD(),
		},
		FallbackAgeSeconds: e.FallbackAge.Seconds(),
		ComplianceLevel:    e.ComplianceLevel, Version: e.Version, ValidFrom: e.ValidFrom, ValidUntil: e.ValidUntil, SLASeconds: e.SLASeconds,
	}
	if e.ConfidenceThreshold != nil {
		a.ConfidenceThreshold = *e.ConfidenceThreshold
	}
	if e.Limits.CallsDay != nil {
		a.Limits.CallsDay = *e.Limits.CallsDay
	}
	return a
}

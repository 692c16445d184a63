package corporate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"flowgate/pipelines/compliance"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

// Settings are everything of a policy that decides, but for the company's rules, which have a version of their own. The record keeps
// them by the version that decisions name. They hold no secret: nothing goes into them that does not decide.
type Settings struct {
	MinAuditReason         int                      `json:"min_audit_reason"`
	AllowUnknownUser       bool                     `json:"allow_unknown_user"`
	AllowUnknownDepartment bool                     `json:"allow_unknown_department"`
	DefaultModel           string                   `json:"default_model"`
	Aliases                map[string]string        `json:"aliases"`
	Models                 map[string]ModelDefaults `json:"models"`
	AllowedModels          []string                 `json:"allowed_models"`
	Privacy                *privacy.Rules           `json:"privacy"`
	Prices                 []pricing.Row            `json:"prices"`
	// Agreements are of a version that had them in its settings; decisions name the terms of theirs now.
	Agreements       []flow.Agreement     `json:"agreements"`
	Limits           Limits               `json:"limits"`
	BillableAttempts int                  `json:"billable_attempts"`
	Controls         *compliance.Document `json:"controls,omitempty"`
	ComplianceLevel  string               `json:"compliance_level,omitempty"`
	Rates            RateLimits           `json:"rates,omitzero"`
	Timezone         string               `json:"timezone"`
	// UnknownModels is dearest where models without a row are priced at the dearest; empty: they are refused.
	UnknownModels string `json:"unknown_models,omitempty"`
}

const unknownAtDearest = "dearest"

// Settings are those of a policy.
func (p Policy) Settings() Settings {
	s := Settings{
		MinAuditReason: p.MinAuditReason, AllowUnknownUser: p.AllowUnknownUser, AllowUnknownDepartment: p.AllowUnknownDepartment,
		DefaultModel: p.DefaultModel, Aliases: p.Aliases, Models: p.Models,
		Limits: p.Limits, BillableAttempts: p.BillableAttempts, Timezone: p.Location.String(), ComplianceLevel: p.ComplianceLevel, Rates: p.Rates,
	}
	if p.Controls != nil {
		s.Controls = new(p.Controls.Document())
	}
	for _, model := range slices.Sorted(maps.Keys(p.AllowedModels)) {
		if p.AllowedModels[model] {
			s.AllowedModels = append(s.AllowedModels, model)
		}
	}
	if p.Privacy != nil {
		s.Privacy = &p.Privacy.Rules
	}
	if p.Prices != nil {
		s.Prices = p.Prices.Rows()
		if p.Prices.PricesUnknown() {
			s.UnknownModels = unknownAtDearest
		}
	}
	if p.Agreements != nil {
		for _, a := range p.Agreements.Agreements() {
			s.Agreements = append(s.Agreements, a.Terms())
		}
	}
	return s
}

// Body is the JSON of settings: the same of the same settings, on every machine.
func (s Settings) Body() []byte {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data
	}
	return data
}

// VersionOf names what is kept by its content: 12 hexadecimal digits.
func VersionOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:6])
}

// ReadSettings makes a policy of the body of settings, of this version or an older one: what a newer one has more would be missed.
// zone finds a time zone by its name.
func ReadSettings(body []byte, zone func(string) (*time.Location, error)) (Policy, error) {
	var s Settings
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Policy{}, fmt.Errorf("reading settings on record: %w", err)
	}
	return s.Policy(VersionOf(body), zone)
}

// Policy is the policy that decides by settings.
func (s Settings) Policy(version string, zone func(string) (*time.Location, error)) (p Policy, err error) {
	p = Policy{
		Version: version, MinAuditReason: s.MinAuditReason, AllowUnknownUser: s.AllowUnknownUser, AllowUnknownDepartment: s.AllowUnknownDepartment,
		DefaultModel: s.DefaultModel, Aliases: s.Aliases, Models: s.Models, Limits: s.Limits, BillableAttempts: s.BillableAttempts,
		AllowedModels: make(map[string]bool, len(s.AllowedModels)), ComplianceLevel: s.ComplianceLevel, Rates: s.Rates,
	}
	if s.Controls != nil {
		if p.Controls, err = compliance.Compile(*s.Controls); err != nil {
			return p, fmt.Errorf("reading controls on record: %w", err)
		}
	}
	for _, model := range s.AllowedModels {
		p.AllowedModels[model] = true
	}
	if s.Privacy != nil {
		p.Privacy = privacy.NewGuard(*s.Privacy)
	}
	if p.Prices, err = pricing.NewTable(s.Prices); err != nil {
		return p, fmt.Errorf("reading prices on record: %w", err)
	}
	if s.UnknownModels == unknownAtDearest {
		p.Prices = p.Prices.AtDearest()
	}
	if len(s.Agreements) > 0 {
		if p.Agreements, err = flow.NewBook(s.Agreements); err != nil {
			return p, fmt.Errorf("reading agreements on record: %w", err)
		}
	}
	if p.Location, err = zone(s.Timezone); err != nil {
		return p, fmt.Errorf("reading the time zone on record: %w", err)
	}
	return p, nil
}

package corporate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

type refusal = pipelines.Refusal

// Decide reads a request and judges it.
func Decide(r *messages.Request, f Facts, p Policy) Decision {
	seen := Read(r, f.Address, p.Privacy)
	return Judge(&seen, f, p)
}

// Judge decides by what was read of a request and by facts, never by texts. The checks run in a fixed order; the first that fails
// refuses.
func Judge(s *Seen, f Facts, p Policy) Decision {
	d := begin(s, f, p)
	for _, c := range []struct {
		name  string
		check func(*Decision, *Seen, Facts, Policy) (state, detail string, refused *refusal)
	}{
		{"document", checkDocument},
		{"cancelled", checkCancelled},
		{"identity", checkIdentity},
		{"audit_reason", checkAuditReason},
		{"user", checkUser},
		{"department", checkDepartment},
		{"person", checkPerson},
		{"membership", checkMembership},
		{"purpose", checkPurpose},
		{"deadline", checkDeadline},
		{"agreement", checkAgreement},
		{"personal_data", checkPersonalData},
		{"data", checkData},
		{"model", checkModel},
		{"allowed_model", checkAllowedModel},
		{"allowed_backend", checkAllowedBackend},
		{"cost", checkCost},
		{"policy", checkPolicy},
		{"controls", checkControls},
		{"rates", checkRates},
		{"pause", checkPause},
	} {
		state, detail, refused := c.check(&d, s, f, p)
		if state != "" {
			d.Section.Checks = append(d.Section.Checks, messages.Check{Name: c.name, State: state, Detail: detail})
		}
		if refused != nil {
			d.Refusal = refused
			asked := d.Section.Rates
			d.free()
			d.Rates, d.Section.Rates = nil, asked
			return d
		}
	}
	return d
}

// Unreadable is the decision about bytes that are no request (err says why).
func Unreadable(err error, f Facts, p Policy) Decision {
	why := pipelines.Invalid(err)
	s := Read(&messages.Request{}, f.Address, p.Privacy)
	s.Fault = &messages.FieldError{Field: why.Field, Rule: why.Detail, Reason: why.Reason}
	return Judge(&s, f, p)
}

// Ended is the decision about a message that the runtime cannot let go on, for the reason that the refusal gives.
func Ended(r *pipelines.Refusal, f Facts, p Policy) Decision {
	s := Read(&messages.Request{}, f.Address, p.Privacy)
	d := begin(&s, f, p)
	d.EndedBy(r)
	return d
}

// States of a check.
const (
	pass          = "pass"
	fail          = "fail"
	notApplicable = "not_applicable"
	waits         = "waits"
)

func begin(s *Seen, f Facts, p Policy) Decision {
	d := Decision{Kind: s.Kind, ResumeAt: messages.StateAI, Section: messages.CorporateSection{
		Stay:   messages.Stay{StartedAt: f.Now},
		UserID: s.UserID, Department: s.Department, Priority: cmp.Or(s.Priority, messages.PriorityNormal),
		AuditReason: s.AuditReason, ReasonLength: s.ReasonLength, Purpose: s.Purpose, CorrelationID: s.CorrelationID, PartOf: s.PartOf,
		PromptBytes: s.PromptBytes, Turns: s.Turns, InputBound: s.InputBound, Images: s.Images, Tools: s.Tools, Inputs: s.Inputs,
		PolicyVersion: p.Version, PrivacyVersion: p.Privacy.Version(), RequestedModel: s.Model,
		Temperature: messages.DefaultTemperature, MaxTokens: messages.DefaultMaxTokens,
		Credential: f.Credential, Defaults: f.Defaults, Directory: f.Directory.note(s.UserID, s.Department), Facts: factsFor(s, f),
	}}
	if d.Section.ControlsVersion = p.Controls.Version(); d.Section.ControlsVersion != "" {
		d.Section.ComplianceLevel, d.Section.ControlsDue = p.ComplianceLevel, p.Controls.Due("", p.ComplianceLevel)
	}
	if s.Kind == messages.KindEmbedding { // it has neither
		d.Section.Temperature, d.Section.MaxTokens = 0, 0
	}
	if s.Temperature != nil {
		d.Section.Temperature = *s.Temperature
	}
	if s.MaxTokens != nil {
		d.Section.MaxTokens = *s.MaxTokens
	}
	lifetime := messages.DefaultLifetime
	if f.Class == messages.ClassBatch {
		lifetime = messages.DefaultBatchLifetime
	}
	// A request that may not start yet would else be born dead.
	from := f.SubmittedAt
	if s.NotBefore != nil && s.NotBefore.After(from) {
		from = *s.NotBefore
	}
	d.NotAfter = from.Add(lifetime)
	if s.NotAfter != nil {
		d.NotAfter = *s.NotAfter
	}
	if s.NotBefore != nil && s.NotBefore.After(f.Now) {
		d.NotBefore = *s.NotBefore
	}
	return d
}

// checkDocument leaves no trace where there is a request.
func checkDocument(_ *Decision, s *Seen, _ Facts, _ Policy) (string, string, *refusal) {
	if s.Fault == nil {
		return "", "", nil
	}
	why := pipelines.Invalid(s.Fault)
	return fail, why.Field + ": " + why.Detail, why
}

// checkCancelled leaves no trace where nobody cancelled.
func checkCancelled(_ *Decision, _ *Seen, f Facts, _ Policy) (string, string, *refusal) {
	if f.Cancelled == nil {
		return "", "", nil
	}
	return fail, f.Cancelled.Detail, f.Cancelled
}

func checkIdentity(_ *Decision, s *Seen, _ Facts, _ Policy) (string, string, *refusal) {
	if s.Stranger != nil {
		return fail, s.Stranger.Error(), pipelines.Invalid(s.Stranger)
	}
	return pass, "", nil
}

func checkAuditReason(d *Decision, _ *Seen, _ Facts, p Policy) (string, string, *refusal) {
	n := d.Section.ReasonLength
	switch {
	case n == 0:
		return fail, "", pipelines.Deny(messages.ReasonAuditReasonMissing, "audit_reason", "")
	case n < p.MinAuditReason:
		detail := fmt.Sprintf("has %d characters, the settings demand %d", n, p.MinAuditReason)
		return fail, detail, pipelines.Deny(messages.ReasonAuditReasonTooShort, "audit_reason", detail)
	}
	return pass, "", nil
}

func checkUser(d *Decision, _ *Seen, _ Facts, p Policy) (string, string, *refusal) {
	if d.Section.UserID == UnknownName && !p.AllowUnknownUser {
		return fail, "", pipelines.Deny(messages.ReasonUserMissing, "user_id", "")
	}
	return pass, "", nil
}

func checkDepartment(d *Decision, _ *Seen, _ Facts, p Policy) (string, string, *refusal) {
	if d.Section.Department == UnknownName && !p.AllowUnknownDepartment {
		return fail, "", pipelines.Deny(messages.ReasonDepartmentMissing, "department", "")
	}
	return pass, "", nil
}

func checkDeadline(d *Decision, _ *Seen, f Facts, _ Policy) (string, string, *refusal) {
	if r := pipelines.Expired(&messages.Envelope{NotAfter: d.NotAfter}, f.Now); r != nil {
		return fail, d.NotAfter.UTC().Format(time.RFC3339), r
	}
	return pass, "", nil
}

// checkPersonalData counts what a model would see, and refuses what none may. It leaves no trace where nothing is looked for.
func checkPersonalData(d *Decision, s *Seen, _ Facts, p Policy) (string, string, *refusal) {
	switch {
	case p.Privacy == nil:
		return "", "", nil
	case !d.Kind.AsksModel():
		return notApplicable, "no model is asked", nil
	}
	findings, denied := p.Privacy.Judge(s.Found, s.Purpose)
	d.Section.Findings, d.Section.Facts.Found = findings, nil
	d.Section.InputBound += s.Growth
	if len(denied) > 0 {
		detail := privacy.Describe(findings, denied)
		return fail, detail, pipelines.Deny(messages.ReasonPersonalData, "prompt", detail)
	}
	return pass, "", nil
}

func checkModel(d *Decision, s *Seen, _ Facts, p Policy) (string, string, *refusal) {
	if !d.Kind.AsksModel() {
		return notApplicable, "no model is asked", nil
	}
	model := Asked(s, p)
	if len(p.AllowedModels) > 0 && !p.AllowedModels[model] {
		return fail, "", pipelines.Deny(messages.ReasonModelNotAllowed, "model", "")
	}
	d.Section.Model = model
	if d.Kind == messages.KindEmbedding {
		return pass, model, nil
	}
	own := p.Models[model]
	if s.MaxTokens == nil && own.MaxTokens != nil {
		d.Section.MaxTokens = *own.MaxTokens
	}
	if s.Temperature == nil && own.Temperature != nil {
		d.Section.Temperature = *own.Temperature
	}
	d.Section.Sampling = own.sampling()
	return pass, model, nil
}

func checkCost(d *Decision, _ *Seen, f Facts, p Policy) (string, string, *refusal) {
	if !d.Kind.AsksModel() {
		return notApplicable, "no model is asked", nil
	}
	if refused := checkRoutes(d, f, p); refused != nil {
		return fail, refused.Detail, refused
	}
	s := &d.Section
	s.BillableAttempts = max(p.BillableAttempts, 1)
	if limit := requestLimit(f, p); limit > 0 {
		if s.BoundMicroUSD > limit {
			detail := fmt.Sprintf("it could cost %d micro-dollars, one request may cost %d", s.BoundMicroUSD, limit)
			return fail, detail, pipelines.Deny(messages.ReasonLimitRequest, "max_tokens", detail)
		}
		// Fewer calls in doubt are allowed where their bounds together would pass the limit of one request.
		if s.BoundMicroUSD > 0 {
			s.BillableAttempts = min(s.BillableAttempts, int(limit/s.BoundMicroUSD))
		}
	}
	reserve(d, f, p)
	return pass, fmt.Sprintf("at most %d micro-dollars a call%s", s.BoundMicroUSD, unpriced(s)), nil
}

// unpriced tells of a bound that it is not by the model's own prices.
func unpriced(s *messages.CorporateSection) string {
	dearest := func(r messages.Route) bool { return pricing.Dearest(r.PriceVersion) }
	if !pricing.Dearest(s.PriceVersion) && !slices.ContainsFunc(s.Routes, dearest) {
		return ""
	}
	return ", at the dearest prices of the table: the model has none"
}

// pauseLook is when a paused request is looked at again by who does not know of pauses.
const pauseLook = 30 * time.Second

// checkPause lets a request wait that nothing else keeps from going on. It leaves no trace where nothing is paused.
func checkPause(d *Decision, _ *Seen, f Facts, _ Policy) (string, string, *refusal) {
	if f.Paused == "" {
		return "", "", nil
	}
	d.Paused = true
	if look := f.Now.Add(pauseLook); d.NotBefore.Before(look) {
		d.NotBefore = look
	}
	return waits, f.Paused, nil
}

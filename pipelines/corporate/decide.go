package corporate

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

type refusal = pipelines.Refusal

// Decide judges a request that could be read. The checks run in a fixed order; the first that fails refuses.
func Decide(r *messages.Request, f Facts, p Policy) Decision {
	d := begin(r, f, p)
	for _, c := range []struct {
		name  string
		check func(*Decision, *messages.Request, Facts, Policy) (state, detail string, refused *refusal)
	}{
		{"cancelled", checkCancelled},
		{"identity", checkIdentity},
		{"audit_reason", checkAuditReason},
		{"user", checkUser},
		{"department", checkDepartment},
		{"deadline", checkDeadline},
		{"agreement", checkAgreement},
		{"personal_data", checkPersonalData},
		{"model", checkModel},
		{"cost", checkCost},
		{"policy", checkPolicy},
		{"pause", checkPause},
	} {
		state, detail, refused := c.check(&d, r, f, p)
		if state != "" {
			d.Section.Checks = append(d.Section.Checks, messages.Check{Name: c.name, State: state, Detail: detail})
		}
		if refused != nil {
			d.Refusal = refused
			d.Amount, d.Scopes, d.Section.ReservedMicroUSD, d.Section.Scopes = 0, nil, 0, nil
			return d
		}
	}
	return d
}

// Unreadable is the decision about bytes that are no request (err says why).
func Unreadable(err error, f Facts, p Policy) Decision {
	d := begin(&messages.Request{}, f, p)
	d.Kind = messages.KindUnknown
	d.Refusal = pipelines.Invalid(err)
	d.Section.Checks = []messages.Check{{Name: "document", State: fail, Detail: d.Refusal.Field + ": " + d.Refusal.Detail}}
	return d
}

// Ended is the decision about a message that the runtime cannot let go on, for the reason that the refusal gives.
func Ended(r *pipelines.Refusal, f Facts, p Policy) Decision {
	d := begin(&messages.Request{}, f, p)
	d.Kind = messages.KindUnknown
	d.Refusal = r
	return d
}

// States of a check.
const (
	pass          = "pass"
	fail          = "fail"
	notApplicable = "not_applicable"
	waits         = "waits"
)

func begin(r *messages.Request, f Facts, p Policy) Decision {
	d := Decision{Kind: r.Kind(), ResumeAt: messages.StateAI, Section: messages.CorporateSection{
		Stay:   messages.Stay{StartedAt: f.Now},
		UserID: named(r.UserID, p), Department: named(r.Department, p), Priority: r.Priority,
		AuditReason: told(r.AuditReason, p), ReasonLength: utf8.RuneCountInString(strings.TrimSpace(r.AuditReason)), Purpose: told(r.Purpose, p), PolicyVersion: p.Version, PrivacyVersion: p.Privacy.Version(),
		RequestedModel: r.Model,
		Temperature:    messages.DefaultTemperature, MaxTokens: messages.DefaultMaxTokens,
	}}
	if d.Kind == messages.KindPrompt {
		conversation := Conversation(r)
		d.Section.Turns, d.Section.InputBound = len(conversation), pricing.InputBound(conversation)
		for i := range conversation {
			d.Section.PromptBytes += int64(len(conversation[i].Content))
		}
	}
	if d.Section.Priority == "" {
		d.Section.Priority = messages.PriorityNormal
	}
	if r.Temperature != nil {
		d.Section.Temperature = *r.Temperature
	}
	if r.MaxTokens != nil {
		d.Section.MaxTokens = *r.MaxTokens
	}
	lifetime := messages.DefaultLifetime
	if f.Class == messages.ClassBatch {
		lifetime = messages.DefaultBatchLifetime
	}
	// A request that may not start yet would else be born dead.
	from := f.SubmittedAt
	if r.NotBefore != nil && r.NotBefore.After(from) {
		from = *r.NotBefore
	}
	d.NotAfter = from.Add(lifetime)
	if r.NotAfter != nil {
		d.NotAfter = *r.NotAfter
	}
	if r.NotBefore != nil && r.NotBefore.After(f.Now) {
		d.NotBefore = *r.NotBefore
	}
	return d
}

// named is a name for the record: never a card's or a person's number, nor a secret. Addresses stay: people are known by them.
func named(name string, p Policy) string {
	if name = strings.TrimSpace(name); name == "" {
		return UnknownName
	}
	return p.Privacy.Redact(name, func(t privacy.Type) bool {
		return slices.Contains([]privacy.Class{privacy.ClassPayment, privacy.ClassSecret, privacy.ClassIdentity}, t.Class())
	})
}

// told is a text for the record, which keeps no personal data.
func told(text string, p Policy) string {
	return p.Privacy.Redact(strings.TrimSpace(text), func(privacy.Type) bool { return true })
}

// checkCancelled leaves no trace where nobody cancelled.
func checkCancelled(_ *Decision, _ *messages.Request, f Facts, _ Policy) (string, string, *refusal) {
	if f.Cancelled == nil {
		return "", "", nil
	}
	return fail, f.Cancelled.Detail, f.Cancelled
}

func checkIdentity(_ *Decision, r *messages.Request, f Facts, _ Policy) (string, string, *refusal) {
	if err := r.CheckAgainst(f.Address); err != nil {
		return fail, err.Error(), pipelines.Invalid(err)
	}
	return pass, "", nil
}

func checkAuditReason(d *Decision, _ *messages.Request, _ Facts, p Policy) (string, string, *refusal) {
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

func checkUser(d *Decision, _ *messages.Request, _ Facts, p Policy) (string, string, *refusal) {
	if d.Section.UserID == UnknownName && !p.AllowUnknownUser {
		return fail, "", pipelines.Deny(messages.ReasonUserMissing, "user_id", "")
	}
	return pass, "", nil
}

func checkDepartment(d *Decision, _ *messages.Request, _ Facts, p Policy) (string, string, *refusal) {
	if d.Section.Department == UnknownName && !p.AllowUnknownDepartment {
		return fail, "", pipelines.Deny(messages.ReasonDepartmentMissing, "department", "")
	}
	return pass, "", nil
}

func checkDeadline(d *Decision, _ *messages.Request, f Facts, _ Policy) (string, string, *refusal) {
	if r := pipelines.Expired(&messages.Envelope{NotAfter: d.NotAfter}, f.Now); r != nil {
		return fail, d.NotAfter.UTC().Format(time.RFC3339), r
	}
	return pass, "", nil
}

func checkAgreement(d *Decision, r *messages.Request, f Facts, p Policy) (string, string, *refusal) {
	if r.Trigger == "" {
		return notApplicable, "no trigger", nil
	}
	a, found := p.Agreements.Find(r.Trigger)
	if !found {
		return fail, "", pipelines.Deny(messages.ReasonAgreementUnknown, "trigger", "")
	}
	ref := a.Ref()
	d.Section.Agreement = &ref
	if reason := a.Check(f.Now); reason != "" {
		return fail, ref.Version, pipelines.Deny(reason, "trigger", "")
	}
	return pass, ref.Version, nil
}

// checkPersonalData counts what a model would see, and refuses what none may. It leaves no trace where nothing is looked for.
func checkPersonalData(d *Decision, r *messages.Request, _ Facts, p Policy) (string, string, *refusal) {
	switch {
	case p.Privacy == nil:
		return "", "", nil
	case d.Kind != messages.KindPrompt:
		return notApplicable, "no model is asked", nil
	}
	seen := p.Privacy.Admit(Texts(Conversation(r)), d.Section.Purpose)
	d.Section.Findings = seen.Findings
	d.Section.InputBound += int64(seen.Growth)
	if len(seen.Denied) > 0 {
		detail := privacy.Describe(seen.Findings, seen.Denied)
		return fail, detail, pipelines.Deny(messages.ReasonPersonalData, "prompt", detail)
	}
	return pass, "", nil
}

func checkModel(d *Decision, r *messages.Request, _ Facts, p Policy) (string, string, *refusal) {
	if d.Kind != messages.KindPrompt {
		return notApplicable, "no model is asked", nil
	}
	model := r.Model
	if model == "" {
		model = p.DefaultModel
	}
	if exact, ok := p.Aliases[model]; ok {
		model = exact
	}
	if len(p.AllowedModels) > 0 && !p.AllowedModels[model] {
		return fail, "", pipelines.Deny(messages.ReasonModelNotAllowed, "model", "")
	}
	d.Section.Model = model
	own := p.Models[model]
	if r.MaxTokens == nil && own.MaxTokens != nil {
		d.Section.MaxTokens = *own.MaxTokens
	}
	if r.Temperature == nil && own.Temperature != nil {
		d.Section.Temperature = *own.Temperature
	}
	return pass, model, nil
}

func checkCost(d *Decision, r *messages.Request, f Facts, p Policy) (string, string, *refusal) {
	if d.Kind != messages.KindPrompt {
		return notApplicable, "no model is asked", nil
	}
	row, found := p.Prices.Row(d.Section.Model, f.Now)
	if !found {
		return fail, "", pipelines.Deny(messages.ReasonModelUnknown, "model", "")
	}
	s := &d.Section
	s.PriceVersion = row.Version
	s.BoundMicroUSD = row.Bound(s.InputBound, int64(s.MaxTokens))
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
	return pass, fmt.Sprintf("at most %d micro-dollars a call", s.BoundMicroUSD), nil
}

// pauseLook is when a paused request is looked at again by who does not know of pauses.
const pauseLook = 30 * time.Second

// checkPause lets a request wait that nothing else keeps from going on. It leaves no trace where nothing is paused.
func checkPause(d *Decision, _ *messages.Request, f Facts, _ Policy) (string, string, *refusal) {
	if f.Paused == "" {
		return "", "", nil
	}
	d.Paused = true
	if look := f.Now.Add(pauseLook); d.NotBefore.Before(look) {
		d.NotBefore = look
	}
	return waits, f.Paused, nil
}

// Conversation is what a model is asked: the request's messages, or its prompt as the one message of a user.
func Conversation(r *messages.Request) []messages.Message {
	if len(r.Messages) > 0 {
		return r.Messages
	}
	return []messages.Message{{Role: "user", Content: r.Prompt}}
}

// Texts are the texts of a conversation.
func Texts(conversation []messages.Message) []string {
	texts := make([]string, len(conversation))
	for i := range conversation {
		texts[i] = conversation[i].Content
	}
	return texts
}

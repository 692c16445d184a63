package corporate

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"flowgate/messages"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

// Seen is all that a decision needs of a document, and none of its texts: what goes into the record, or is made again out of it.
// Whoever adds a check that needs more of the document adds it here and, where no section has it yet, to the record's facts.
type Seen struct {
	Kind messages.Kind
	// Fault is why there is no request; Stranger is what it says of its own identity against its subject's.
	Fault, Stranger *messages.FieldError
	// UserID, Department, AuditReason and Purpose are as the record has them.
	UserID, Department, AuditReason, Purpose string
	// CorrelationID is the request's.
	CorrelationID string
	// ReasonLength is that of the audit reason as it came, in characters, after trimming.
	ReasonLength int
	Priority     messages.Priority
	// Model, Trigger, Temperature, MaxTokens and the times are as the request has them; nil and empty where it says nothing.
	Model, Trigger string
	// ToldTrigger is the trigger for the record. It is no agreement's where the trigger is none for the record.
	ToldTrigger string
	// PartOf is the request whose action asks.
	PartOf              *messages.PartOf
	Temperature         *float64
	MaxTokens           *int
	NotBefore, NotAfter *time.Time
	// PromptBytes are those of the texts that are asked, in so many Turns; they are at most InputBound tokens, images apart.
	PromptBytes int64
	Turns       int
	InputBound  int64
	// Images and Tools count those of what is asked, Inputs the texts whose vectors are.
	Images, Tools, Inputs int
	// Found counts personal data and secrets in the conversation, by type and without an action; Growth is by how many bytes
	// placeholders can make it longer. Both are empty where nothing is looked for.
	Found  []messages.Finding
	Growth int64
}

// Read sees what decisions need of a request. A nil guard looks for nothing.
func Read(r *messages.Request, at messages.Address, guard *privacy.Guard) Seen {
	s := Seen{
		Kind: r.Kind(), UserID: named(r.UserID, guard), Department: named(r.Department, guard),
		AuditReason: told(r.AuditReason, guard), Purpose: told(r.Purpose, guard), CorrelationID: r.CorrelationID,
		ReasonLength: utf8.RuneCountInString(strings.TrimSpace(r.AuditReason)), Priority: r.Priority,
		Model: r.Model, Trigger: r.Trigger, ToldTrigger: toldTrigger(r.Trigger, guard), Temperature: r.Temperature, MaxTokens: r.MaxTokens,
		NotBefore: r.NotBefore, NotAfter: r.NotAfter,
	}
	if r.PartOf != nil {
		s.PartOf = &messages.PartOf{ID: r.PartOf.ID, Epoch: r.PartOf.Epoch}
	}
	errors.As(r.CheckAgainst(at), &s.Stranger)
	if !s.Kind.AsksModel() {
		return s
	}
	q := r.Question()
	s.Turns, s.Images, s.Tools, s.Inputs = len(q.Messages), q.Images(), len(q.Tools), len(q.Input)
	s.InputBound = pricing.InputBound(&q)
	texts := q.Texts()
	for _, text := range texts {
		s.PromptBytes += int64(len(text))
	}
	looked := guard.Look(texts)
	s.Found, s.Growth = looked.Findings, int64(looked.Growth)
	return s
}

// named is a name for the record: never a card's or a person's number, nor a secret. Addresses stay: people are known by them.
func named(name string, guard *privacy.Guard) string {
	if name = strings.TrimSpace(name); name == "" {
		return UnknownName
	}
	return guard.Redact(name, func(t privacy.Type) bool {
		return slices.Contains([]privacy.Class{privacy.ClassPayment, privacy.ClassSecret, privacy.ClassIdentity}, t.Class())
	})
}

// told is a text for the record, which keeps no personal data.
func told(text string, guard *privacy.Guard) string {
	return guard.Redact(strings.TrimSpace(text), func(privacy.Type) bool { return true })
}

// toldTrigger ends with a space, as no agreement's trigger does, where something had to be left out.
func toldTrigger(trigger string, guard *privacy.Guard) string {
	told := guard.Redact(trigger, func(privacy.Type) bool { return true })
	if told != trigger {
		told += " "
	}
	return told
}

// Package ai is layer 2, processing: which backend is asked what, what a fault means, what an answer cost.
//
// Read plan.go, then after.go.
package ai

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/pricing"
	"flowgate/pipelines/privacy"
)

// Policy is the rule by which the layer decides.
type Policy struct {
	Agreements *flow.Book
	Prices     *pricing.Table
	// Retry is the delay policy of a model, by family.
	Retry Retries
	// Privacy says what is done with personal data and secrets; nil: nothing.
	Privacy *privacy.Guard
	// Controls are those of compliance; nil: there are none.
	Controls *compliance.Book
	// ComplianceLevel is the level that requests have to meet which were admitted by a version without controls.
	ComplianceLevel string
}

// Retries has the default delays and those of model families.
type Retries struct {
	Default  Retry
	Families map[string]Retry
}

// Retry says how often and how fast transient faults are tried again.
type Retry struct {
	// Attempts is how many transient attempts end a request.
	Attempts int
	// BaseDelay is the first delay, multiplied by Factor each time, up to MaxDelay.
	BaseDelay, MaxDelay time.Duration
	Factor              float64
}

// For is the retry policy of a model: that of the longest family name that its id contains, else the default.
func (r Retries) For(model string) Retry {
	if family := Family(model, maps.Keys(r.Families)); family != "" {
		return r.Families[family]
	}
	return r.Default
}

// Family is the family of a model: the longest of the names that its id contains; empty for none.
func Family(model string, families iter.Seq[string]) string {
	best := ""
	for family := range families {
		if strings.Contains(model, family) && (len(family) > len(best) || len(family) == len(best) && family < best) {
			best = family
		}
	}
	return best
}

// BackendFact is a backend as it is now.
type BackendFact struct {
	Name     string
	Billable bool
	// Models, where not empty, are the only exact ids that it serves.
	Models map[string]bool
	// Paused keeps it from being asked.
	Paused bool
	// Region is where it processes what it is asked; empty: nobody said.
	Region string
}

// Facts are what the handler gathered about one message.
type Facts struct {
	messages.Address

	Now time.Time
	// Backends in the order in which they are tried.
	Backends []BackendFact
}

// Plan is what to do with a request.
type Plan struct {
	// Pass is true where the layer has nothing to do: not_applicable.
	Pass bool
	// Paused is true where every backend that serves the model is paused: the request waits.
	Paused  bool
	Refusal *pipelines.Refusal
	// Backend is who to ask Call.
	Backend BackendFact
	Call    Call
	// Screened is what the rules on personal data made of what is asked.
	Screened privacy.Screened
	// Controls are those that were judged before the call.
	Controls []messages.Control
}

// Decide plans the next attempt of a request.
func Decide(e *messages.Envelope, r *messages.Request, f Facts, p Policy) Plan {
	if refused := Validate(e, p.Agreements, f.Now); refused != nil {
		return Plan{Refusal: refused}
	}
	if e.Kind != messages.KindPrompt {
		return Plan{Pass: true}
	}
	paused, conversation := false, corporate.Conversation(r)
	var barred messages.Reason // why a backend that serves the model may not be asked
	var kept *Plan             // from a backend that would serve it
	for _, b := range f.Backends {
		switch {
		case len(b.Models) > 0 && !b.Models[e.Corporate.Model]:
		case !allowed(e.Corporate.AllowedBackends, b.Name):
			barred = cmp.Or(barred, messages.ReasonBackendNotAllowed)
		case !allowed(e.Corporate.AllowedRegions, b.Region):
			barred = messages.ReasonRegionNotAllowed
		case b.Paused:
			paused = true
		default:
			s := p.Privacy.Request(corporate.Texts(conversation), e.Corporate.Purpose, b.Region)
			if len(s.Denied) > 0 {
				kept = &Plan{Screened: s, Refusal: pipelines.Deny(messages.ReasonPersonalData, "prompt", privacy.Describe(s.Findings, s.Denied))}
				continue
			}
			out := beforeCall(e, f, p, b, s)
			if refused := pipelines.Gate(out); refused != nil {
				kept = &Plan{Screened: s, Refusal: refused, Controls: out.Results}
				continue
			}
			return Plan{Backend: b, Call: call(e, r, f, masked(conversation, s.Texts, p.Privacy)), Screened: s, Controls: out.Results}
		}
	}
	switch {
	case paused:
		return Plan{Paused: true}
	case kept != nil:
		return *kept
	case barred != "":
		return Plan{Refusal: pipelines.Deny(barred, "", "")}
	}
	return Plan{Refusal: pipelines.Fail(messages.ReasonNoBackend, "no configured backend serves "+e.Corporate.Model)}
}

// allowed tells whether a list has a word; an empty one has every word. A region that nobody named is on no list.
func allowed(list []string, word string) bool {
	return len(list) == 0 || slices.Contains(list, word)
}

// Validate checks an agreement again, as every layer does before it acts.
func Validate(e *messages.Envelope, book *flow.Book, now time.Time) *pipelines.Refusal {
	if e.Corporate == nil || e.Corporate.Agreement == nil {
		return nil
	}
	a, found := book.Find(e.Corporate.Agreement.Trigger)
	if !found {
		return pipelines.Deny(messages.ReasonAgreementUnknown, "trigger", "")
	}
	if reason := a.Check(now); reason != "" {
		return pipelines.Deny(reason, "trigger", "")
	}
	return nil
}

// masked is a conversation with the texts that a backend may see. Speakers' names are of a form that has no room for a
// placeholder: those with personal data are left out.
func masked(conversation []messages.Message, texts []string, guard *privacy.Guard) []messages.Message {
	seen := slices.Clone(conversation)
	for i := range seen {
		seen[i].Content = texts[i]
		if name := seen[i].Name; guard.Redact(name, func(privacy.Type) bool { return true }) != name {
			seen[i].Name = ""
		}
	}
	return seen
}

func call(e *messages.Envelope, r *messages.Request, f Facts, conversation []messages.Message) Call {
	c := Call{
		Key: f.Key, Epoch: e.Epoch, Attempt: NextAttempt(e.History),
		Model: e.Corporate.Model, Messages: conversation,
		Temperature: e.Corporate.Temperature, MaxTokens: e.Corporate.MaxTokens,
		Metadata: make(map[string][]byte, len(r.Metadata)),
	}
	for k, v := range r.Metadata {
		c.Metadata[k] = v
	}
	return c
}

// NextAttempt numbers the next attempt of an epoch, from 1.
func NextAttempt(history []messages.Attempt) int {
	if len(history) == 0 {
		return 1
	}
	return history[len(history)-1].K + 1
}

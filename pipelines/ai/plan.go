// Package ai is layer 2, processing: which backend is asked what, what a fault means, what an answer cost.
//
// Read plan.go, then after.go.
package ai

import (
	"cmp"
	"fmt"
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
	// Cache says what is cached; the zero value: nothing.
	Cache CacheRules
	// Retry is the delay policy of a model, by family.
	Retry Retries
	// Privacy says what is done with personal data and secrets; nil: nothing.
	Privacy *privacy.Guard
	// Controls are those of compliance; nil: there are none.
	Controls *compliance.Book
	// ComplianceLevel is the level that requests have to meet which were admitted by a version without controls.
	ComplianceLevel string
	// NoFailover keeps a call that failed from being taken to another backend.
	NoFailover bool
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
	Menu     Menu
	// Paused keeps it from being asked.
	Paused bool
	// Held keeps it from being asked until then: its breaker is open. HeldBy says after what.
	Held   time.Time
	HeldBy string
	// Down is why it cannot be asked until somebody does something about it: backend_auth or backend_quota.
	// DownBy says after what, DownUntil is when one call tries again; zero: not before a restart.
	Down      messages.Reason
	DownBy    string
	DownUntil time.Time
	// Region is where it processes what it is asked; empty: nobody said. A plan's is that of the model (Menu.RegionOf).
	Region string
	// Means is what of its settings changes answers (Call.Means).
	Means string
}

// Facts are what the handler gathered about one message.
type Facts struct {
	messages.Address

	Now time.Time
	// Backends in the order in which they are tried.
	Backends []BackendFact
	// Avoid has those that failed just now: they are asked where nobody else can be.
	Avoid map[string]bool
}

// Plan is what to do with a request.
type Plan struct {
	// Pass is true where the layer has nothing to do: not_applicable.
	Pass bool
	// Paused is true where every backend that serves the model is paused: the request waits.
	Paused bool
	// Until is when the first backend that would be asked is no longer held; zero where one is asked, or none would be.
	Until   time.Time
	HeldBy  string
	Refusal *pipelines.Refusal
	// Backend is who to ask Call, which costs by Row.
	Backend BackendFact
	Call    Call
	Row     pricing.Row
	// Screened is what the rules on personal data made of what is asked.
	Screened privacy.Screened
	// Controls are those that were judged before the call.
	Controls []messages.Control
}

// Bound is what the planned call costs at most: no more than what was reserved for one.
func (p *Plan) Bound(c *messages.CorporateSection) int64 {
	return min(c.BoundMicroUSD, p.Row.Bound(p.Call.InputBound, int64(c.MaxTokens)))
}

// Decide plans the next attempt of a request.
func Decide(e *messages.Envelope, r *messages.Request, f Facts, p Policy) Plan {
	if Behind(e, p.Agreements) {
		return Plan{Until: f.Now.Add(BehindLook)}
	}
	if refused := Validate(e, p.Agreements, f.Tenant, f.Now); refused != nil {
		return Plan{Refusal: refused}
	}
	if !e.Kind.AsksModel() {
		return Plan{Pass: true}
	}
	s := search{e: e, r: r, f: f, p: p, question: r.Question()}
	for _, avoided := range []bool{false, true} {
		for _, b := range f.Backends {
			if f.Avoid[b.Name] == avoided && s.try(b) {
				return s.plan
			}
		}
	}
	return s.none()
}

// search looks for a backend to ask, and remembers why others are not.
type search struct {
	e        *messages.Envelope
	r        *messages.Request
	f        Facts
	p        Policy
	question messages.Question

	plan   Plan
	paused bool
	held   BackendFact     // the one that is held for the shortest
	would  []BackendFact   // those that would be asked, were they paused, down or held no more
	down   BackendFact     // the first that cannot be asked
	barred messages.Reason // why a backend that serves the model may not be asked
	kept   *Plan           // from a backend that would serve it
}

// try tells whether a backend can be asked now: plan says how.
func (s *search) try(b BackendFact) bool {
	c := s.e.Corporate
	model, row, reason := route(s.e, b, s.f.Now, s.p)
	b.Region = b.Menu.RegionOf(model, b.Region)
	switch {
	case reason != "":
		if reason != messages.ReasonNoBackend {
			s.barred = cmp.Or(s.barred, reason)
		}
	case !allowed(c.AllowedBackends, b.Name):
		s.barred = cmp.Or(s.barred, messages.ReasonBackendNotAllowed)
	case !allowed(c.AllowedRegions, b.Region):
		s.barred = messages.ReasonRegionNotAllowed
	case failedForGood(s.e.History, b.Name):
	case s.p.NoFailover && triedElsewhere(s.e.History, b.Name):
	case b.Paused:
		s.paused, s.would = true, append(s.would, b)
	case b.Down != "":
		s.would = append(s.would, b)
		if s.down.Down == "" {
			s.down = b
		}
	case b.Held.After(s.f.Now):
		s.would = append(s.would, b)
		if s.held.Name == "" || b.Held.Before(s.held.Held) {
			s.held = b
		}
	default:
		return s.ask(b, model, row)
	}
	return false
}

// ask prepares what a backend would be asked, if the rules on personal data and the controls let it be.
func (s *search) ask(b BackendFact, model string, row pricing.Row) bool {
	screened := s.p.Privacy.Request(s.question.Texts(), s.e.Corporate.Purpose, b.Region)
	if len(screened.Denied) > 0 {
		detail := privacy.Describe(screened.Findings, screened.Denied)
		s.kept = &Plan{Screened: screened, Refusal: pipelines.Deny(messages.ReasonPersonalData, "prompt", detail)}
		return false
	}
	seen, whole := masked(s.question, screened.Texts, s.p.Privacy)
	if !whole {
		const detail = "personal data stand in a number of a JSON document, where no placeholder can stand"
		s.kept = &Plan{Screened: screened, Refusal: pipelines.Deny(messages.ReasonPersonalData, "tools", detail)}
		return false
	}
	out := beforeCall(s.e, s.f, s.p, b, screened)
	if refused := pipelines.Gate(out); refused != nil {
		s.kept = &Plan{Screened: screened, Refusal: refused, Controls: out.Results}
		return false
	}
	asked := call(s.e, s.r, s.f, seen, model, row)
	asked.Means = b.Means
	s.plan = Plan{Backend: b, Row: row, Call: asked, Screened: screened, Controls: out.Results}
	return true
}

// none is the plan where nobody can be asked. Where somebody would be later it has their call, for which the cache may have an answer.
func (s *search) none() Plan {
	kept, would := s.kept, Plan{}
	for _, b := range s.would {
		if model, row, reason := route(s.e, b, s.f.Now, s.p); reason == "" && s.ask(b, model, row) {
			would = s.plan
			break
		}
	}
	switch {
	case s.held.Name != "":
		would.Until, would.HeldBy = s.held.Held, s.held.HeldBy
		return would
	case s.paused:
		would.Paused = true
		return would
	case kept != nil:
		return *kept
	case s.down.Down != "":
		would.Refusal = pipelines.Fail(s.down.Down, s.down.downText(s.f.Now))
		return would
	case s.barred != "":
		return Plan{Refusal: pipelines.Deny(s.barred, "", "")}
	}
	return Plan{Refusal: pipelines.Fail(messages.ReasonNoBackend, "no configured backend serves "+s.e.Corporate.Model)}
}

// downText says which backend cannot be asked, after what, and for how long.
func (b BackendFact) downText(now time.Time) string {
	said := cmp.Or(b.DownBy, b.Name+" is held")
	if left := b.DownUntil.Sub(now); left > 0 {
		return fmt.Sprintf("%s; one call tries again in %s, and the first one after a restart", said, max(left.Round(time.Second), time.Second))
	}
	return said + "; nothing is asked of it before a restart, or before its credentials are others"
}

// route is what a request's model is called at a backend, and what it costs there; a reason says why it is not asked. A call there
// costs at most what was reserved for one.
func route(e *messages.Envelope, b BackendFact, now time.Time, p Policy) (string, pricing.Row, messages.Reason) {
	c := e.Corporate
	model, serves := b.Menu.Find(c.Model)
	if !serves {
		return "", pricing.Row{}, messages.ReasonNoBackend
	}
	version := ""
	if model == c.Model {
		version = c.PriceVersion
	}
	for _, r := range c.Routes {
		if r.Backend == b.Name && r.Model == model {
			version = r.PriceVersion
		}
	}
	row, found := p.Prices.ByVersion(model, version)
	known := found // layer 1 has reserved by it
	if !found {
		row, found = p.Prices.Row(model, now)
	}
	switch {
	case !found:
		return "", pricing.Row{}, messages.ReasonModelUnknown
	case row.RetiredAt(b.Name, now):
		return "", pricing.Row{}, messages.ReasonModelRetired
	case !known && row.Bound(corporate.InputBound(c, row), int64(c.MaxTokens)) > c.BoundMicroUSD:
		return "", pricing.Row{}, messages.ReasonNoBackend // it is dearer than what layer 1, which does not know of it, has reserved
	}
	return model, row, ""
}

// failedForGood tells whether a backend failed in this epoch as it would again.
func failedForGood(history []messages.Attempt, backend string) bool {
	return slices.ContainsFunc(history, func(a messages.Attempt) bool {
		switch Class(a.Class) {
		case ClassQuota, ClassAuth, ClassInvalid:
			return a.Backend == backend
		case ClassRateLimited, ClassOverloaded, ClassTransient, ClassRefused, ClassDrained, ClassInDoubt:
		}
		return false
	})
}

// triedElsewhere tells whether the newest attempt of this epoch was another backend's.
func triedElsewhere(history []messages.Attempt, backend string) bool {
	for _, a := range slices.Backward(history) {
		if a.Backend != "" { // a crash has none
			return a.Backend != backend
		}
	}
	return false
}

// allowed tells whether a list has a word; an empty one has every word. A region that nobody named is on no list.
func allowed(list []string, word string) bool {
	return len(list) == 0 || slices.Contains(list, word)
}

// BehindLook is when a request is looked at again whose agreement is not known yet.
const BehindLook = 200 * time.Millisecond

// Behind tells whether what is known of agreements is older than what layer 1 admitted a request under: who knows less must not judge.
func Behind(e *messages.Envelope, book *flow.Book) bool {
	return e.Corporate != nil && !book.Knows(e.Corporate.Agreement)
}

// Validate checks an agreement again, as every layer does before it acts: the version that the request was admitted under has not
// expired, and the agreement is in force now, in whatever version.
func Validate(e *messages.Envelope, book *flow.Book, tenant string, now time.Time) *pipelines.Refusal {
	if e.Corporate == nil || e.Corporate.Agreement == nil {
		return nil
	}
	ref := e.Corporate.Agreement
	a, found := book.Find(ref.Trigger)
	if !found {
		return pipelines.Deny(messages.ReasonAgreementUnknown, "trigger", "")
	}
	reason := a.Refuses(tenant, now)
	if ended := !ref.ValidUntil.IsZero() && !now.Before(ref.ValidUntil); reason == "" && ended && ref.Version != a.Version {
		reason = messages.ReasonAgreementExpired
	}
	if reason != "" {
		return pipelines.Deny(reason, "trigger", a.Named())
	}
	return nil
}

// masked is what a backend may see of a question; false where a text has to be JSON and is none any more. Speakers' names are of a form
// that has no room for a placeholder: those with personal data are left out.
func masked(q messages.Question, texts []string, guard *privacy.Guard) (messages.Question, bool) {
	seen, whole := q.With(texts)
	for i := range seen.Messages {
		if name := seen.Messages[i].Name; guard.Redact(name, func(privacy.Type) bool { return true }) != name {
			seen.Messages[i].Name = ""
		}
	}
	return seen, whole
}

func call(e *messages.Envelope, r *messages.Request, f Facts, q messages.Question, model string, row pricing.Row) Call {
	c := Call{
		Key: f.Key, Epoch: e.Epoch, Attempt: NextAttempt(e.History), Kind: e.Kind, Model: model, Question: q,
		Temperature: e.Corporate.Temperature, DefaultTemperature: defaultTemperature(e.Corporate), MaxTokens: e.Corporate.MaxTokens,
		TopP: r.TopP, TopK: r.TopK, Seed: r.Seed, Stop: r.Stop,
		InputBound: corporate.InputBound(e.Corporate, row),
		Metadata:   make(map[string][]byte, len(r.Metadata)),
	}
	if own := e.Corporate.Sampling; own != nil { // what settings say counts where the request says nothing
		c.TopP, c.TopK = cmp.Or(c.TopP, own.TopP), cmp.Or(c.TopK, own.TopK)
		if len(c.Stop) == 0 {
			c.Stop = own.Stop
		}
	}
	if r.Dimensions != nil {
		c.Dimensions = *r.Dimensions
	}
	for k, v := range r.Metadata {
		c.Metadata[k] = v
	}
	return c
}

// defaultTemperature tells whether neither request nor settings asked for a temperature.
func defaultTemperature(c *messages.CorporateSection) bool {
	return c.Temperature == messages.DefaultTemperature && (c.Facts == nil || c.Facts.Temperature == nil)
}

// NextAttempt numbers the next attempt of an epoch, from 1.
func NextAttempt(history []messages.Attempt) int {
	if len(history) == 0 {
		return 1
	}
	return history[len(history)-1].K + 1
}

package corporate

import (
	"fmt"
	"slices"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines"
)

// RateKind is whose requests and tokens a limit bounds.
type RateKind string

// The kinds of limits.
const (
	RateTenant     RateKind = "tenant"
	RateDepartment RateKind = "department"
	RateUser       RateKind = "user"
	RateModel      RateKind = "model"
	RateBackend    RateKind = "backend"
)

// RateKinds lists the kinds, in the order in which limits are asked.
func RateKinds() []RateKind {
	return []RateKind{RateTenant, RateDepartment, RateUser, RateModel, RateBackend}
}

// Known tells whether there is such a kind.
func (k RateKind) Known() bool { return slices.Contains(RateKinds(), k) }

// reason is why a request is refused that finds no room in a limit.
func (k RateKind) reason() messages.Reason {
	switch k {
	case RateDepartment:
		return messages.ReasonLimitRateDepartment
	case RateUser:
		return messages.ReasonLimitRateUser
	case RateModel:
		return messages.ReasonLimitRateModel
	case RateBackend:
		return messages.ReasonLimitRateBackend
	case RateTenant:
	}
	return messages.ReasonLimitRateTenant
}

// ByRate tells whether a request was refused by a limit on requests or tokens, with which limits of money have nothing to do.
func ByRate(end *messages.End) bool {
	if end == nil {
		return false
	}
	return end.Reason == messages.ReasonLimitRateRequest ||
		slices.ContainsFunc(RateKinds(), func(k RateKind) bool { return k.reason() == end.Reason })
}

// Excess is what becomes of a request that finds no room.
type Excess string

// The words. None: batch requests wait, others are refused.
const (
	ExcessRefuse Excess = "refuse"
	ExcessWait   Excess = "wait"
)

// waits tells whether a request of a class waits.
func (e Excess) waits(class messages.Class) bool {
	return e == ExcessWait || e == "" && class == messages.ClassBatch
}

// RateLimits are how many requests and tokens may be let through in a window; 0 is no limit.
type RateLimits struct {
	RequestsMinute int64 `json:"requests_minute,omitempty"`
	RequestsHour   int64 `json:"requests_hour,omitempty"`
	TokensMinute   int64 `json:"tokens_minute,omitempty"`
	TokensHour     int64 `json:"tokens_hour,omitempty"`

	Excess Excess `json:"excess,omitempty"`
}

// In are the limits of one window.
func (l RateLimits) In(w Window) (requests, tokens int64) {
	if w == WindowHour {
		return l.RequestsHour, l.TokensHour
	}
	return l.RequestsMinute, l.TokensMinute
}

// over takes what l says nothing of from another.
func (l RateLimits) over(other RateLimits) RateLimits {
	either := func(a, b int64) int64 {
		if a == 0 {
			return b
		}
		return a
	}
	l.RequestsMinute, l.RequestsHour = either(l.RequestsMinute, other.RequestsMinute), either(l.RequestsHour, other.RequestsHour)
	l.TokensMinute, l.TokensHour = either(l.TokensMinute, other.TokensMinute), either(l.TokensHour, other.TokensHour)
	if l.Excess == "" {
		l.Excess = other.Excess
	}
	return l
}

// Over is what holds of the tenant: its own limits, and the settings' where they say nothing.
func (l RateLimits) Over(settings RateLimits) RateLimits { return l.over(settings) }

// Rate is what somebody may ask now.
type Rate struct {
	Kind RateKind
	// Name is whose it is: of the tenant empty.
	Name string
	RateLimits
}

// RateScope is one window of a limit that a request counts in.
type RateScope struct {
	Name   string `json:"name"`
	Window Window `json:"window"`
	// Requests and Tokens are the limits; 0 is none.
	Requests int64 `json:"requests,omitempty"`
	Tokens   int64 `json:"tokens,omitempty"`
	// Wait holds back what finds no room; else Reason refuses it.
	Wait   bool            `json:"wait,omitempty"`
	Reason messages.Reason `json:"reason"`
}

// RateName names what a limit counts, in the ledger and in the record. A backend is one for all tenants.
func RateName(tenant string, kind RateKind, name string, w Window) string {
	if kind == RateBackend {
		tenant = messages.SystemTenant
	}
	who := string(kind)
	if kind != RateTenant {
		who += "/" + name
	}
	return "rate:" + tenant + "/" + who + ":" + string(w)
}

// Serving is a backend that serves a request's model by the settings, and where it does.
type Serving struct {
	Name, Region string
	// Model is what the model is called there; empty: the same.
	Model string
}

// ParseRateName reads what RateName wrote; of the tenant the name is empty.
func ParseRateName(text string) (kind RateKind, name string, w Window, ok bool) {
	_, rest, ok := strings.Cut(text, "/")
	end := strings.LastIndexByte(rest, ':')
	if !ok || end < 0 {
		return "", "", "", false
	}
	word, name, _ := strings.Cut(rest[:end], "/")
	kind, w = RateKind(word), Window(rest[end+1:])
	return kind, name, w, kind.Known() && slices.Contains(Windows(), w)
}

// Asked is the exact model that a request asks for; empty: none.
func Asked(s *Seen, p Policy) string {
	if !s.Kind.AsksModel() {
		return ""
	}
	model := s.Model
	if model == "" {
		model = p.DefaultModel
	}
	if exact, ok := p.Aliases[model]; ok {
		model = exact
	}
	return model
}

// first is the backend that would be asked first: which one it is in the end is known when the call is made, too late to count before
// it. Empty: none serves the model.
func first(c *messages.CorporateSection, serving []Serving) string {
	for _, b := range serving {
		if open(c, b) {
			return b.Name
		}
	}
	return ""
}

// rates are the limits that a request counts in. What the tenant's own says takes the place of the settings'.
func rates(f Facts, p Policy) []Rate {
	all := []Rate{{Kind: RateTenant, RateLimits: p.Rates}}
	for _, r := range f.Rates {
		if r.Kind == RateTenant {
			all[0].RateLimits = r.Over(p.Rates)
			continue
		}
		all = append(all, r)
	}
	return all
}

// RatesOf are the limits that a recorded decision was made by.
func RatesOf(c *messages.CorporateSection) (all []Rate) {
	for _, limit := range c.Rates {
		kind, name, w, ok := ParseRateName(limit.Name)
		if !ok {
			continue
		}
		at := slices.IndexFunc(all, func(r Rate) bool { return r.Kind == kind && r.Name == name })
		if at < 0 {
			at = len(all)
			all = append(all, Rate{Kind: kind, Name: name, RateLimits: RateLimits{Excess: ExcessRefuse}})
		}
		if limit.Wait {
			all[at].Excess = ExcessWait
		}
		if w == WindowHour {
			all[at].RequestsHour, all[at].TokensHour = limit.Requests, limit.Tokens
		} else {
			all[at].RequestsMinute, all[at].TokensMinute = limit.Requests, limit.Tokens
		}
	}
	return all
}

// ServingOf are the backends that a recorded decision counted on; of an older record the first alone.
func ServingOf(c *messages.CorporateSection) []Serving {
	routes := c.Routes
	if c.Facts != nil {
		routes = slices.Concat(routes, c.Facts.Unrouted)
	}
	if len(routes) > 0 {
		all := make([]Serving, len(routes))
		for i, r := range routes {
			all[i] = Serving{Name: r.Backend, Region: r.Region, Model: r.Model}
		}
		return all
	}
	if c.Backend == "" {
		return nil
	}
	b := Serving{Name: c.Backend}
	if len(c.AllowedRegions) > 0 {
		b.Region = c.AllowedRegions[0] // it is in one of them
	}
	return []Serving{b}
}

// checkRates names the limits on requests and tokens that the ledger counts in. It leaves no trace where there are none.
func checkRates(d *Decision, _ *Seen, f Facts, p Policy) (string, string, *refusal) {
	if d.Kind.AsksModel() {
		d.Section.Backend = first(&d.Section, f.Serving)
		if routes := d.Section.Routes; len(routes) > 0 {
			d.Section.Backend = routes[0].Backend
		}
		row, found := p.Prices.Row(d.Section.Model, f.Now)
		if !found {
			row.Model = d.Section.Model
		}
		d.Tokens = InputBound(&d.Section, row) + int64(d.Section.MaxTokens)
	}
	for _, rate := range rates(f, p) {
		for _, w := range Windows() {
			requests, tokens := rate.In(w)
			if requests == 0 && tokens == 0 || rate.Kind == RateBackend && rate.Name != d.Section.Backend {
				continue
			}
			name := RateName(f.Tenant, rate.Kind, rate.Name, w)
			wait := rate.Excess.waits(f.Class)
			d.Section.Rates = append(d.Section.Rates, messages.RateLimit{Name: name, Requests: requests, Tokens: tokens, Wait: wait})
			if tokens > 0 && d.Tokens > tokens {
				detail := fmt.Sprintf("it could use %d tokens, the limit of the %s lets %d through in one %s", d.Tokens, rate.Kind, tokens, w)
				return fail, detail, pipelines.Deny(messages.ReasonLimitRateRequest, "max_tokens", detail)
			}
			d.Rates = append(d.Rates, RateScope{name, w, requests, tokens, wait, rate.Kind.reason()})
		}
	}
	checkCalls(d, f, p)
	if len(d.Rates) == 0 {
		d.Tokens = 0
		return "", "", nil
	}
	d.Section.RateTokens = d.Tokens
	return pass, fmt.Sprintf("asks for 1 request and at most %d tokens in %d window(s)", d.Tokens, len(d.Rates)), nil
}

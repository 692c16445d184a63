package ai

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"flowgate/messages"
)

// CacheRules say what is cached.
type CacheRules struct {
	// Enabled false caches nothing.
	Enabled bool
	// Sampled false caches answers to prompts of temperature 0 alone.
	Sampled bool
	// Default holds for families that are not in Families.
	Default  CacheRule
	Families map[string]CacheRule
}

// CacheRule is that of a family.
type CacheRule struct {
	Enabled bool
	// TTL is for how long an answer is used again.
	TTL time.Duration
}

// For is the family of a model and its rule.
func (r CacheRules) For(model string) (string, CacheRule) {
	if family := Family(model, maps.Keys(r.Families)); family != "" {
		return family, r.Families[family]
	}
	return DefaultFamily, r.Default
}

// CacheReason says why an answer is not taken from the cache, or not kept there.
type CacheReason string

// The reasons.
const (
	// CacheFull: it is read and written.
	CacheFull CacheReason = ""
	// CacheOff: settings say so, of all or of this family.
	CacheOff CacheReason = "off"
	// CacheFree: the backend costs nothing, and its answers must not stand in for those of others.
	CacheFree CacheReason = "free"
	// CacheSampled: settings cache no prompts of a temperature above 0.
	CacheSampled CacheReason = "sampled"
	// CacheNoCache, CacheNoStore, CacheRefresh and CacheMaxAge: the request says so.
	CacheNoCache CacheReason = "no_cache"
	CacheNoStore CacheReason = "no_store"
	CacheRefresh CacheReason = "refresh"
	CacheMaxAge  CacheReason = "max_age"
)

// CacheUse is what a call may do with the cache.
type CacheUse struct {
	// Family and Key name the answer; they are empty where neither is allowed.
	Family, Key string
	// Read tells whether it may be answered from there, by an answer that is younger than MaxAge.
	Read   bool
	MaxAge time.Duration
	// Write tells whether its answer may be kept, for TTL.
	Write bool
	TTL   time.Duration
	// Why says what of it is not allowed, and why; empty where all is.
	Why CacheReason
}

// Caching decides what a call may do with the cache. wishes are those of whoever has a word in it, the request's first; nil ones have none.
//
// no_cache has nothing to do with the cache: the answer is this request's own, and nobody else's. no_store is answered from it and leaves
// nothing behind. refresh asks anew and takes the place of what is there. max_age takes only answers that are younger, and keeps its own.
func Caching(c *Call, billable bool, rules CacheRules, wishes ...*messages.CacheControl) CacheUse {
	family, rule := rules.For(c.Model)
	switch {
	case !rules.Enabled || !rule.Enabled || rule.TTL <= 0:
		return CacheUse{Why: CacheOff}
	case !billable:
		return CacheUse{Why: CacheFree}
	case !rules.Sampled && kind(c) == messages.KindPrompt && c.Temperature > 0:
		return CacheUse{Why: CacheSampled}
	}
	use := CacheUse{Family: family, Read: true, MaxAge: rule.TTL, Write: true, TTL: rule.TTL}
	for _, wish := range wishes {
		if wish != nil {
			use = use.heed(wish)
		}
	}
	if !use.Read && !use.Write {
		return CacheUse{Why: use.Why}
	}
	use.Key = CacheKey(family, c)
	return use
}

// heed is what is left of a use where somebody wants less.
func (u CacheUse) heed(wish *messages.CacheControl) CacheUse {
	if wish.MaxAge != nil {
		// A second less than the longest time there is holds every age that settings can have.
		seconds := min(*wish.MaxAge, float64(u.MaxAge)/float64(time.Second))
		if age := time.Duration(seconds * float64(time.Second)); age < u.MaxAge {
			u.MaxAge, u.Read = age, u.Read && age > 0
			u.Why = cmp.Or(u.Why, CacheMaxAge)
		}
	}
	if wish.Refresh {
		u.Read, u.Why = false, cmp.Or(u.Why, CacheRefresh)
	}
	if wish.NoStore {
		u.Write, u.Why = false, cmp.Or(u.Why, CacheNoStore)
	}
	if wish.NoCache {
		u.Read, u.Write, u.Why = false, false, CacheNoCache
	}
	return u
}

// Reusable tells whether a request may have an answer that a backend of a region gave to another one of its tenant: those that it may not
// ask may not answer it either.
func Reusable(c *messages.CorporateSection, backend, region string) bool {
	return c != nil && allowed(c.AllowedBackends, backend) && allowed(c.AllowedRegions, region)
}

// Fits tells whether an answer has the form that was asked for: JSON where it has to be JSON, and calls of tools that were offered, with
// arguments that are JSON. Who asked gets it as it is; nobody else does.
func Fits(c *Call, a *Answer) bool {
	if f := c.Format; f != nil && f.Type != messages.FormatText && len(a.ToolCalls) == 0 && !json.Valid([]byte(a.Text)) {
		return false
	}
	for i := range a.ToolCalls {
		t := &a.ToolCalls[i]
		offered := slices.ContainsFunc(c.Tools, func(o messages.Tool) bool { return o.Name == t.Name })
		if !offered || !json.Valid([]byte(t.Arguments)) {
			return false
		}
	}
	return true
}

// Keepable tells whether an answer is one that others may have: whole, and neither refused nor cut by a filter.
func Keepable(a *Answer) bool {
	return !a.Refused && (a.Text != "" || len(a.ToolCalls) > 0 || len(a.Embeddings) > 0) && slices.Contains(finished(), a.FinishReason)
}

// finished are the providers' words for an answer that ended as it should, or at the bound that its request has set. What a
// provider calls otherwise, or says nothing of, is not kept: it may be a filter's work, or half an answer.
func finished() []string {
	return []string{
		"stop", "end_turn", "stop_sequence", "tool_use", "tool_calls", "function_call", "completed",
		"length", "max_tokens", "max_output_tokens",
	}
}

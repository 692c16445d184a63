package privacy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Action is what is done with a datum.
type Action string

// The actions, from the mildest to the strictest.
const (
	// ActionPass lets the datum through and counts it.
	ActionPass Action = "pass"
	// ActionFlag lets it through and says so.
	ActionFlag Action = "flag"
	// ActionMask puts a placeholder in its place.
	ActionMask Action = "mask"
	// ActionDeny ends the request.
	ActionDeny Action = "deny"
)

// AllActions lists the actions, from the mildest to the strictest.
func AllActions() []Action { return []Action{ActionPass, ActionFlag, ActionMask, ActionDeny} }

// stricter is the stricter of two actions.
func stricter(a, b Action) Action {
	if slices.Index(AllActions(), b) > slices.Index(AllActions(), a) {
		return b
	}
	return a
}

// Actions says what is done by class or, which counts more, by type.
type Actions map[string]Action

// of is what is done with a type; false: nothing is said of it.
func (a Actions) of(t Type) (Action, bool) {
	if action, said := a[string(t)]; said {
		return action, true
	}
	action, said := a[string(t.Class())]
	return action, said
}

// Exceptions are a purpose's own actions.
type Exceptions struct {
	Request Actions `json:"request,omitempty"`
	Answer  Actions `json:"answer,omitempty"`
}

// Rules say what is done with personal data and secrets. What nothing is said of is masked.
type Rules struct {
	// Request is for what goes to a model, Answer for what comes back.
	Request Actions `json:"request"`
	Answer  Actions `json:"answer"`
	// Restore names the classes and types whose data an answer gets back in the place of its placeholders.
	Restore []string `json:"restore"`
	// Purposes are exceptions by the request's purpose.
	Purposes map[string]Exceptions `json:"purposes,omitempty"`
	// Regions are exceptions by the region of the backend that is asked; a * at the end stands for anything, and us-* is also of the geography
	// us of an inference profile, of which the strictest rule on a place in it counts. Where purpose and
	// region both say something of a datum, the stricter counts.
	Regions map[string]Actions `json:"regions,omitempty"`
}

// version names the rules by their content.
func (r Rules) version() string {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// RuleFault is a rule that says nothing sensible.
type RuleFault struct {
	// Where is its place, by the keys of the rules' document.
	Where string
	// Rule is what it must be.
	Rule string
}

// Faults lists what is wrong with the rules, by place.
func (r Rules) Faults() []RuleFault {
	var faults []RuleFault
	mayBe := "must be a class (" + join(Classes()) + ") or a type of `flowgate scan`"
	for where, actions := range r.all() {
		for name, action := range actions {
			switch {
			case !known(name):
				faults = append(faults, RuleFault{where + "." + clip(name), mayBe})
			case !slices.Contains(AllActions(), action):
				faults = append(faults, RuleFault{where + "." + name, "must be one of " + join(AllActions())})
			}
		}
	}
	for _, name := range r.Restore {
		if !known(name) {
			faults = append(faults, RuleFault{"restore", mayBe})
		}
	}
	slices.SortFunc(faults, func(a, b RuleFault) int { return strings.Compare(a.Where, b.Where) })
	return faults
}

// all are the actions of every place, by its name.
func (r Rules) all() map[string]Actions {
	all := map[string]Actions{"request": r.Request, "answer": r.Answer}
	for purpose, e := range r.Purposes {
		all["purposes."+clip(purpose)+".request"], all["purposes."+clip(purpose)+".answer"] = e.Request, e.Answer
	}
	for region, actions := range r.Regions {
		all["regions."+clip(region)] = actions
	}
	return all
}

func known(name string) bool {
	return slices.Contains(Classes(), Class(name)) || slices.Contains(Types(), Type(name))
}

func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func join[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

// Lenient are the rules with flag in the place of mask.
func (r Rules) Lenient() Rules {
	soften := func(a Actions) Actions {
		if a == nil {
			return nil
		}
		soft := maps.Clone(a)
		for name, action := range soft {
			if action == ActionMask {
				soft[name] = ActionFlag
			}
		}
		return soft
	}
	r.Request, r.Answer = unsaid(soften(r.Request)), unsaid(soften(r.Answer))
	purposes, regions := make(map[string]Exceptions), make(map[string]Actions)
	for name, e := range r.Purposes {
		purposes[name] = Exceptions{Request: soften(e.Request), Answer: soften(e.Answer)}
	}
	for name, a := range r.Regions {
		regions[name] = soften(a)
	}
	r.Purposes, r.Regions = purposes, regions
	return r
}

// unsaid flags the classes of which nothing is said.
func unsaid(a Actions) Actions {
	if a == nil {
		a = make(Actions)
	}
	for _, c := range Classes() {
		if _, said := a[string(c)]; !said {
			a[string(c)] = ActionFlag
		}
	}
	return a
}

// forRequest is what is done with a datum on its way to a backend. general leaves regions aside.
func (r Rules) forRequest(t Type, purpose, region string, general bool) Action {
	action, ours := r.Purposes[purpose].Request.of(t)
	if !ours {
		action = r.base(t)
	}
	if general {
		return action
	}
	there, said := r.region(region).of(t)
	if inside, also := r.inside(region, t); also {
		if !said {
			there = action
		}
		there, said = stricter(there, inside), true
	}
	switch {
	case said && ours:
		return stricter(action, there)
	case said:
		return there
	}
	return action
}

func (r Rules) base(t Type) Action {
	if action, said := r.Request.of(t); said {
		return action
	}
	return ActionMask
}

// everywhereDenied tells whether no region makes an exception for a datum that is denied in general.
func (r Rules) everywhereDenied(t Type, purpose string) bool {
	if r.forRequest(t, purpose, "", true) != ActionDeny {
		return false
	}
	if _, ours := r.Purposes[purpose].Request.of(t); ours {
		return true // a region cannot make it milder
	}
	for _, actions := range r.Regions {
		if action, said := actions.of(t); said && action != ActionDeny {
			return false
		}
	}
	return true
}

func (r Rules) forAnswer(t Type, purpose string) Action {
	if action, said := r.Purposes[purpose].Answer.of(t); said {
		return action
	}
	if action, said := r.Answer.of(t); said {
		return action
	}
	return ActionMask
}

// inside is the strictest of what rules on places in a geography say of a datum: a call through an inference profile of eu may be processed
// in any region of its own, also in the one that has the strictest rule.
func (r Rules) inside(geography string, t Type) (strictest Action, said bool) {
	if geography == "" {
		return "", false
	}
	for pattern, actions := range r.Regions {
		if !strings.HasPrefix(pattern, geography+"-") {
			continue
		}
		if action, has := actions.of(t); has && pattern != geography+"-*" {
			strictest, said = stricter(cmp.Or(strictest, action), action), true
		}
	}
	return strictest, said
}

// region finds the exceptions of a region: by its name, else by the longest beginning of it. us-* is also of the geography us.
func (r Rules) region(name string) Actions {
	if actions, exact := r.Regions[name]; exact {
		return actions
	}
	longest, found := -1, Actions(nil)
	for pattern, actions := range r.Regions {
		if begin, open := strings.CutSuffix(pattern, "*"); open && (strings.HasPrefix(name, begin) || begin == name+"-") && len(begin) > longest {
			longest, found = len(begin), actions
		}
	}
	return found
}

func (r Rules) restores(t Type) bool {
	return slices.Contains(r.Restore, string(t)) || slices.Contains(r.Restore, string(t.Class()))
}

package main

import (
	"maps"
	"slices"
	"time"

	"flowgate/configs"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/pricing"
	"flowgate/worker/fleet"
	"flowgate/worker/handlers"
)

// localRegion is the region of a backend that is a part of this process.
const localRegion = "local"

// found is what settings and environment say of one backend. It holds no secret.
type found struct {
	Name string
	// Barred says why settings keep the backend from being used, whatever is configured.
	Barred string
	// Missing says what it lacks to be asked, such as a key: a process with other variables may have it.
	Missing string
	// Source names where its credentials come from; Address is where it is, Region where it processes what it is asked.
	Source, Address, Region string
	Menu                    ai.Menu
	// Limited says to which models of its own the menu is limited, and why; empty: to none.
	Limited string
}

// skipped says why a process with layer 2 does not use the backend; empty where it does.
func (f found) skipped() string {
	if f.Barred != "" {
		return f.Barred
	}
	return f.Missing
}

// detect finds out about every backend, in the order in which they are tried, and then those that the order does not name. It asks nobody.
func detect(s configs.Settings, env configs.Lookup) []found {
	order := slices.Clone(s.Flowgate.Backends.Order)
	for _, name := range configs.BackendNames() {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	all := make([]found, len(order))
	for i, name := range order {
		all[i] = detectOne(s, env, name)
		all[i].Name = name
		if why := barred(s, name); why != "" {
			all[i].Barred = why
		}
	}
	for i := range all {
		if all[i].Name == configs.OfflineName && all[i].Barred == "" {
			all[i].Missing = offlineWaits(s, all)
		}
	}
	return all
}

func detectOne(s configs.Settings, env configs.Lookup, name string) found {
	switch name {
	case configs.AnthropicName:
		return detectAnthropic(s, env)
	case configs.OpenAIName:
		return detectOpenAI(s, env)
	case configs.BedrockName:
		return detectBedrock(s, env)
	case configs.MLflowName:
		return detectMLflow(s, env)
	}
	return found{Region: localRegion, Source: "none needed", Address: "this process"}
}

// barred says why settings let nobody use a backend.
func barred(s configs.Settings, name string) string {
	b := s.Flowgate.Backends
	switch {
	case s.Development.DevMode.UseMocks:
		if name == configs.OfflineName {
			return ""
		}
		return "development.dev_mode.use_mocks lets only the offline backend answer"
	case !slices.Contains(b.Order, name):
		return "flowgate.backends.order does not name it"
	case !b.Allows(name):
		return "flowgate.backends.allowed does not name it"
	case name == configs.OfflineName && s.Flowgate.Production() && !b.Offline.AllowInProduction:
		return "the environment production forbids it (flowgate.backends.offline.allow_in_production)"
	}
	return ""
}

// offlineWaits says why the offline backend does not answer beside a real one: what that does not serve is no case for a text that no
// model wrote. Where settings name it, or let only it answer, it does.
func offlineWaits(s configs.Settings, all []found) string {
	if s.Flowgate.Backends.Names(configs.OfflineName) {
		return ""
	}
	real := func(f found) bool { return f.Name != configs.OfflineName && f.skipped() == "" }
	if !slices.ContainsFunc(all, real) {
		return ""
	}
	return "a real backend answers; flowgate.backends.allowed that names it lets it answer too"
}

// used are the backends that a process with layer 2 uses.
func used(all []found) (using []found) {
	for _, f := range all {
		if f.skipped() == "" {
			using = append(using, f)
		}
	}
	return using
}

// serving are the backends that layer 1 decides by, in the order in which they are tried. Beside layer 2 (calls) they are those that are
// configured. Alone it has no keys, and need not: it then counts on every backend that settings let be used, since what it does not know of
// has no route, and a route that nobody has costs nothing: the reservation is made for the dearest, and the call is settled at its own price.
func serving(all []found, calls bool) (routes []handlers.Serves) {
	for _, f := range all {
		if f.Barred == "" && (f.Missing == "" || !calls) {
			routes = append(routes, handlers.Serves{Serving: corporate.Serving{Name: f.Name, Region: f.Region}, Menu: f.Menu})
		}
	}
	return routes
}

// menu is what a backend serves: the ids of settings, else those that begin as its own do, and what it calls others.
func menu(models []string, names map[string]string, prefixes []string) ai.Menu {
	m := ai.Menu{Names: names}
	if len(models) == 0 {
		m.Prefixes = prefixes
		return m
	}
	m.Only = make(map[string]bool, len(models))
	for _, id := range models {
		m.Only[id] = true
	}
	return m
}

// state is what a process tells of a backend.
func (f found) state(prices *pricing.Table, now time.Time) fleet.Backend {
	return fleet.Backend{
		Name: f.Name, Skipped: f.skipped(), Source: f.Source, Address: f.Address, Region: f.Region,
		Models: slices.Sorted(maps.Keys(f.Menu.Only)), Prefixes: f.Menu.Prefixes, Names: f.Menu.Names, Priced: len(f.priced(prices, now)), Limited: f.Limited,
	}
}

// priced are the ids of requests that the backend serves and that have a price there.
func (f found) priced(prices *pricing.Table, now time.Time) (ids []string) {
	for _, id := range prices.Models() {
		there, serves := f.Menu.Find(id)
		if row, has := prices.Row(there, now); serves && has && !row.RetiredAt(f.Name, now) {
			ids = append(ids, id)
		}
	}
	return ids
}

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/configs"
	"flowgate/pipelines/pricing"
)

// settingsFrom reads settings beside variables, and nothing of the machine's.
func settingsFrom(t *testing.T, text string, env configs.Lookup) configs.Settings {
	t.Helper()
	s, _, err := configs.Load(written(t, text, 0o600), env)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// variables is an environment of NAME=value.
func variables(pairs ...string) configs.Lookup {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if key, value, _ := strings.Cut(p, "="); key == name {
				return value, true
			}
		}
		return "", false
	}
}

func TestEveryBackendIsUsedOrSaysWhyNot(t *testing.T) {
	const yes = ""
	for name, c := range map[string]struct {
		settings string
		env      []string
		want     map[string]string // by backend: empty where it is used, else a part of the reason
	}{
		"nothing": {"", nil, map[string]string{
			"anthropic": "set ANTHROPIC_API_KEY", "openai": "set OPENAI_API_KEY", "bedrock": "set aws.bedrock.region", "mlflow": "integrations.mlflow.enabled is false", "offline": yes,
		}},
		"an Anthropic key":             {"", []string{"ANTHROPIC_API_KEY=k"}, map[string]string{"anthropic": yes, "offline": "a real backend answers"}},
		"an Anthropic token":           {"", []string{"ANTHROPIC_AUTH_TOKEN=k"}, map[string]string{"anthropic": yes}},
		"a server with its protocol":   {"", []string{"ANTHROPIC_BASE_URL=http://127.0.0.1:1"}, map[string]string{"anthropic": yes}},
		"a key that is not allowed":    {"flowgate: {backends: {allowed: [bedrock]}}", []string{"ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=k", "MLFLOW_TRACKING_URI=https://m"}, map[string]string{"anthropic": "allowed does not name it", "openai": "allowed does not name it", "mlflow": "allowed does not name it", "offline": "allowed does not name it", "bedrock": yes}},
		"not in the order":             {"flowgate: {backends: {order: [openai]}}", []string{"ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=k"}, map[string]string{"anthropic": "order does not name it", "offline": "order does not name it", "openai": yes}},
		"an OpenAI key":                {"", []string{"OPENAI_API_KEY=k"}, map[string]string{"openai": yes, "offline": "a real backend answers"}},
		"an Ollama":                    {"", []string{"OPENAI_BASE_URL=http://127.0.0.1:11434/v1"}, map[string]string{"openai": yes}},
		"stray keys of AWS":            {"", []string{"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s", "AWS_REGION=eu-west-1"}, map[string]string{"bedrock": "keys alone do not", "offline": yes}},
		"AWS's region in general":      {"aws: {region: eu-west-1}", nil, map[string]string{"bedrock": "set aws.bedrock.region"}},
		"Bedrock by its region":        {"aws: {bedrock: {region: eu-west-1}}", nil, map[string]string{"bedrock": yes, "offline": "a real backend answers"}},
		"Bedrock by its endpoint":      {"", []string{"AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://127.0.0.1:1"}, map[string]string{"bedrock": yes}},
		"Bedrock by its token":         {"", []string{"AWS_BEARER_TOKEN_BEDROCK=t"}, map[string]string{"bedrock": yes}},
		"Bedrock by a profile":         {"aws: {bedrock: {credentials: {profile: work}}}", nil, map[string]string{"bedrock": yes}},
		"Bedrock by keys of settings":  {"aws: {bedrock: {credentials: {access_key_id: a, secret_access_key: s}}}", nil, map[string]string{"bedrock": yes}},
		"Bedrock by the list":          {"flowgate: {backends: {allowed: [bedrock]}}", nil, map[string]string{"bedrock": yes}},
		"a stray tracking server":      {"", []string{"MLFLOW_TRACKING_URI=https://m.example"}, map[string]string{"mlflow": "integrations.mlflow.enabled is false", "offline": yes}},
		"MLflow":                       {"integrations: {mlflow: {enabled: true, tracking_uri: 'https://m.example'}}", nil, map[string]string{"mlflow": yes, "offline": "a real backend answers"}},
		"MLflow by the list":           {"flowgate: {backends: {allowed: [mlflow, offline]}}", []string{"MLFLOW_TRACKING_URI=https://m.example"}, map[string]string{"mlflow": yes, "offline": yes}},
		"MLflow without an address":    {"flowgate: {backends: {allowed: [mlflow]}}", nil, map[string]string{"mlflow": "set MLFLOW_TRACKING_URI"}},
		"MLflow unencrypted":           {"integrations: {mlflow: {enabled: true, tracking_uri: 'http://m.example'}}", nil, map[string]string{"mlflow": "mlflow.allow_insecure permits it", "offline": yes}},
		"MLflow unencrypted, allowed":  {"flowgate: {backends: {mlflow: {allow_insecure: true}}}\nintegrations: {mlflow: {enabled: true, tracking_uri: 'http://m.example'}}", nil, map[string]string{"mlflow": yes}},
		"MLflow on this machine":       {"integrations: {mlflow: {enabled: true, tracking_uri: 'http://127.0.0.1:5000'}}", nil, map[string]string{"mlflow": yes}},
		"offline beside a real one":    {"flowgate: {backends: {allowed: [openai, offline]}}", []string{"OPENAI_API_KEY=k"}, map[string]string{"openai": yes, "offline": yes}},
		"production":                   {"flowgate: {environment: production}", nil, map[string]string{"offline": "the environment production forbids it"}},
		"production, permitted":        {"flowgate: {environment: production, backends: {offline: {allow_in_production: true}}}", nil, map[string]string{"offline": yes}},
		"production, listed":           {"flowgate: {environment: production, backends: {allowed: [offline]}}", nil, map[string]string{"offline": "the environment production forbids it"}},
		"mocks":                        {"development: {dev_mode: {use_mocks: true}}\naws: {bedrock: {region: x}}", []string{"ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=k"}, map[string]string{"anthropic": "use_mocks", "openai": "use_mocks", "bedrock": "use_mocks", "mlflow": "use_mocks", "offline": yes}},
		"mocks where nothing else is":  {"development: {dev_mode: {use_mocks: true}}\nflowgate: {backends: {allowed: [openai]}}", nil, map[string]string{"offline": yes}},
		"an allowed one lacks its key": {"flowgate: {backends: {allowed: [anthropic]}}", nil, map[string]string{"anthropic": "set ANTHROPIC_API_KEY", "offline": "allowed does not name it"}},
	} {
		t.Run(name, func(t *testing.T) {
			env := variables(c.env...)
			all := detect(settingsFrom(t, c.settings, env), env)
			if len(all) != len(configs.BackendNames()) {
				t.Fatalf("%d backends: %+v", len(all), all)
			}
			for _, f := range all {
				want, said := c.want[f.Name]
				if got := f.skipped(); said && (got == "") != (want == yes) || !strings.Contains(got, want) {
					t.Errorf("%s: %q, want %q", f.Name, got, want)
				}
				if line := "  " + f.Name + "  " + f.skipped(); len(line) > 100 {
					t.Errorf("%d columns: %s", len(line), line)
				}
				if f.skipped() == "" && (f.Source == "" || f.Address == "") {
					t.Errorf("%s tells neither credentials nor address: %+v", f.Name, f)
				}
			}
		})
	}
}

func TestSourcesOfCredentialsAreNamedAndNeverShown(t *testing.T) {
	const secret = "hunter2"
	for name, c := range map[string]struct {
		settings, backend, want string
		env                     []string
	}{
		"a key":                {"", "anthropic", "environment (ANTHROPIC_API_KEY)", []string{"ANTHROPIC_API_KEY=" + secret}},
		"a file of a key":      {"", "openai", "environment (OPENAI_API_KEY_FILE)", []string{"OPENAI_API_KEY_FILE=" + written(t, secret, 0o600)}},
		"a token":              {"", "anthropic", "environment (ANTHROPIC_AUTH_TOKEN)", []string{"ANTHROPIC_AUTH_TOKEN=" + secret}},
		"settings":             {"flowgate: {backends: {anthropic: {api_key: hunter2}}}", "anthropic", "settings (flowgate.backends.anthropic.api_key)", nil},
		"settings of OpenAI":   {"flowgate: {backends: {openai: {api_key: hunter2}}}", "openai", "settings (flowgate.backends.openai.api_key)", nil},
		"none":                 {"", "openai", "none: environment (OPENAI_BASE_URL) names a server", []string{"OPENAI_BASE_URL=http://127.0.0.1:1/v1"}},
		"a role":               {"aws: {bedrock: {region: x}}", "bedrock", "a role of this machine", []string{"AWS_WEB_IDENTITY_TOKEN_FILE=/x", "AWS_ACCESS_KEY_ID=" + secret}},
		"a bearer token":       {"", "bedrock", "environment (AWS_BEARER_TOKEN_BEDROCK)", []string{"AWS_BEARER_TOKEN_BEDROCK=" + secret}},
		"keys of AWS":          {"aws: {bedrock: {region: x}}", "bedrock", "environment (AWS_ACCESS_KEY_ID)", []string{"AWS_ACCESS_KEY_ID=" + secret}},
		"a profile":            {"aws: {bedrock: {credentials: {profile: work}}}", "bedrock", `AWS profile "work"`, nil},
		"keys of settings":     {"aws: {bedrock: {credentials: {access_key_id: hunter2, secret_access_key: hunter2}}}", "bedrock", "settings (aws.bedrock.credentials.access_key_id)", nil},
		"MLflow's token":       {"integrations: {mlflow: {enabled: true, tracking_uri: 'https://m'}}", "mlflow", "environment (MLFLOW_TRACKING_TOKEN)", []string{"MLFLOW_TRACKING_TOKEN=" + secret}},
		"MLflow's address has": {"integrations: {mlflow: {enabled: true, tracking_uri: 'https://u:hunter2@m'}}", "mlflow", "settings (integrations.mlflow.tracking_uri)", nil},
	} {
		t.Run(name, func(t *testing.T) {
			env := variables(c.env...)
			all := detect(settingsFrom(t, c.settings, env), env)
			at := slices.IndexFunc(all, func(f found) bool { return f.Name == c.backend })
			if f := all[at]; f.skipped() != "" || f.Source != c.want || strings.Contains(f.Source+f.Address, secret) {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestBackendsAreTriedInTheOrderOfSettings(t *testing.T) {
	env := variables("ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=k", "AWS_BEARER_TOKEN_BEDROCK=t")
	for text, want := range map[string]string{
		"": "anthropic openai bedrock",
		"flowgate: {backends: {order: [bedrock, offline, openai, anthropic]}}":                                                            "bedrock openai anthropic",
		"flowgate: {backends: {order: [bedrock, anthropic], allowed: [anthropic, bedrock]}}":                                              "bedrock anthropic",
		"flowgate: {backends: {allowed: [offline, anthropic]}}":                                                                           "anthropic offline",
		"integrations: {mlflow: {enabled: true, tracking_uri: 'https://m'}}\nflowgate: {backends: {order: [mlflow, anthropic, offline]}}": "mlflow anthropic",
	} {
		var names []string
		for _, f := range used(detect(settingsFrom(t, text, env), env)) {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestMenusAreThoseOfSettingsElseOfTheProvider(t *testing.T) {
	const settings = "flowgate: {backends: {bedrock: {names: {claude-sonnet-4-6: us.anthropic.claude-sonnet-4-6}}, mlflow: {models: [chat]}}}\naws: {bedrock: {region: x}}\nintegrations: {mlflow: {enabled: true, tracking_uri: 'https://m'}}"
	env := variables("ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=k")
	who := func(all []found, model string) (serving []string) {
		for _, f := range used(all) {
			if id, serves := f.Menu.Find(model); serves {
				serving = append(serving, f.Name+":"+id)
			}
		}
		return serving
	}
	all := detect(settingsFrom(t, settings, env), env)
	for model, want := range map[string][]string{
		"claude-sonnet-4-6": {"anthropic:claude-sonnet-4-6", "bedrock:us.anthropic.claude-sonnet-4-6"},
		"gpt-5":             {"openai:gpt-5"},
		"anthropic.claude-3-sonnet-20240229-v1:0": {"bedrock:anthropic.claude-3-sonnet-20240229-v1:0"},
		"chat":     {"mlflow:chat"},
		"llama3.2": nil,
	} {
		if got := who(all, model); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", model, got, want)
		}
	}
	own := variables("OPENAI_BASE_URL=http://127.0.0.1:11434/v1")
	if got := who(detect(settingsFrom(t, "", own), own), "llama3.2"); !slices.Equal(got, []string{"openai:llama3.2"}) {
		t.Errorf("a server of one's own serves %v", got)
	}
}

// TestLayer1AloneDecidesByWhatSettingsAllow has no key, as a process for layer 1 has none.
func TestLayer1AloneDecidesByWhatSettingsAllow(t *testing.T) {
	names := func(s configs.Settings, env configs.Lookup, calls bool) (all []string) {
		for _, b := range serving(detect(s, env), calls) {
			all = append(all, b.Name)
		}
		return all
	}
	none := variables()
	for text, want := range map[string]string{
		"": "anthropic openai bedrock offline",
		"flowgate: {backends: {allowed: [bedrock]}}":                        "bedrock",
		"flowgate: {environment: production}":                               "anthropic openai bedrock",
		"flowgate: {backends: {allowed: [mlflow]}}":                         "mlflow",
		"development: {dev_mode: {use_mocks: true}}":                        "offline",
		"flowgate: {backends: {order: [openai, anthropic]}}":                "openai anthropic",
		"flowgate: {environment: production, backends: {order: [offline]}}": "",
	} {
		if got := strings.Join(names(settingsFrom(t, text, none), none, false), " "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	key := variables("OPENAI_API_KEY=k")
	if got := names(settingsFrom(t, "", key), key, true); !slices.Equal(got, []string{"openai"}) {
		t.Errorf("beside layer 2: %v", got)
	}
}

func TestPricedModelsLeaveOutWhatTheBackendRetired(t *testing.T) {
	env := variables("ANTHROPIC_API_KEY=k", "AWS_BEARER_TOKEN_BEDROCK=t")
	s := settingsFrom(t, "", env)
	prices, err := configs.PricesOf(s)
	if err != nil {
		t.Fatal(err)
	}
	all := detect(s, env)
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if ids := all[0].priced(prices, now); len(ids) == 0 || !slices.Contains(ids, "claude-haiku-4-5") || slices.ContainsFunc(ids, func(id string) bool { return !strings.HasPrefix(id, "claude-") }) {
		t.Errorf("anthropic: %v", ids)
	}
	if f := all[3]; f.Name != "mlflow" || f.state(prices, now).Skipped == "" {
		t.Errorf("%+v", f)
	}
}

func TestServiceTierWithoutAPriceBarsTheModel(t *testing.T) {
	prices := func(rows string) string {
		return written(t, `{"unit":"micro-dollars per million tokens","rows":[`+rows+`]}`, 0o600)
	}
	row := func(model, more string) string {
		return `{"model":"` + model + `","effective_from":"2026-01-01","input":1,` + more + `,"source":"s"}`
	}
	const names = `names: {claude-haiku-4-5: eu.anthropic.dear, claude-opus-5: eu.anthropic.plain}`
	for name, c := range map[string]struct {
		rows, tier      string
		serves, refuses []string
	}{
		"a multiplier": {
			row("eu.anthropic.dear", `"output":1,"multipliers":{"priority":175}`) + "," + row("eu.anthropic.plain", `"output":1`), "priority",
			[]string{"eu.anthropic.dear", "claude-haiku-4-5", "amazon.titan-embed-text-v2:0"},
			[]string{"eu.anthropic.plain", "claude-opus-5", "anthropic.nobody"},
		},
		"a tier that is not dearer": {row("eu.anthropic.plain", `"output":1`), "flex", []string{"eu.anthropic.plain", "claude-opus-5", "anthropic.nobody"}, nil},
		"no tier":                   {row("eu.anthropic.plain", `"output":1`), "''", []string{"eu.anthropic.plain", "claude-opus-5"}, nil},
	} {
		none := variables()
		s := settingsFrom(t, "aws: {bedrock: {region: eu-west-1}}\nflowgate: {prices_file: "+prices(c.rows)+", backends: {bedrock: {service_tier: "+c.tier+", "+names+"}}}", none)
		at := slices.IndexFunc(detect(s, none), func(f found) bool { return f.Name == configs.BedrockName })
		f := detect(s, none)[at]
		for _, id := range c.serves {
			if _, serves := f.Menu.Find(id); !serves || f.skipped() != "" {
				t.Errorf("%s: %s is not served (%q)", name, id, f.skipped())
			}
		}
		for _, id := range c.refuses {
			if there, serves := f.Menu.Find(id); serves {
				t.Errorf("%s: %s is served as %s", name, id, there)
			}
		}
		if limited := f.state(mustPrices(t, s), time.Now()).Limited; (limited != "") != (len(c.refuses) > 0) {
			t.Errorf("%s: it says %q", name, limited)
		}
	}
	f := found{Menu: menu([]string{"anthropic.claude-3-haiku-20240307-v1:0"}, nil, nil)}
	if f.onlyPriced(settingsFrom(t, "", variables()), "priority"); !strings.Contains(f.Barred, "no model has a price in the service tier priority") {
		t.Errorf("%+v", f)
	}
}

func mustPrices(t *testing.T, s configs.Settings) *pricing.Table {
	t.Helper()
	prices, err := configs.PricesOf(s)
	if err != nil {
		t.Fatal(err)
	}
	return prices
}

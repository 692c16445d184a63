package configs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/flow"
)

func TestEmbeddedAgreementsAreTheUsersSixWithOwners(t *testing.T) {
	ours, err := LoadAgreements("")
	if err != nil || len(ours) != 6 {
		t.Fatalf("%d, %v", len(ours), err)
	}
	for _, a := range ours {
		if a.Owner == "" || a.Version == "" || a.SLASeconds == 0 || a.Limits.CallsDay == 0 || a.FallbackAgeSeconds == 0 || a.ConfidenceThreshold != flow.DefaultConfidence {
			t.Errorf("%+v", a)
		}
	}
	users, err := LoadAgreements(userFile(t, "agreements.yaml"))
	if err != nil || len(users) != 6 {
		t.Fatalf("%d, %v", len(users), err)
	}
	for i, u := range users {
		a := ours[i]
		a.Owner, a.SLASeconds, a.Limits, a.FallbackAgeSeconds = u.Owner, u.SLASeconds, u.Limits, u.FallbackAgeSeconds
		if len(u.Version) != 12 {
			t.Errorf("version %q", u.Version)
		}
		a.Version = u.Version
		if !reflect.DeepEqual(a, u) {
			t.Errorf("ours %+v\ntheirs %+v", a, u)
		}
	}
}

func TestAgreementsHaveParametersAndDays(t *testing.T) {
	got, err := decodeAgreements("a.yaml", []byte(`
- trigger: "[X]"
  flow_encoding: "@a#b!c@d"
  action: x
  confidence_threshold: 0.9
  valid_from: 2026-01-01
  valid_until: 2026-01-31
  parameters: {n: 3, f: 0.5, t: "${HOME}", b: true, l: [1, {x: null}], none: null}
- trigger: "[Y]"
  flow_encoding: "@a#b!c@d"
  action: x
  valid_until: 2026-01-31T12:00:00+02:00
`))
	if err != nil {
		t.Fatal(err)
	}
	x := got[0]
	if want := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC); !x.ValidUntil.Equal(want) || x.Check(want.Add(-1)) != "" || x.Check(want) != messages.ReasonAgreementExpired {
		t.Errorf("valid until %v", x.ValidUntil)
	}
	want := map[string]any{"n": int64(3), "f": 0.5, "t": "${HOME}", "b": true, "l": []any{int64(1), map[string]any{"x": nil}}, "none": nil}
	if !reflect.DeepEqual(x.Parameters, want) || x.ConfidenceThreshold != 0.9 {
		t.Errorf("%#v", x.Parameters)
	}
	if want := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC); !got[1].ValidUntil.Equal(want) {
		t.Errorf("valid until %v", got[1].ValidUntil)
	}
}

func TestAgreementFaultsNameFileLineAndKey(t *testing.T) {
	for text, want := range map[string]string{
		"- trigger: '[X]'\n  flowencoding: x\n":                                                   "a.yaml:2: [0].flowencoding: is not a known key; did you mean flow_encoding?",
		"- trigger: '[X]'\n  valid_from: tomorrow\n":                                              "a.yaml:2: [0].valid_from: must be a day",
		"- trigger: '[X]'\n  flow_encoding: '@a#b!c'\n  action: x\n":                              `flow_encoding: position 6: want "@" before the object`,
		"- trigger: '[X]'\n  flow_encoding: '@a#b!c@d'\n  action: x\n  confidence_threshold: 0\n": "a.yaml:4: [0].confidence_threshold: must be above 0",
		"trigger: '[X]'\n":                          "a.yaml:1: must be a list, is keys with values",
		"- trigger: '[X]'\n  parameters: {n: .inf}": "must be a finite number",
		"-\n": "must not be empty",
	} {
		if _, err := decodeAgreements("a.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestEmbeddedPricesHaveEveryModelThatSettingsName(t *testing.T) {
	table, err := LoadPrices("")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	d := Default().AWS.Bedrock
	names := []string{"", "claude-3-sonnet", "claude-3-haiku", "claude-3-opus", "amazon.titan-text-express-v1", "claude-sonnet-4-5", "gpt-4o-mini", "us.anthropic.claude-opus-5-5"}
	for _, name := range names {
		if r, ok := table.Row(d.Model(name), at); !ok || r.Source == "" || r.EffectiveFrom.IsZero() || r.Retired(at) {
			t.Errorf("%q: %v %+v", name, ok, r)
		}
	}
	for model, want := range map[string][2]int64{
		"claude-sonnet-4-5": {3_000_000, 15_000_000}, "us.anthropic.claude-opus-5-5": {4_400_000, 22_000_000},
		"anthropic.claude-3-haiku-20240307-v1:0": {250_000, 1_250_000}, "amazon.titan-text-express-v1": {200_000, 600_000}, "amazon.nova-micro-v1:0": {35_000, 140_000},
	} {
		if r, _ := table.Row(model, at); r.Input != want[0] || r.Output != want[1] {
			t.Errorf("%s: %d %d", model, r.Input, r.Output)
		}
	}
	before, _ := table.Row("claude-sonnet-5-5", time.Date(2026, 10, 6, 0, 0, 0, 0, time.UTC))
	after, _ := table.Row("claude-sonnet-5-5", at)
	if before.CacheRead != 200_000 || after.CacheRead != 100_000 {
		t.Errorf("%d %d", before.CacheRead, after.CacheRead)
	}
	if r, _ := table.Row("claude-3-opus-20240229", at); !r.Retired(at) || r.Successor == "" {
		t.Errorf("%+v", r)
	}
	for _, r := range table.Rows() {
		if r.CacheRead > r.Input || r.CacheWrite5m < r.Input || r.Input > r.Output && !r.NoOutput {
			t.Errorf("an unlikely row: %+v", r)
		}
	}
}

func TestOperatorsPricesReplaceByModelAndDay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prices.json")
	const own = `{"unit": "micro-dollars per million tokens", "rows": [
		{"model": "gpt-4o-mini", "effective_from": "2026-09-01", "input": 1, "output": 2, "source": "contract"},
		{"model": "gpt-4o", "effective_from": "2027-01-01", "input": 3, "output": 4, "source": "contract"},
		{"model": "llama-at-home", "effective_from": "2026-01-01", "free": true, "source": "our own machine"}]}`
	if err := os.WriteFile(path, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := LoadPrices(path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	if r, _ := table.Row("gpt-4o-mini", at); r.Input != 1 {
		t.Errorf("%+v", r)
	}
	if r, _ := table.Row("gpt-4o", at); r.Input != 2_500_000 {
		t.Errorf("%+v", r)
	}
	if r, _ := table.Row("gpt-4o", at.AddDate(1, 0, 0)); r.Input != 3 {
		t.Errorf("%+v", r)
	}
	if r, ok := table.Row("llama-at-home", at); !ok || r.Cost(messages.Usage{Output: 9}) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestPriceFaultsNameFileAndPlace(t *testing.T) {
	const head = `{"unit": "micro-dollars per million tokens", "rows": [` + "\n"
	for text, want := range map[string]string{
		head + `{"model": "m", "inptu": 1}]}`:                                                  `p.json:2: json: unknown field "inptu"`,
		head + `{"model": "m", "input": 0.3}]}`:                                                "p.json:2: rows.input must not be a number 0.3: prices are whole numbers",
		head + `{"model": "m", "input": 1, "input":2}]}`:                                       "p.json:2: input: is there twice",
		head + `{"model": "m", "input": 1, "output": 2, "source": "s"}]}`:                      "p.json: rows[0].effective_from: is required",
		head + `{"model": "m", "effective_from": "2026-01-01", "input": 1, "output": 2}]}`:     "p.json: rows[0].source: is required",
		head + `{"model": "m", "effective_from": "2026-01-01", "output": -2, "source": "s"}]}`: "input: is required",
		head + `{"model": "m", "effective_from": "soon"}]}`:                                    "a day must be written as 2026-01-31",
		`{"unit": "dollars", "rows": []}`:                                                      "p.json: unit: must be",
		``:                                                                                     "p.json:1: ends too early",
		head + `]} {}`:                                                                         "p.json:2: has more than one JSON document",
		head:                                                                                   "ends too early",
	} {
		if _, err := decodePrices("p.json", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func FuzzDecodePrices(f *testing.F) {
	f.Add(`{"unit": "micro-dollars per million tokens", "rows": [{"model": "m", "effective_from": "2026-01-01", "input": 1, "output": 2, "source": "s", "tiers": [{"above_input_tokens": 5, "input": 3, "output": 4}], "multipliers": {"batch": 50}}, {"model": "e", "effective_from": "2026-01-01", "input": 1, "no_output": true, "source": "s"}]}`)
	f.Add(`{"rows": [{"retired_on": null}]}`)
	f.Add(`{"a":[{"b":{}},"c",1]}`)
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := decodePrices("p.json", []byte(text))
		if err != nil {
			return
		}
		for _, r := range rows {
			usage := messages.Usage{InputUncached: 300_000, Output: 2000}
			if cost, bound := r.Cost(usage), r.Bound(usage.Input(), usage.Output); cost < 0 || cost > bound || cost == 0 && !r.Free {
				t.Fatalf("cost %d, bound %d of %+v", cost, bound, r)
			}
		}
	})
}

func FuzzDecodeAgreements(f *testing.F) {
	f.Add(string(embeddedAgreements))
	f.Add("- {trigger: x, flow_encoding: '@a#b!c@d', action: x, parameters: &p {n: 1, m: [*p]}}")
	f.Fuzz(func(t *testing.T, text string) {
		agreements, err := decodeAgreements("a.yaml", []byte(text))
		if err != nil {
			return
		}
		for _, a := range agreements {
			if _, err := json.Marshal(a); err != nil || a.Version == "" {
				t.Fatalf("%+v: %v", a, err)
			}
		}
	})
}

func FuzzDecodeControls(f *testing.F) {
	f.Add(string(embeddedControls))
	f.Add("levels: {l: [x]}\nsets: [{id: x, title: t, controls: [{id: x.a, says: s, stages: [end], severity: low, pass: 'size(data) == turns'}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		book, err := decodeControls("c.yaml", []byte(text))
		if err != nil {
			return
		}
		for level := range book.Document().Levels {
			for _, s := range compliance.Stages() {
				for _, r := range book.Judge(s, compliance.Facts{}, level).Results {
					if r.ID == "" || r.State == "" || compliance.Severity(r.Severity).Weight() == 0 {
						t.Fatalf("%+v", r)
					}
				}
			}
		}
	})
}

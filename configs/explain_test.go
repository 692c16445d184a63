package configs

import (
	"reflect"
	"strings"
	"testing"
)

func TestEveryKeyHasWords(t *testing.T) {
	used := 0
	for _, e := range (Loaded{Settings: Default()}).Entries() {
		if strings.TrimSpace(e.About) == "" {
			t.Errorf("%s (%s): nothing says what it does or why it does nothing", e.Key, e.Fate)
		}
		if e.Fate == Used {
			used++
		}
	}
	patterns("", reflect.TypeFor[Settings](), fate{Fate: Used}, func(pattern string, f fate) {
		if f.Fate != Used && len(f.why) < 20 {
			t.Errorf("%s: %q does not say why it has no effect", pattern, f.why)
		}
	})
	if used < 40 {
		t.Errorf("only %d keys are used", used)
	}
}

func TestWhatIsShownLoadsAsTheSame(t *testing.T) {
	for _, text := range []string{
		"", string(SampleSettings), layered,
		"retry: {default: {base_delay: 0.25, max_delay: 1.5}, models: {titan: {backoff_factor: 1.5}}}",
		"flowgate: {state_dir: '$${x}/a: b #c', timezone: Europe/Berlin, admission: {allowed_models: ['a,b', \"c'd\", '\"']}, backends: {offline: {latency: 1m30s}}}",
		"cost_optimization: {limits: {daily_limit: none, monthly_limit: 0.000001}}",
		"aws: {bedrock: {model_mapping: {'a.b': 'c:0', true: x}}}",
	} {
		l, err := read("s.yaml", []byte(text), environment())
		if err != nil {
			t.Fatal(err)
		}
		for _, origins := range []bool{false, true} {
			var shown strings.Builder
			if err := l.Show(&shown, origins); err != nil {
				t.Fatal(err)
			}
			again, err := read("shown.yaml", []byte(shown.String()), environment())
			if err != nil {
				t.Fatalf("%v\n%s", err, shown.String())
			}
			if again.Version() != l.Version() || len(again.Diff(l)) != 0 {
				t.Errorf("differs: %+v\n%s", again.Diff(l), shown.String())
			}
		}
	}
}

func TestFindTakesKeysSectionsAndNamesNobodyGaveYet(t *testing.T) {
	l, err := read("s.yaml", []byte(layered), environment())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int{
		"flowgate.hold": 1, "retry.default": 4, "retry.models.nova.max_delay": 1, "environments.production.flowgate.ack_wait": 1,
		"environments.staging.flowgate.hold": 1, "cache.models.claude.enabled": 1, "aws.bedrock.models.claude.anthropic.claude-3:0.top_p": 1,
	} {
		found, err := l.Find(key)
		if err != nil || len(found) != want {
			t.Errorf("%s: %d entries, want %d: %v", key, len(found), want, err)
		}
	}
	for key, want := range map[string]string{
		"flowgate.hodl": "did you mean flowgate.hold?", "retri": "did you mean retry?", "": "is not a known key", "environments.nowhere.x": "is not a known key",
		"retry.models.nova.max": "is not a known key",
	} {
		if found, err := l.Find(key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v %v", key, found, err)
		}
	}
}

func TestDiffTellsSecretsApartWithoutShowingThem(t *testing.T) {
	one, _ := read("a", []byte("flowgate: {nats_url: 'nats://u:hunter2@h'}"), environment())
	two, _ := read("b", []byte("flowgate: {nats_url: 'nats://u:hunter3@h'}"), environment())
	d := one.Diff(two)
	if len(d) != 1 || d[0].Key != "flowgate.nats_url" || d[0].Other != "***" || d[0].Value != "*** (another)" {
		t.Errorf("%+v", d)
	}
	if d := one.Diff(one); len(d) != 0 {
		t.Errorf("%+v", d)
	}
}

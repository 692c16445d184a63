package control

import (
	"testing"

	"pgregory.net/rapid"

	"flowgate/worker"
)

func TestAKeyHoldsAnyNameAndGivesItBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(worker.PauseKinds()).Draw(t, "kind")
		name := string(rapid.SliceOfN(rapid.Byte(), 1, MaxName).Draw(t, "name"))
		k := key(kind, name)
		gotKind, got, err := parseKey(k)
		if err != nil || gotKind != kind || got != name {
			t.Fatalf("%q gave %q, which gave %s %q: %v", name, k, gotKind, got, err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, k := range []string{"pause.layer.ai", "pause.tenant.=2E", "pause.tenant.=", "pause..", "pause.layer.=61", "heartbeat"} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, k string) {
		if kind, name, err := parseKey(k); err == nil && key(kind, name) != k {
			t.Errorf("%q means %s %q, whose key is %q", k, kind, name, key(kind, name))
		}
	})
}

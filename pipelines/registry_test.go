package pipelines_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines"
)

// services reads "a, b: a, c: a b": names, each with what it needs.
func services(text string) []pipelines.Layer {
	var all []pipelines.Layer
	for part := range strings.SplitSeq(text, ",") {
		name, needs, _ := strings.Cut(part, ":")
		l := pipelines.Layer{Name: messages.LayerName(strings.TrimSpace(name))}
		for need := range strings.FieldsSeq(needs) {
			l.Needs = append(l.Needs, messages.LayerName(need))
		}
		all = append(all, l)
	}
	return all
}

func names(layers []pipelines.Layer) string {
	words := make([]string, len(layers))
	for i, l := range layers {
		words[i] = string(l.Name)
	}
	return strings.Join(words, " ")
}

func TestOrderFollowsNeedsAndElseTheDeclaration(t *testing.T) {
	for text, want := range map[string]string{
		"a, b, c":                 "a b c",
		"c: b, b: a, a":           "a b c",
		"d, c: b, b: a, a":        "d a b c",
		"optimizer: ai, ai, base": "ai optimizer base",
		"x: z, y, z":              "y z x",
	} {
		got, err := pipelines.Order(services(text))
		if err != nil || names(got) != want {
			t.Errorf("%s is ordered %s (%v), want %s", text, names(got), err, want)
		}
	}
}

func TestChainIsInTheOrderOfItsNeeds(t *testing.T) {
	ordered, err := pipelines.Order(pipelines.Chain())
	if err != nil || names(ordered) != names(pipelines.Chain()) {
		t.Errorf("the needs of the chain order it %s (%v)", names(ordered), err)
	}
	for _, l := range ordered {
		if len(l.Uses) == 0 || len(l.Capabilities) == 0 {
			t.Errorf("%s does not say what it uses and what it can do", l.Name)
		}
	}
}

func TestCircleIsPrintedWithItsPath(t *testing.T) {
	for text, want := range map[string]string{
		"a: a":                              "a → a",
		"a: b, b: a":                        "a → b → a",
		"root, x: root b, b: c, c: d, d: b": "b → c → d → b",
	} {
		_, err := pipelines.Order(services(text))
		var cycle *pipelines.CycleError
		if !errors.As(err, &cycle) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want the path %s", text, err, want)
		}
	}
}

func TestUnknownNeedIsNamedWithTheNearest(t *testing.T) {
	_, err := pipelines.Order(services("corporate_llm, ai_processing: corprate_llm"))
	var unknown *pipelines.UnknownNeedError
	if !errors.As(err, &unknown) || unknown.Nearest != "corporate_llm" || !strings.Contains(err.Error(), `"corprate_llm", which does not exist (did you mean corporate_llm?)`) {
		t.Errorf("the error is %v", err)
	}
	if _, err = pipelines.Order(services("a: quite_another_thing")); err == nil || strings.Contains(err.Error(), "mean") {
		t.Errorf("the error is %v", err)
	}
	if _, err = pipelines.Order(services("a, a")); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the error is %v", err)
	}
	if got := pipelines.Nearest("workflow-optimiser"); got != messages.LayerOptimizer {
		t.Errorf("the nearest is %q", got)
	}
}

// graph draws services with needs among all of them: circles included.
func graph(t *rapid.T) []pipelines.Layer {
	n := rapid.IntRange(1, 9).Draw(t, "services")
	all := make([]pipelines.Layer, n)
	for i := range all {
		all[i].Name = messages.LayerName(fmt.Sprint("s", i))
		for j := range n {
			if rapid.IntRange(0, 5).Draw(t, "edge") == 0 {
				all[i].Needs = append(all[i].Needs, messages.LayerName(fmt.Sprint("s", j)))
			}
		}
	}
	return all
}

func find(all []pipelines.Layer, name messages.LayerName) pipelines.Layer {
	return all[slices.IndexFunc(all, func(l pipelines.Layer) bool { return l.Name == name })]
}

func TestEveryGraphHasAnOrderOrACircle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := graph(t)
		ordered, err := pipelines.Order(all)
		if cycle, ok := errors.AsType[*pipelines.CycleError](err); ok {
			if len(cycle.Path) < 2 || cycle.Path[0] != cycle.Path[len(cycle.Path)-1] {
				t.Fatalf("%v is no circle", cycle.Path)
			}
			for i, name := range cycle.Path[:len(cycle.Path)-1] {
				if !slices.Contains(find(all, name).Needs, cycle.Path[i+1]) {
					t.Fatalf("%s does not need %s in %v", name, cycle.Path[i+1], cycle.Path)
				}
			}
			return
		}
		if err != nil || len(ordered) != len(all) {
			t.Fatalf("%d of %d services are ordered (%v)", len(ordered), len(all), err)
		}
		var before []messages.LayerName
		for _, l := range ordered {
			for _, need := range l.Needs {
				if !slices.Contains(before, need) {
					t.Fatalf("%s comes before %s, which it needs", l.Name, need)
				}
			}
			before = append(before, l.Name)
		}
	})
}

// needs tells whether a service needs another, directly or through others.
func needs(all []pipelines.Layer, name, other messages.LayerName) bool {
	for _, need := range find(all, name).Needs {
		if need == other || needs(all, need, other) {
			return true
		}
	}
	return false
}

func TestAFailedStartBlocksExactlyThoseThatNeedIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, err := pipelines.Order(graph(t))
		if err != nil {
			t.Skip("a circle")
		}
		broken := make(map[messages.LayerName]bool)
		for _, l := range all {
			broken[l.Name] = rapid.IntRange(0, 3).Draw(t, "broken") == 0
		}
		tried := make(map[messages.LayerName]bool)
		standings := pipelines.Bring(all, func(l pipelines.Layer) error {
			tried[l.Name] = true
			if broken[l.Name] {
				return errors.New("no")
			}
			return nil
		})
		for i, s := range standings {
			blocked := slices.ContainsFunc(all, func(l pipelines.Layer) bool { return broken[l.Name] && tried[l.Name] && needs(all, s.Service, l.Name) })
			switch {
			case s.Service != all[i].Name:
				t.Fatalf("standing %d is that of %s", i, s.Service)
			case blocked != (s.BlockedBy != ""):
				t.Fatalf("%v, blocked must be %t", s, blocked)
			case blocked && (tried[s.Service] || !broken[s.BlockedBy] || !needs(all, s.Service, s.BlockedBy)):
				t.Fatalf("%v: tried %t, the culprit's start failed: %t", s, tried[s.Service], broken[s.BlockedBy])
			case !blocked && s.Started() == broken[s.Service]:
				t.Fatalf("%v, its start failed: %t", s, broken[s.Service])
			}
		}
	})
}

func TestStandingNamesTheCulprit(t *testing.T) {
	standings := pipelines.Bring(pipelines.Chain(), func(l pipelines.Layer) error {
		if l.Name == messages.LayerAI {
			return errors.New("the key is empty")
		}
		return nil
	})
	var said []string
	for _, s := range standings {
		said = append(said, s.String())
	}
	want := "corporate_llm started; ai_processing did not start: the key is empty; workflow_optimizer is blocked: it needs ai_processing, which did not start"
	if got := strings.Join(said, "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

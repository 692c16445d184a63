package chaos

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/worker/provider"
)

func planOf(t *testing.T, o Options) Plan {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheSameSeedMakesTheSamePlan(t *testing.T) {
	text := func(seed uint64, cluster int) string {
		data, err := json.Marshal(planOf(t, Options{Seed: seed, Requests: 3000, Faults: 40, Cluster: cluster}))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, cluster := range []int{1, 3} {
		if first, again := text(42, cluster), text(42, cluster); first != again {
			t.Errorf("two plans of one seed differ, with %d servers", cluster)
		}
		if text(42, cluster) == text(43, cluster) {
			t.Errorf("two seeds make one plan, with %d servers", cluster)
		}
	}
}

// TestALongScheduleHasEveryFault: a deck of shapes is dealt to its end before a shape comes again.
func TestALongScheduleHasEveryFault(t *testing.T) {
	for _, cluster := range []int{1, 3} {
		deck := shapes(cluster)
		p := planOf(t, Options{Seed: 1, Requests: 1000, Faults: len(deck), Cluster: cluster})
		for _, s := range deck {
			if !slices.ContainsFunc(p.Schedule, func(f Fault) bool {
				return f.Do == s.do && (len(s.targets) == 0 || slices.Contains(s.targets, f.Target))
			}) {
				t.Errorf("with %d servers nothing does %s to any of %v", cluster, s.do, s.targets)
			}
		}
		for i, f := range p.Schedule {
			if i > 0 && f.After < p.Schedule[i-1].After || f.After > p.Requests*9/10 {
				t.Errorf("fault %d comes after %d requests", f.N, f.After)
			}
			if (f.Do == Freeze || f.Do == FreezeBroker) && f.Lasts <= AckWait {
				t.Errorf("%s does not outlast the acknowledgement wait", f)
			}
		}
	}
}

func TestAPlanNamesEveryOptionThatIsWrong(t *testing.T) {
	_, err := New(Options{Requests: 0, Faults: -1, Cluster: 2})
	for _, field := range []string{"requests", "faults", "cluster"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
}

// TestEveryKindIsAskedAndCanBeRead: the documents are requests, and the provider knows every kind by its id.
func TestEveryKindIsAskedAndCanBeRead(t *testing.T) {
	p := planOf(t, Options{Seed: 3, Requests: 200, Faults: 1, Cluster: 1})
	seen := make(map[Kind]bool)
	for _, r := range p.Mix {
		seen[r.Kind] = true
		data, err := json.Marshal(r.Document(clockAt))
		if err != nil {
			t.Fatal(err)
		}
		request, err := messages.DecodeRequest(data)
		if err != nil {
			t.Errorf("%s: %v", r.ID, err)
		}
		if len(request.Prompt) == 0 {
			t.Errorf("%s asks nothing", r.ID)
		}
		again := Script(provider.Ask{Key: "default/" + r.ID, Epoch: 0, Attempt: 2, N: 1})
		if first := Script(provider.Ask{Key: "default/" + r.ID, Epoch: 0, Attempt: 1, N: 1}); r.Kind == Torn && (first.Outcome != provider.Cut || again.Outcome != provider.Success) {
			t.Errorf("%s is answered with %s, then %s", r.ID, first.Outcome, again.Outcome)
		}
	}
	for _, k := range kinds() {
		if !seen[k.Kind] {
			t.Errorf("a short drill has nothing of kind %s", k.Kind)
		}
	}
	if got := Script(provider.Ask{Key: "default/dead-1", Epoch: 1, Attempt: 1}).Outcome; got != provider.Success {
		t.Errorf("a dead letter that is done again is answered with %s", got)
	}
}

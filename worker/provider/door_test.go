package provider

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func knock(t *testing.T, s *Server, method, path, body string, origin string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.Root()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

func TestTheDoorChangesWhatIsNamedAndNothingElse(t *testing.T) {
	s := begin(t, Options{Door: true})
	if err := s.Rehearse(Rehearsal{Seed: 7}, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ order, state string }{
		{`{"faults":{"failed":1}}`, `{"latency":"0s","faults":{"failed":1},"seed":7,"rate":0,"burst":0,"at_once":0}`},
		{`{"rate":2.5,"burst":3}`, `{"latency":"0s","faults":{"failed":1},"seed":7,"rate":2.5,"burst":3,"at_once":0}`},
		{`{"latency":"5ms","seed":8,"at_once":2}`, `{"latency":"5ms","faults":{"failed":1},"seed":8,"rate":2.5,"burst":3,"at_once":2}`},
	} {
		if status, said := knock(t, s, http.MethodPut, "/fake/script", step.order, ""); status != 200 || said != step.state {
			t.Errorf("%s: %d %s", step.order, status, said)
		}
	}
	if status, _, err := ask(t.Context(), s, "t/r/0/1"); err != nil || status != 500 {
		t.Errorf("a call is answered with %d %v", status, err)
	}
	if _, said := knock(t, s, http.MethodGet, "/fake/script", "", ""); !strings.Contains(said, `"burst":3`) {
		t.Errorf("%s", said)
	}
	_, said := knock(t, s, http.MethodGet, "/fake/calls?request=t/r", "", "")
	var totals Totals
	if err := json.Unmarshal([]byte(said), &totals); err != nil || totals.Calls != 1 || totals.Outcomes[Failed] != 1 || strings.Contains(said, "Say OK") {
		t.Errorf("%v %s", err, said)
	}
	if status, _ := knock(t, s, http.MethodPost, "/fake/reset", "", ""); status != http.StatusNoContent || s.Totals("").Calls != 0 {
		t.Errorf("%d %+v", status, s.Totals(""))
	}
}

func TestTheDoorRefusesWhatItDoesNotUnderstand(t *testing.T) {
	s := begin(t, Options{Door: true})
	for order, says := range map[string]string{
		``:                                   "must be a JSON object",
		`{"rates":1}`:                        "unknown field",
		`{"rate":-1}`:                        "rate is -1",
		`{"burst":-1}`:                       "burst is -1",
		`{"at_once":-1}`:                     "at_once is -1",
		`{"latency":"fast"}`:                 "must be a duration",
		`{"latency":"-1s"}`:                  "latency is -1s",
		`{"dead_for":"99h"}`:                 "dead_for is 99h",
		`{"faults":{"sulking":1}}`:           "not known; use one of",
		`{"faults":{"failed":1,"half":0.1}`:  "must be a JSON object",
		`{"faults":{"failed":1,"half":1}}`:   "together",
		strings.Repeat(" ", maxOrders) + "{": "must be a JSON object",
	} {
		if status, said := knock(t, s, http.MethodPut, "/fake/script", order, ""); status != 400 || !strings.Contains(said, says) {
			t.Errorf("%.40s: %d %s", order, status, said)
		}
	}
	if status, _ := knock(t, s, http.MethodPost, "/fake/reset", "", "http://example.org"); status != 403 {
		t.Errorf("a browser's page is answered with %d", status)
	}
	shut := start(t, nil)
	if status, _ := knock(t, shut, http.MethodPost, "/fake/reset", "", ""); status != 404 {
		t.Errorf("a door that was not asked for answers %d", status)
	}
}

func TestTheDoorKillsForAWhile(t *testing.T) {
	s := begin(t, Options{Door: true})
	if status, said := knock(t, s, http.MethodPut, "/fake/script", `{"dead_for":"1s"}`, ""); status != 200 {
		t.Fatalf("%d %s", status, said)
	}
	eventuallyRefused(t, s)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, _, err := ask(t.Context(), s, "t/r/0/1"); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestARehearsalMeetsTroubleAsOftenAsItSays, and the same calls meet the same trouble.
func TestARehearsalMeetsTroubleAsOftenAsItSays(t *testing.T) {
	r := Rehearsal{Latency: time.Second, Seed: 3, Faults: map[Outcome]float64{RateLimited: 0.1, Half: 0.05, Slow: 0.05}}
	count := func(script func(Ask) Reply) map[Outcome]int {
		found := map[Outcome]int{}
		for i := range 20_000 {
			reply := script(Ask{RequestID: "t/r/0/1", N: i})
			if reply.After == 11*time.Second {
				found[Slow]++
			} else {
				found[reply.Outcome]++
			}
		}
		return found
	}
	found, again := count(r.Script()), count(r.Script())
	for o, want := range map[Outcome]int{Success: 16_000, RateLimited: 2000, Half: 1000, Slow: 1000} {
		if got := found[o]; got != again[o] || got < want*9/10 || got > want*11/10 {
			t.Errorf("%s comes %d and %d times, want about %d", o, got, again[o], want)
		}
	}
	r.Seed = 4
	if other := count(r.Script()); other[Half] == found[Half] && other[RateLimited] == found[RateLimited] {
		t.Error("another seed changes nothing")
	}
}

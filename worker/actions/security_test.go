package actions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/worker/actions"
	"flowgate/worker/security"
)

// looking is a check that finds so much among so many.
func looking(name string, saw, finds int, text string) actions.Looking {
	return actions.Looking{Name: name, Look: func(context.Context, time.Time) *security.Look {
		l := &security.Look{}
		l.Saw(saw)
		for i := range finds {
			l.Find(security.Medium, fmt.Sprint(name, " ", i, text), text, text)
		}
		return l
	}}
}

func everyone(actions.Order) error { return nil }

func TestASecurityTestSumsItsChecksUp(t *testing.T) {
	t.Parallel()
	m, err := actions.SecurityTest([]actions.Looking{looking("a", 5, 0, ""), looking("b", 15, 3, "x")}, everyone)(t.Context(), actions.Order{})
	if err != nil {
		t.Fatal(err)
	}
	r, ok := m.Document.(*actions.SecurityReport)
	// As for every share: Agresti and Coull's interval of 3 in 20.
	if !ok || !r.OK || len(r.Checks) != 2 || r.Checks[1].State != security.Warn || r.Counts[security.Medium] != 3 || len(r.Counts) != 4 || m.Samples != 20 || m.Confidence < 0.83 || m.Confidence > 0.84 {
		t.Errorf("%+v: %+v", m, r)
	}
	data, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(data), `"ok":true,"checks":[{"check":"a","state":"pass","looked_at":5,"findings":[]}`) || !strings.Contains(string(data), `"counts":{"critical":0,"high":0,"low":0,"medium":3}`) {
		t.Errorf("%s: %v", data, err)
	}
	refused := errors.New("not this tenant")
	if _, err := actions.SecurityTest(nil, func(actions.Order) error { return refused })(t.Context(), actions.Order{}); !errors.Is(err, refused) {
		t.Error(err)
	}
}

func TestASecurityTestHasRoomForTheWorst(t *testing.T) {
	t.Parallel()
	var looks []actions.Looking
	for i := range 9 {
		looks = append(looks, looking(fmt.Sprint("check", i), 50, 50, strings.Repeat("\x01", 300))) // six bytes each in JSON
	}
	m, err := actions.SecurityTest(looks, everyone)(t.Context(), actions.Order{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(m.Document)
	if err != nil || len(data) > actions.MaxResultBytes {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
	r, _ := m.Document.(*actions.SecurityReport)
	if c := r.Checks[8]; len(c.Findings) == 0 || len(c.Findings)+c.More != 50 || r.Counts[security.Medium] != 450 {
		t.Errorf("%+v", r.Counts)
	}
}

func TestACheckThatTakesTooLongIsSaidToBeUnseen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := actions.Looking{Name: "slow", Within: time.Second, Look: func(ctx context.Context, _ time.Time) *security.Look {
			<-ctx.Done()
			l := &security.Look{}
			l.Unseen("it took too long")
			return l
		}}
		patient := slow
		patient.Within = 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		m, err := actions.SecurityTest([]actions.Looking{slow, looking("quick", 1, 0, ""), patient, looking("late", 1, 0, "")}, everyone)(ctx, actions.Order{})
		if err != nil {
			t.Fatal(err)
		}
		var states []string
		r, _ := m.Document.(*actions.SecurityReport)
		for _, c := range r.Checks {
			states = append(states, string(c.State))
		}
		if got := strings.Join(states, " "); got != "not_looked_at pass not_looked_at not_looked_at" || r.OK {
			t.Errorf("%s, ok %t", got, r.OK)
		}
	})
}

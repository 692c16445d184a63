package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/postgres"
)

func written(trigger, version string) flow.Agreement {
	return flow.Agreement{
		Trigger: trigger, FlowEncoding: "@a#b!c@d", Action: "x", Version: version, Parameters: map[string]any{"days": 7.0},
		Limits: flow.Limits{CallsDay: 10}, Allowed: messages.Allowed{Models: []string{"m"}}, ValidUntil: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func (b *bundle) act(ctx context.Context, act flow.Act, by string) ([]flow.Entry, error) {
	return b.EditAgreements(ctx, func(all []flow.Entry, now time.Time) ([]flow.Entry, error) {
		c := flow.Change{Act: act, By: by, Reason: "ticket 1", At: now.UTC()}
		if act == flow.ActWrite {
			return flow.Write(all, written("[A]", fmt.Sprint(len(all)+1)), c)
		}
		return flow.Edit(all, "[A]", "", c)
	})
}

func (b *bundle) mustAct(t *testing.T, act flow.Act, by string) []flow.Entry {
	t.Helper()
	changed, err := b.act(t.Context(), act, by)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestAgreementsKeepEveryVersionAndEveryAct(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 {
		b.mustAct(t, flow.ActWrite, "ann")
		b.mustAct(t, flow.ActSubmit, "ann")
		b.mustAct(t, flow.ActApprove, "bob")
	}
	all, err := b.Agreements(t.Context())
	if err != nil || len(all) != 2 || all[0].State != flow.StateRetired || all[1].State != flow.StateApproved || all[1].Approver != "bob" {
		t.Fatalf("%v: %+v", err, all)
	}
	want := written("[A]", "2").Complete()
	if got := all[1].Agreement; got.Approver != "bob" || !reflect.DeepEqual(got.Parameters, want.Parameters) || got.Limits != want.Limits || !got.ValidUntil.Equal(want.ValidUntil) || all[1].Revision != 6 {
		t.Errorf("got %+v", all[1])
	}
	history, err := b.AgreementHistory(t.Context(), postgres.ChangeFilter{Trigger: "[A]"})
	if err != nil || len(history) != 7 {
		t.Fatalf("%v: %d acts", err, len(history))
	}
	var acts []flow.Act
	for _, e := range history {
		acts = append(acts, e.Last.Act)
	}
	if got := fmt.Sprint(acts); got != "[supersede approve submit write approve submit write]" {
		t.Errorf("acts %s", got)
	}
	for name, c := range map[string]struct {
		filter postgres.ChangeFilter
		want   int
	}{
		"another": {postgres.ChangeFilter{Trigger: "[B]"}, 0}, "by bob": {postgres.ChangeFilter{By: "bob"}, 3}, "limit": {postgres.ChangeFilter{Limit: 2}, 2},
		"later": {postgres.ChangeFilter{Since: time.Now().Add(time.Hour)}, 0}, "earlier": {postgres.ChangeFilter{Until: time.Now().Add(-time.Hour)}, 0},
		"window": {postgres.ChangeFilter{Trigger: "[A]", Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)}, 7},
	} {
		if some, err := b.AgreementHistory(t.Context(), c.filter); err != nil || len(some) != c.want {
			t.Errorf("%s: %v: %d acts", name, err, len(some))
		}
	}
	if _, err := b.raw.Exec(t.Context(), "DELETE FROM flowgate.agreement_change"); err == nil {
		t.Error("an act was taken back")
	}
	if revision, err := b.AgreementRevision(t.Context()); err != nil || revision != 6 {
		t.Errorf("revision %d: %v", revision, err)
	}
	for _, above := range []int64{40, 3} { // others have heard of more
		if revision, err := b.RaiseAgreements(t.Context(), above); err != nil || revision != 41 {
			t.Errorf("raised above %d it is %d: %v", above, revision, err)
		}
	}
	if all, err := b.Agreements(t.Context()); err != nil || all[0].Revision != 41 || all[1].Revision != 41 {
		t.Errorf("%v: %+v", err, all)
	}
	if changed := b.mustAct(t, flow.ActSuspend, "bob"); changed[0].Revision != 42 {
		t.Errorf("got %+v", changed)
	}
}

func TestOfManyApprovalsAtOnceOneCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustAct(t, flow.ActWrite, "ann")
	b.mustAct(t, flow.ActSubmit, "ann")
	var wg sync.WaitGroup
	var approved, refused atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			switch _, err := b.act(t.Context(), flow.ActApprove, fmt.Sprint("approver", i)); {
			case err == nil:
				approved.Add(1)
			case errors.Is(err, flow.ErrState):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if approved.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d approved, %d refused", approved.Load(), refused.Load())
	}
}

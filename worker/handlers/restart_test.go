package handlers_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/postgres/private"
)

// ownPostgres is a server that a test restarts.
type ownPostgres struct {
	t       *testing.T
	options private.Options
	server  *private.Server
}

func newPostgres(t *testing.T) *ownPostgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "flowgate-restart-") //nolint:usetesting // for root, the server runs as another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	p := &ownPostgres{t: t, options: private.Options{
		Dir: filepath.Join(dir, "postgres"), Database: "flowgate", Durable: true, Templates: private.TemplateDir(),
	}}
	p.start()
	t.Cleanup(func() { _ = p.server.Stop() })
	if _, _, err := postgres.Migrate(t.Context(), p.server.URL("flowgate"), postgres.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *ownPostgres) start() {
	var err error
	if p.server, err = private.Start(p.t.Context(), p.options); err != nil {
		p.t.Error(err)
	}
}

func (p *ownPostgres) restart() {
	if err := p.server.Stop(); err != nil {
		p.t.Error(err)
	}
	p.start()
}

// TestPostgresIsRestartedBetweenTheStepsOfMoney: when money is reserved and nothing is published yet, and when a result is there
// and nothing is settled yet, or just has been. The request is served once, and paid once.
func TestPostgresIsRestartedBetweenTheStepsOfMoney(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, queue string
		step        worker.Step
		// ended starts who records when the request has ended.
		ended bool
	}{
		{"between reserve and publish", "corporate", worker.StepAdmitted, false},
		{"between result and settle", "recorder", worker.StepDecided, true},
		{"after the settlement", "recorder", worker.StepPublished, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pg := newPostgres(t)
			s := newStageOn(t, pg.server.URL("flowgate"))
			var once sync.Once
			restarted := false
			restart := func(step worker.Step, queue string, _ messages.Key) {
				if step == c.step && queue == c.queue {
					once.Do(func() { pg.restart(); restarted = true })
				}
			}
			s.unrecorded = c.ended
			p := s.start(true, restart)
			s.ask(requestKey.Tenant, requestKey.ID, "a drill of restarts")
			processes := []*process{p}
			if c.ended {
				s.sees("it has ended", func(ctx context.Context) (bool, error) {
					n, found, err := s.leader.Newest(ctx, 0, requestKey)
					return found && n.State == messages.StateDone, err
				})
				s.unrecorded = false
				processes = append(processes, s.start(true, restart))
			}
			outcome := s.recorded(1)[0]
			s.sees("nothing is held", func(ctx context.Context) (bool, error) {
				_, held, err := s.money(ctx)
				return held == 0, err
			})
			for _, p := range processes {
				p.end()
			}
			if outcome.CostMicroUSD == 0 || s.spent() != outcome.CostMicroUSD || s.openai.Calls(requestKey.String()) != 1 || !restarted {
				t.Errorf("it cost %d, %d are spent, after %d calls; restarted: %t", outcome.CostMicroUSD, s.spent(), s.openai.Calls(requestKey.String()), restarted)
			}
			s.agree()
		})
	}
}

// TestTheSameIDOfTwoTenants is two requests, each with money of its own.
func TestTheSameIDOfTwoTenants(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	p := s.start(true, nil)
	defer p.end()
	for _, tenant := range []string{"acme", "other"} {
		s.ask(tenant, "same", "a test of tenants")
	}
	outcomes := s.recorded(2)
	if outcomes[0].Tenant == outcomes[1].Tenant || outcomes[0].CostMicroUSD == 0 || outcomes[1].CostMicroUSD == 0 {
		t.Errorf("they ended as %+v", outcomes)
	}
	scopes, err := s.db.SpentOver(t.Context(), "", 1, 10)
	if err != nil || len(scopes) != 4 {
		t.Fatalf("%+v, %v", scopes, err)
	}
	for _, scope := range scopes {
		if scope.Reserved != 0 || scope.Settled != outcomes[0].CostMicroUSD {
			t.Errorf("%+v, a request cost %d", scope, outcomes[0].CostMicroUSD)
		}
	}
	s.agree()
}

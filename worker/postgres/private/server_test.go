package private

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestStop(t *testing.T) {
	t.Parallel()
	t.Run("waits, with clients connected, and may be repeated", func(t *testing.T) {
		server := run(t, Options{Dir: reach(t)})
		conn, err := pgx.Connect(t.Context(), server.URL(""))
		must(t, err)
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		<-server.Done()
		nothingRuns(t, server.place.root)
		_ = conn.Close(t.Context())
		must(t, server.Stop())
	})
	t.Run("says that the server had ended by itself", func(t *testing.T) {
		server := run(t, Options{Dir: reach(t)})
		must(t, syscall.Kill(server.PID(), syscall.SIGKILL))
		<-server.Done()
		wantError(t, server.Stop(), "ended by itself", "killed")
		ask(t, run(t, Options{Dir: server.place.root}), "select 'alive'")
	})
	t.Run("forces a server that does not listen, whose next start recovers", func(t *testing.T) {
		server := run(t, Options{Dir: reach(t)})
		ask(t, server, "create table kept as select 'row' as v")
		ask(t, server, "checkpoint")
		server.grace = 30 * time.Millisecond
		must(t, syscall.Kill(server.PID(), syscall.SIGSTOP))
		wantError(t, server.Stop(), "did not stop", "killed")
		again := run(t, Options{Dir: server.place.root})
		if got := ask(t, again, "select v from kept"); got != "row" {
			t.Errorf("kept row reads %q", got)
		}
	})
}

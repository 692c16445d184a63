package postgres_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/postgres/private"
)

// BenchmarkReservations reports how many reservations a second become durable on a Postgres as `flowgate up` starts it: flushed
// at every commit. Each request holds money in four scopes (its user, its department, the tenant's day and month), which all
// connections share.
func BenchmarkReservations(b *testing.B) {
	const connections = 4
	for _, size := range []int{1, 200, 500} {
		name := fmt.Sprintf("batches of %d", size)
		if size == 1 {
			name = "one by one"
		}
		b.Run(name, func(b *testing.B) {
			db := durable(b)
			sent := 0
			for b.Loop() {
				b.StopTimer()
				batches := make([][]worker.Member, connections)
				for i := range batches {
					batches[i] = asking(sent, size)
					sent += size
				}
				b.StartTimer()
				var group sync.WaitGroup
				for _, members := range batches {
					group.Go(func() { reserve(b, db, members) })
				}
				group.Wait()
			}
			b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "reservations/s")
		})
	}
}

// asking are the requests from one number on.
func asking(from, size int) []worker.Member {
	const limit = 1 << 50
	decision := []byte(strings.Repeat("a decision ", 110)) // as long as an ordinary one
	members := make([]worker.Member, size)
	for i := range members {
		n := from + i
		members[i] = member(fmt.Sprintf("0197f0c2-%012x-%d", n*7919, n), uint64(n+1), 1000, //nolint:gosec // counts up
			scope("tenant:acme:day:2026-01-31", limit), scope("tenant:acme:month:2026-01", limit),
			scope(fmt.Sprintf("department:acme/d%d:day:2026-01-31", n%10), limit), scope(fmt.Sprintf("user:acme/u%d:day:2026-01-31", n%100), limit))
		members[i].Decision = decision
	}
	return members
}

func reserve(b *testing.B, db *postgres.DB, members []worker.Member) {
	grants, err := db.Admit(b.Context(), members)
	if err != nil {
		b.Error(err)
		return
	}
	for i := range grants {
		if grants[i].State != worker.AdmissionApproved || grants[i].Err != nil {
			b.Errorf("%+v", grants[i])
			return
		}
	}
}

// durable is a migrated database of a server that flushes.
func durable(b *testing.B) *postgres.DB {
	b.Helper()
	dir, err := os.MkdirTemp("", "flowgate-bench-*") //nolint:usetesting // another user must reach it
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // for root, the server runs as another user
		b.Fatal(err)
	}
	server, err := private.Start(b.Context(), private.Options{Dir: filepath.Join(dir, "postgres"), Database: "flowgate", Durable: true, Templates: private.TemplateDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Stop() })
	url := server.URL("flowgate")
	if _, _, err := postgres.Migrate(context.WithoutCancel(b.Context()), url, postgres.DefaultOptions()); err != nil {
		b.Fatal(err)
	}
	return openURL(b, url)
}

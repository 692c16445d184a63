package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"flowgate/worker"
)

func BenchmarkCommit(b *testing.B) {
	const size = 500
	db := open(b)
	day, user := scope("tenant:acme:day:2026-01-31", 1<<50), scope("user:acme:ann:day:2026-01-31", 1<<50)
	position := worker.Position{Stream: "FLOWGATE_WORK_0"}
	batches := 0
	for b.Loop() {
		b.StopTimer()
		members := make([]worker.Member, size)
		batch := worker.RecordBatch{From: position, To: worker.Position{Stream: position.Stream, Incarnation: "a", Seq: position.Seq + 2*size}}
		for i := range members {
			n := batches*size + i
			id := fmt.Sprintf("0197f0c2-%012x-%d", n*7919, n)
			members[i] = member(id, uint64(n+1), 1000, day, user)
			in, out := ended(id, position.Seq+uint64(2*i)+1, 321, day.Name, user.Name)
			out.Answer = strings.Repeat("an answer ", 40)
			batch.Intents, batch.Outcomes = append(batch.Intents, in), append(batch.Outcomes, out)
		}
		if _, err := db.Admit(b.Context(), members); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := db.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		position = batch.To
		batches++
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(batches*size), "µs/request")
}

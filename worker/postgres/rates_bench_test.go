package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"flowgate/worker"
)

// BenchmarkLimits reports reservations a second, on one connection, without limits and where each request counts in four of them
// beside its money: those of its user and its model, by minute and hour.
func BenchmarkLimits(b *testing.B) {
	const size, most = 200, 1 << 30
	for name, limited := range map[string]bool{"none": false, "four": true} {
		b.Run(name, func(b *testing.B) {
			db := durable(b)
			sent := 0
			for b.Loop() {
				b.StopTimer()
				members := asking(sent, size)
				for i := range members {
					if !limited {
						break
					}
					user, model := fmt.Sprintf("rate:acme/user/u%d", (sent+i)%100), "rate:acme/model/small-1"
					members[i].Tokens = 1000
					members[i].Rates = []worker.Rate{
						{Name: user + ":minute", Span: time.Minute, Requests: most, Tokens: most},
						{Name: user + ":hour", Span: time.Hour, Requests: most},
						{Name: model + ":minute", Span: time.Minute, Requests: most, Tokens: most},
						{Name: model + ":hour", Span: time.Hour, Requests: most},
					}
				}
				sent += size
				b.StartTimer()
				reserve(b, db, members)
			}
			b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "reservations/s")
		})
	}
}

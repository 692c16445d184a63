package postgres_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

func open(t testing.TB) *postgres.DB {
	t.Helper()
	return openURL(t, workertest.Database(t))
}

func openURL(t testing.TB, url string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), url, postgres.Options{MaxConns: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

const ingress = "FLOWGATE_INGRESS@2026-01-31T12:00:00Z"

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// member is a request of tenant acme that asks for amount in the scopes.
func member(id string, seq uint64, amount int64, scopes ...worker.Scope) worker.Member {
	return worker.Member{
		Address:       messages.Address{Key: messages.Key{Tenant: "acme", ID: id}, Class: messages.ClassStd},
		IngressStream: ingress, IngressSeq: seq, RequestSHA256: sha(id), Amount: amount, Scopes: scopes,
		Decision: []byte("decision of " + id),
	}
}

func scope(name string, limit int64) worker.Scope {
	return worker.Scope{Name: name, Limit: limit, Reason: messages.ReasonLimitDay}
}

func BenchmarkAdmit(b *testing.B) {
	const size = 200
	db := open(b)
	day, user := scope("tenant:acme:day:2026-01-31", 1<<50), scope("user:acme:ann:day:2026-01-31", 1<<50)
	decision := []byte(strings.Repeat("decision ", 100))
	batches := 0
	for b.Loop() {
		members := make([]worker.Member, size)
		for i := range members {
			n := batches*size + i
			members[i] = member(fmt.Sprintf("0197f0c2-%012x-%d", n*7919, n), uint64(n+1), 1000, day, user)
			members[i].Decision = decision
		}
		if _, err := db.Admit(b.Context(), members); err != nil {
			b.Fatal(err)
		}
		batches++
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(batches*size), "µs/member")
}

// ended is an outcome with its intent, as an ordinary request has them.
func ended(id string, seq uint64, cost int64, scopes ...string) (worker.Intent, worker.Outcome) {
	at := time.Now().UTC()
	stored := worker.Stored{Address: messages.Address{Key: messages.Key{Tenant: "acme", ID: id}, Class: messages.ClassStd}, Seq: seq, At: at}
	corporate := messages.CorporateSection{
		Stay: messages.Stay{Verdict: messages.VerdictApproved, StartedAt: at, FinishedAt: at}, UserID: "ann", Department: "sales",
		AuditReason: "monthly report", Model: "small-1", BoundMicroUSD: 500, ReservedMicroUSD: 1000, BillableAttempts: 2, Scopes: scopes,
		PriceVersion: "2026-01", PolicyVersion: "7",
	}
	in := worker.Intent{Stored: stored, Kind: messages.KindPrompt, RequestSHA256: sha(id), IngressSeq: seq, SubmittedAt: at, Corporate: corporate}
	stored.Seq++
	usage := messages.Usage{InputUncached: 100, Output: 20}
	out := worker.Outcome{
		Stored: stored, Kind: messages.KindPrompt, RequestSHA256: sha(id), IngressSeq: seq, SubmittedAt: at,
		End:       messages.End{Status: messages.StatusSuccess, Reason: messages.ReasonOK, Layer: messages.LayerOptimizer, CostMicroUSD: cost, FinishedAt: at},
		Corporate: &corporate,
		AI: &messages.AISection{
			Stay: messages.Stay{Verdict: messages.VerdictProcessed, StartedAt: at, FinishedAt: at}, Backend: "offline", Model: "small-1",
			Usage: usage, CostMicroUSD: cost, PriceVersion: "2026-01", Attempts: 1, AnswerLength: 6,
		},
		History: []messages.Attempt{{
			K: 1, Layer: messages.LayerAI, Backend: "offline", Model: "small-1", StartedAt: at, DurationMS: 12,
			Billing: messages.BillingKnown, CostMicroUSD: cost, BoundMicroUSD: 500, Usage: &usage,
		}},
		Answer: "answer",
	}
	out.Sections = sections(&out)
	return in, out
}

func sections(o *worker.Outcome) []byte {
	data, err := messages.EncodeEnvelope(&messages.Envelope{
		V: 1, Kind: o.Kind, Epoch: o.Epoch, SubmittedAt: o.SubmittedAt, RequestSHA256: o.RequestSHA256, IngressSeq: o.IngressSeq,
		Corporate: o.Corporate, AI: o.AI, Optimizer: o.Optimizer, History: o.History, End: &o.End,
	})
	if err != nil {
		panic(err)
	}
	return data
}

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

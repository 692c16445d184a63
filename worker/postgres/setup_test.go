package postgres_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// bundle is a database of a test's own.
type bundle struct {
	*postgres.DB

	url string
	// raw looks at tables.
	raw *pgx.Conn
	// position is what was committed last.
	position worker.Position
	// clocked: a test's own clock is in the place of the ledger's.
	clocked bool
}

func setup(t testing.TB) *bundle {
	t.Helper()
	url := workertest.Database(t)
	raw, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close(context.WithoutCancel(t.Context())) })
	return &bundle{DB: openURL(t, url), url: url, raw: raw, position: worker.Position{Stream: "FLOWGATE_WORK_0"}}
}

// admit admits and fails the test on any error.
func (b *bundle) admit(t testing.TB, members ...worker.Member) []worker.Grant {
	t.Helper()
	grants, err := b.Admit(t.Context(), members)
	if err != nil {
		t.Fatal(err)
	}
	for i := range grants {
		if grants[i].Err != nil {
			t.Fatal(grants[i].Err)
		}
	}
	return grants
}

// commit records after what was recorded before, in the WORK stream.
func (b *bundle) commit(t testing.TB, batch worker.RecordBatch) worker.Committed {
	t.Helper()
	batch.From = b.position
	batch.To = worker.Position{Stream: b.position.Stream, Incarnation: "first", Seq: b.position.Seq + 10}
	committed, err := b.Commit(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	b.position = batch.To
	return committed
}

// end commits an ordinary outcome with its intent.
func (b *bundle) end(t testing.TB, id string, seq uint64, cost int64, scopes ...string) worker.Committed {
	t.Helper()
	in, out := ended(id, seq, cost, scopes...)
	return b.commit(t, worker.RecordBatch{Intents: []worker.Intent{in}, Outcomes: []worker.Outcome{out}})
}

// wantBalance asserts what a scope has settled and reserved.
func (b *bundle) wantBalance(t testing.TB, name string, settled, reserved int64) {
	t.Helper()
	var s, r int64
	if err := b.raw.QueryRow(t.Context(), "SELECT settled, reserved FROM flowgate.scope WHERE name = $1", name).Scan(&s, &r); err != nil {
		t.Fatal(err)
	}
	if s != settled || r != reserved {
		t.Errorf("scope %s has %d settled and %d reserved, want %d and %d", name, s, r, settled, reserved)
	}
}

// wantChecked asserts that the records agree, but for the checks named.
func (b *bundle) wantChecked(t testing.TB, broken ...string) {
	t.Helper()
	findings, err := b.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expected := make(map[string]bool)
	for _, name := range broken {
		expected[name] = true
	}
	for _, f := range findings {
		if f.OK == expected[f.Name] {
			t.Errorf("check %s: ok is %t (%d: %v)", f.Name, f.OK, f.Count, f.Examples)
		}
	}
}

func (b *bundle) sql(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := b.raw.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func count[T any](t testing.TB, b *bundle, sql string, args ...any) T {
	t.Helper()
	var n T
	if err := b.raw.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

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

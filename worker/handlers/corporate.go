package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/policy"
	"flowgate/worker"
)

// DeadLetters finds the failures that replays follow.
type DeadLetters interface {
	// DeadLetter reads the envelope of the newest failed epoch of a request, or gives worker.ErrNotFound.
	DeadLetter(ctx context.Context, key messages.Key) ([]byte, error)
}

// Admissions is the part of the ledger's store that tells how an epoch stands.
type Admissions interface {
	// Standing tells the sequence of an epoch's recorded intent (0: none) and whether its outcome is recorded.
	Standing(ctx context.Context, key messages.Key, epoch int) (intentSeq uint64, ended bool, err error)
}

// Corporate is layer 1.
type Corporate struct {
	Ledger     worker.Ledger
	Admissions Admissions
	Dead       DeadLetters
	Bodies     Bodies
	Leader     *worker.Leader
	// Policy is read once a micro-batch.
	Policy func() corporate.Policy
	// Rules is the company's policy in force, read once a micro-batch; an error keeps the layer from deciding. May be nil.
	Rules func(context.Context) (*policy.Policy, error)
	// Budgets tells what somebody may spend now; may be nil. An error keeps the request from being decided on.
	Budgets func(tenant string, kind corporate.BudgetKind, name string, now time.Time) (corporate.Limits, bool, error)
	// Directory is a tenant's directory of people, nil where it has none; may be nil. It MUST NOT be older than what it promises: an
	// error keeps the request from being decided on, and those after it in its micro-batch. It answers at once with what is fresh, whatever
	// became of the context, and waits no longer than that.
	Directory func(ctx context.Context, tenant string) (*corporate.Directory, error)
	// Rates tells how much somebody may ask now; may be nil. An error keeps the request from being decided on.
	Rates func(tenant string, kind corporate.RateKind, name string) (corporate.RateLimits, bool, error)
	// Agreements are those of the deployment now; an error keeps the layer from deciding, and so does a nil book: not all have been told
	// yet. May be nil itself.
	Agreements func() (*flow.Book, error)
	// KeepTerms keeps the terms of an agreement, by their version, before anything is decided by them; may be nil.
	KeepTerms func(ctx context.Context, version string, body []byte) error
	// Seal is what proves that an action asks a request; nil: nothing does. An error keeps the request from being decided on.
	Seal func(ctx context.Context) (flow.Seal, error)
	// MatchTexts lets requests that name no trigger run under the agreement that their text means.
	MatchTexts bool
	// Serving are the backends by the settings, in the order in which they are tried.
	Serving []Serves
	// Ingress is the incarnation of the ingress stream.
	Ingress string
	// Partitions is how many WORK streams new requests are spread over.
	Partitions int
	Now        func() time.Time
	Probe      worker.Probe
	// Control tells what is paused; may be nil.
	Control worker.Control
	// LongestPark is the runtime's; 0 is its default.
	LongestPark time.Duration
}

var _ worker.Layer = (*Corporate)(nil)

// Name is the layer's name.
func (c *Corporate) Name() messages.LayerName { return messages.LayerCorporate }

// candidate is a task on its way to the ledger.
type candidate struct {
	task     *worker.Task
	envelope *messages.Envelope
	decision corporate.Decision
	member   worker.Member
	// index is the candidate's place among the verdicts.
	index int
	// ends: whatever was decided before, the request ends now.
	ends bool
}

// Handle admits a micro-batch in one statement.
func (c *Corporate) Handle(ctx context.Context, tasks []*worker.Task) []worker.Verdict {
	verdicts := make([]worker.Verdict, len(tasks))
	c = c.ofBatch()
	p, err := c.policy(ctx)
	var candidates []*candidate
	for i, t := range tasks {
		if err != nil {
			verdicts[i] = c.undecided(ctx, t, err)
			continue
		}
		entrant, v := c.gather(ctx, t, p)
		if entrant == nil {
			verdicts[i] = v
			continue
		}
		entrant.index = i
		candidates = append(candidates, entrant)
	}
	c.admit(ctx, candidates, verdicts)
	return verdicts
}

// unusablePark is when a layer looks again that has a policy in force which it cannot use, stalePark when the directory of people
// cannot be read.
const (
	unusablePark = 5 * time.Second
	stalePark    = time.Second
)

// staleError is why the directory of people cannot be read.
type staleError struct{ error }

func (e staleError) Unwrap() error { return e.error }

// undecided is the verdict about a task that cannot be judged, since a policy, a budget or the directory in force cannot be read
// here. What has ended by itself, or was cancelled, ends all the same; what is held goes on being held, so that the stream is
// purged behind it.
func (c *Corporate) undecided(ctx context.Context, t *worker.Task, why error) worker.Verdict {
	f := c.facts(t)
	if f.Cancelled != nil {
		return c.End(ctx, t, f.Cancelled)
	}
	if t.Envelope != nil {
		if refused := pipelines.Expired(t.Envelope, f.Now); refused != nil {
			return c.End(ctx, t, refused)
		}
		return worker.Verdict{Action: worker.ActionWait}
	}
	if _, stale := errors.AsType[staleError](why); stale {
		return worker.Park(c.Now().Add(stalePark), why)
	}
	return worker.Park(c.Now().Add(unusablePark), why)
}

// policy is the policy with the company's rules.
func (c *Corporate) policy(ctx context.Context) (corporate.Policy, error) {
	p := c.Policy()
	if c.Rules == nil {
		return p, nil
	}
	var err error
	p.Rules, err = c.Rules(ctx)
	return p, err
}

// End ends a task that the runtime cannot let go on. The ledger is asked all the same: a first decision always has a row.
func (c *Corporate) End(ctx context.Context, t *worker.Task, r *pipelines.Refusal) worker.Verdict {
	e := c.fresh(t)
	e.Slept = nil // the ledger is asked
	if t.Envelope == nil {
		e.Malformed = messages.NewMalformed(t.Subject, t.Data)
		e.RequestSHA256 = e.Malformed.SHA256
		if !t.Replay && t.SubjectErr == nil && json.Valid(t.Data) {
			e.Request = t.Data // a replay needs all of it
		}
	}
	d := corporate.Ended(r, c.facts(t), c.Policy())
	if t.Envelope != nil && e.Corporate != nil { // who asked, and why, was read before
		d.Kind, d.Section, d.NotAfter = e.Kind, *e.Corporate, e.NotAfter
		d.EndedBy(r)
	}
	entrant := c.candidate(t, e, d)
	entrant.member.Hold, entrant.ends = t.Envelope != nil, true
	verdicts := make([]worker.Verdict, 1)
	c.admit(ctx, []*candidate{entrant}, verdicts)
	return verdicts[0]
}

// gather finds the facts and lets the layer decide; a nil candidate means that the verdict stands without the ledger.
func (c *Corporate) gather(ctx context.Context, t *worker.Task, p corporate.Policy) (*candidate, worker.Verdict) {
	switch {
	case t.Envelope != nil && t.Envelope.Slept != nil:
		return nil, c.slept(ctx, t)
	case t.Envelope != nil:
		return c.gatherHold(ctx, t, p)
	case t.Replay:
		return c.gatherReplay(ctx, t, p)
	}
	e := c.fresh(t)
	d, err := c.decide(ctx, t, e, t.Data, p)
	if err != nil {
		return nil, c.undecided(ctx, t, err)
	}
	return c.candidate(t, e, d), worker.Verdict{}
}

func (c *Corporate) facts(t *worker.Task) corporate.Facts {
	f := corporate.Facts{Address: t.Address, Now: t.Started, SubmittedAt: t.Stored, IngressSeq: t.Seq}
	if t.Envelope != nil {
		f.SubmittedAt, f.IngressSeq = t.Envelope.SubmittedAt, t.Envelope.IngressSeq
	}
	f.Cancelled = c.cancelled(t, f.SubmittedAt)
	return f
}

// fresh is the envelope of a message of the ingress stream.
func (c *Corporate) fresh(t *worker.Task) *messages.Envelope {
	if t.Envelope != nil {
		return t.Envelope
	}
	return &messages.Envelope{
		V: messages.Version, Epoch: t.Epoch, IngressSeq: t.Seq, SubmittedAt: t.Stored,
		P: messages.Partition(t.Key, c.Partitions), TraceID: t.Trace.String(),
	}
}

// decide reads the document and lets the layer decide. What cannot be read is kept as malformed.
func (c *Corporate) decide(ctx context.Context, t *worker.Task, e *messages.Envelope, document []byte, p corporate.Policy) (corporate.Decision, error) {
	f := c.facts(t)
	sum := sha256.Sum256(document)
	e.RequestSHA256 = hex.EncodeToString(sum[:])
	err := t.SubjectErr
	if err != nil {
		err = &messages.FieldError{Field: "(subject)", Rule: "tenant and id must be of the subject's grammar", Reason: messages.ReasonSubjectInvalid}
	}
	var r messages.Request
	if err == nil {
		r, err = messages.DecodeRequest(document)
	}
	if err != nil {
		e.Malformed = messages.NewMalformed(t.Subject, document)
		if json.Valid(document) && t.SubjectErr == nil {
			e.Request = document
		}
		return corporate.Unreadable(err, f, p), nil
	}
	e.Request = document
	return c.judge(ctx, t, e, &r, f, p)
}

// judge gathers the facts about a request that could be read, and lets the layer decide.
func (c *Corporate) judge(ctx context.Context, t *worker.Task, e *messages.Envelope, r *messages.Request, f corporate.Facts, p corporate.Policy) (d corporate.Decision, err error) {
	timeless(r, e)
	if e.Corporate != nil { // decided before: held, or a failure that is replayed
		f.Credential = e.Corporate.Credential
	}
	if c.Directory != nil {
		if f.Directory, err = c.Directory(ctx, t.Tenant); err != nil {
			return d, staleError{err}
		}
	}
	if err = c.agree(ctx, t, e, r, &f); err != nil {
		return d, err
	}
	corporate.Fill(r, &f, p)
	seen := corporate.Read(r, t.Address, p.Privacy)
	if seen.Stranger == nil {
		if seen.Stranger, err = c.forged(ctx, t.Key, r); err != nil {
			return d, err
		}
	}
	f.Paused = c.paused(t, &seen, f.Agreement)
	if f.Budgets, err = c.budgets(t, &seen, f.Agreement); err != nil {
		return d, err
	}
	model := corporate.Asked(&seen, p)
	f.Serving = c.serving(model)
	if f.Rates, err = c.rates(t, &seen, model, f.Serving); err != nil {
		return d, err
	}
	return corporate.Judge(&seen, f, p), nil
}

// timeless drops the times of a request that is replayed as it was: they were meant for its first epoch.
func timeless(r *messages.Request, e *messages.Envelope) {
	if e.Replay != nil && !e.Replay.Edited {
		r.NotBefore, r.NotAfter = nil, nil
	}
}

// candidate makes the ledger's member out of a decision.
func (c *Corporate) candidate(t *worker.Task, e *messages.Envelope, d corporate.Decision) *candidate {
	m := worker.Member{
		Address: t.Address, IngressStream: c.Ingress, IngressSeq: e.IngressSeq, RequestSHA256: e.RequestSHA256,
		WaitUntil: d.NotBefore, Amount: d.Amount, Tokens: d.Tokens, Rates: rateMembers(d.Rates),
	}
	m.Epoch, m.P = e.Epoch, e.P
	if d.Amount > 0 { // where only one call still fits, it may be made once
		m.Least = d.Section.BoundMicroUSD
	}
	if d.Paused {
		m.WaitReason = messages.ReasonPaused
	}
	if d.Refusal != nil {
		m.Refused, m.WaitUntil = d.Refusal.Reason, time.Time{}
	}
	for _, s := range d.Scopes {
		m.Scopes = append(m.Scopes, worker.Scope(s))
	}
	return &candidate{task: t, envelope: e, decision: d, member: m}
}

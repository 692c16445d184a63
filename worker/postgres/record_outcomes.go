package postgres

import (
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

const outcomesSQL = `SELECT news, freed FROM record_outcomes($1,
$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
$17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42,
$43, $44, $45, $46, $47, $48)`

// newsSecond is what flowgate.record_outcomes answers for an epoch that had ended otherwise.
const newsSecond = 2

// eventSecond is the kind of the event that a second outcome leaves.
const eventSecond = "second_outcome"

// outcomeArrays are the parameters of flowgate.record_outcomes about outcomes: one per epoch.
type outcomeArrays struct {
	tenant, id, class, kind, status, reason, field, detail, layer []string
	user, department, model, backend, price, sections, answer     []string
	names                                                         []string

	epoch, p, refs              []int32
	seq, ingress, cost, in, out []int64
	stored                      []time.Time
	submitted, finished         []*time.Time
	sha, letter                 [][]byte
	replayable, refused         []bool
}

func (a *outcomeArrays) add(o *worker.Outcome) {
	end := &o.End
	a.tenant, a.id, a.class = append(a.tenant, o.Tenant), append(a.id, o.ID), append(a.class, string(o.Class))
	a.epoch, a.p = append(a.epoch, int32(o.Epoch)), append(a.p, int32(o.P))                //nolint:gosec // small
	a.seq, a.ingress = append(a.seq, int64(o.Seq)), append(a.ingress, int64(o.IngressSeq)) //nolint:gosec // sequences
	a.stored, a.submitted = append(a.stored, o.At), append(a.submitted, orNull(o.SubmittedAt))
	a.finished, a.sha = append(a.finished, orNull(end.FinishedAt)), append(a.sha, digest(o.RequestSHA256))
	a.kind, a.status = append(a.kind, clean(string(o.Kind))), append(a.status, clean(string(end.Status)))
	a.reason, a.layer = append(a.reason, clean(string(end.Reason))), append(a.layer, clean(string(end.Layer)))
	a.field, a.detail = append(a.field, clean(end.Field)), append(a.detail, clean(end.Detail))
	a.replayable, a.cost = append(a.replayable, end.Replayable), append(a.cost, end.CostMicroUSD)
	a.sections, a.answer = append(a.sections, clean(string(o.Sections))), append(a.answer, clean(o.Answer))
	letter := o.DeadLetter
	if len(letter) == 0 {
		letter = nil
	}
	a.letter = append(a.letter, letter)
	a.addSections(o)
}

// addSections adds what the layers' sections tell.
func (a *outcomeArrays) addSections(o *worker.Outcome) {
	var user, department, model, backend, price string
	var usage messages.Usage
	refused := o.End.Status == messages.StatusDenied
	if c := o.Corporate; c != nil {
		user, department, model, price = c.UserID, c.Department, c.Model, c.PriceVersion
		refused = c.Verdict == messages.VerdictDenied || c.Verdict == messages.VerdictFailed
		a.names = append(a.names, c.Scopes...)
	}
	if ai := o.AI; ai != nil {
		backend = ai.Backend
		if ai.Verdict != messages.VerdictCarriedOver { // the epoch that paid for them has them
			usage = ai.Usage
		}
		if ai.Model != "" {
			model = ai.Model
		}
		if ai.PriceVersion != "" {
			price = ai.PriceVersion
		}
	}
	a.user, a.department, a.model = append(a.user, clean(user)), append(a.department, clean(department)), append(a.model, clean(model))
	a.backend, a.price = append(a.backend, clean(backend)), append(a.price, clean(price))
	a.in, a.out = append(a.in, usage.Input()), append(a.out, usage.Output)
	a.refused = append(a.refused, refused)
	a.refs = append(a.refs, int32(len(a.names))) //nolint:gosec // bounded by the batch
}

func (a *outcomeArrays) args() []any {
	return []any{
		filled(a.tenant), filled(a.id), filled(a.epoch), filled(a.class), filled(a.p), filled(a.seq), filled(a.stored),
		filled(a.ingress), filled(a.sha), filled(a.kind), filled(a.submitted), filled(a.finished),
		filled(a.status), filled(a.reason), filled(a.field), filled(a.detail), filled(a.layer), filled(a.replayable),
		filled(a.user), filled(a.department), filled(a.model), filled(a.backend), filled(a.price),
		filled(a.cost), filled(a.in), filled(a.out), filled(a.refused),
		filled(a.sections), filled(a.answer), filled(a.letter), filled(a.refs), filled(a.names),
	}
}

// attemptArrays are the parameters of flowgate.record_outcomes about attempts: one per (tenant, id, epoch, k).
type attemptArrays struct {
	tenant, id, backend, model, class, billing []string

	epoch, k, outcome   []int32
	at                  []time.Time
	duration, bound     []int64
	doubt, cost, stated []*int64

	place map[attemptKey]int
}

type attemptKey struct {
	epochKey
	k int
}

// merge gathers the attempts of a batch from every source; ends has the index of the outcome of an epoch.
func (a *attemptArrays) merge(batch *worker.RecordBatch, ends map[epochKey]int32) {
	a.place = make(map[attemptKey]int, len(batch.Callings)+len(batch.Outcomes))
	for i := range batch.Callings {
		c := &batch.Callings[i]
		key := epochKey{c.Key, c.Epoch}
		if c.Before != nil {
			a.add(key, c.Before, c.At, ends[key], false)
		}
		a.add(key, &c.Attempt, c.At, ends[key], true)
	}
	counted := make(map[epochKey]bool, len(batch.Outcomes))
	for i := range batch.Outcomes {
		o := &batch.Outcomes[i]
		key := epochKey{o.Key, o.Epoch}
		for j := range o.History {
			at := a.add(key, &o.History[j], o.At, ends[key], false)
			if !counted[key] {
				stated := o.History[j].CostMicroUSD
				a.stated[at] = &stated
			}
		}
		counted[key] = true
	}
	for i := range batch.Events {
		if e := &batch.Events[i]; e.Kind == messages.EventAttemptEnd && e.Attempt != nil {
			key := epochKey{e.Key, e.Epoch}
			a.add(key, e.Attempt, e.At, ends[key], false)
		}
	}
}

// add merges one sighting of an attempt, by the rules of flowgate.upsert_attempts, and tells its place.
func (a *attemptArrays) add(key epochKey, t *messages.Attempt, stored time.Time, outcome int32, calling bool) int {
	s := see(t, calling)
	at := stored
	if !t.StartedAt.IsZero() {
		at = t.StartedAt
	}
	full := attemptKey{key, t.K}
	i, ok := a.place[full]
	if !ok {
		i = len(a.id)
		a.place[full] = i
		a.tenant, a.id, a.epoch = append(a.tenant, clean(key.Tenant)), append(a.id, clean(key.ID)), append(a.epoch, int32(key.epoch)) //nolint:gosec // small
		a.k, a.at, a.duration = append(a.k, int32(t.K)), append(a.at, at), append(a.duration, t.DurationMS)                           //nolint:gosec // small
		a.backend, a.model = append(a.backend, clean(t.Backend)), append(a.model, clean(t.Model))
		a.class, a.billing = append(a.class, clean(t.Class)), append(a.billing, s.billing)
		a.bound, a.doubt, a.cost = append(a.bound, s.bound), append(a.doubt, s.doubt), append(a.cost, s.cost)
		a.stated, a.outcome = append(a.stated, nil), append(a.outcome, outcome)
		return i
	}
	if s.cost != nil || s.doubt != nil && a.cost[i] == nil {
		a.class[i], a.billing[i] = clean(t.Class), s.billing
	}
	a.bound[i] = max(a.bound[i], s.bound)
	a.doubt[i], a.cost[i] = greatest(a.doubt[i], s.doubt), greatest(a.cost[i], s.cost)
	a.duration[i] = max(a.duration[i], t.DurationMS)
	if at.Before(a.at[i]) {
		a.at[i] = at
	}
	return i
}

// sighting is what one source tells of the money of an attempt.
type sighting struct {
	bound       int64
	doubt, cost *int64
	billing     string
}

// BillingCalling stands for an attempt of which only the state calling is known.
const BillingCalling = "calling"

func see(t *messages.Attempt, calling bool) sighting {
	amount := t.CostMicroUSD
	switch {
	case calling:
		return sighting{bound: max(t.BoundMicroUSD, amount), billing: BillingCalling}
	case t.Billing == messages.BillingKnown || t.Billing == messages.BillingNone:
		return sighting{bound: t.BoundMicroUSD, cost: &amount, billing: string(t.Billing)}
	}
	return sighting{bound: t.BoundMicroUSD, doubt: &amount, billing: string(messages.BillingInDoubt)}
}

func greatest(a, b *int64) *int64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func (a *attemptArrays) args() []any {
	return []any{
		filled(a.tenant), filled(a.id), filled(a.epoch), filled(a.k), filled(a.at), filled(a.duration),
		filled(a.backend), filled(a.model), filled(a.class), filled(a.billing),
		filled(a.bound), filled(a.doubt), filled(a.cost), filled(a.stated), filled(a.outcome),
	}
}

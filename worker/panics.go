package worker

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
)

// panics counts panics by the message that caused them. It is bounded: what is forgotten is counted anew.
type panics struct {
	mu sync.Mutex
	by map[panicked]int
}

type panicked struct {
	stream string
	seq    uint64
}

// mostPanics bounds the messages that are remembered.
const mostPanics = 1000

// count adds one and tells the sum.
func (p *panics) count(d *Delivery) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil || len(p.by) >= mostPanics {
		p.by = make(map[panicked]int)
	}
	of := panicked{d.stream(), d.Seq}
	p.by[of]++
	return p.by[of]
}

// screened is screen that survives a panic: it is counted by the message, for nothing may be known of the request yet, and
// ends it after three.
func (r *Runtime) screened(ctx context.Context, q Queue, t *Task) (v Verdict, judged bool) {
	_, where := guarded(func() []Verdict {
		r.opts.Probe.At(StepFetched, t.queue(), t.Key)
		v, judged = r.screen(ctx, q, t)
		return nil
	})
	if where == "" {
		return v, judged
	}
	r.log.Error("panic", zap.String("queue", q.Name), t.about(), zap.String("where", where))
	if r.panics.count(t.Delivery) < crashes {
		return Park(r.now().Add(lag), fmt.Errorf("panic: %s", where)), true
	}
	if t.State != "" && t.Envelope == nil {
		t.Expect, t.Envelope = t.Seq, messages.UnreadableEnvelope(t.Address, t.Stored, t.Data)
		t.Envelope.Malformed = messages.NewMalformed(t.Subject, t.Data)
	}
	return r.endGuarded(ctx, q, t, pipelines.Fail(messages.ReasonCrash, where)), true
}

// crashes ends a request after this many panics.
const crashes = 3

// judge hands tasks to the layer. A panic costs nobody but the task that caused it: the batch is judged again one by one.
func (r *Runtime) judge(ctx context.Context, q Queue, tasks []*Task) []Verdict {
	verdicts, where := guarded(func() []Verdict { return q.Layer.Handle(ctx, tasks) })
	if where == "" && len(verdicts) == len(tasks) {
		return verdicts
	}
	if len(tasks) > 1 {
		verdicts = verdicts[:0]
		for _, t := range tasks {
			verdicts = append(verdicts, r.judge(ctx, q, []*Task{t})...)
		}
		return verdicts
	}
	return []Verdict{r.crashed(ctx, q, tasks[0], where)}
}

// crashed counts a panic: in the envelope's history where there is one, else by the message. A call that was open is in
// doubt.
func (r *Runtime) crashed(ctx context.Context, q Queue, t *Task, where string) Verdict {
	r.log.Error("panic", zap.String("queue", q.Name), t.about(), zap.String("where", where))
	refused := pipelines.Fail(messages.ReasonCrash, where)
	if t.State == "" {
		if r.panics.count(t.Delivery) < crashes {
			return Park(r.now().Add(lag), fmt.Errorf("panic: %s", where))
		}
		return r.endGuarded(ctx, q, t, refused)
	}
	e := t.Envelope
	attempt := messages.Attempt{K: ai.NextAttempt(e.History), Layer: q.Layer.Name(), StartedAt: t.Started, Billing: messages.BillingNone}
	if t.Open != nil {
		attempt = *t.Open
		attempt.Billing, attempt.CostMicroUSD = messages.BillingInDoubt, attempt.BoundMicroUSD
	}
	attempt.Class, attempt.Detail, attempt.Worker = classCrash, where, r.opts.Worker
	attempt.DurationMS = r.now().Sub(t.Started).Milliseconds()
	e.History = append(e.History, attempt)
	TellAttempt(r.opts.Observer, t, attempt)
	n := 0
	for i := range e.History {
		if e.History[i].Class == classCrash {
			n++
		}
	}
	if n >= crashes {
		return r.endGuarded(ctx, q, t, refused)
	}
	e.N++
	e.NotBefore = r.now().Add(lag)
	v, err := t.advance(t.State)
	if err != nil {
		return Park(r.now().Add(lag), err)
	}
	return v
}

// endGuarded lets the layer end a task; where even that panics, the message waits for somebody who mends the code.
func (r *Runtime) endGuarded(ctx context.Context, q Queue, t *Task, refused *pipelines.Refusal) Verdict {
	verdicts, where := guarded(func() []Verdict { return []Verdict{q.Layer.End(ctx, t, refused)} })
	if where != "" {
		return Park(r.now().Add(r.opts.AckWait), fmt.Errorf("panic while ending: %s", where))
	}
	return verdicts[0]
}

const classCrash = "crash"

// guarded runs f; where names the place of a panic, empty without one. A panic's value may hold data of a request, so only
// errors of the Go runtime are told.
func guarded(f func() []Verdict) (verdicts []Verdict, where string) {
	defer func() {
		if p := recover(); p != nil {
			where = place(p)
		}
	}()
	return f(), ""
}

// place tells what panicked, and the functions above it.
func place(p any) string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)])
	var b strings.Builder
	if e, ok := p.(runtime.Error); ok {
		b.WriteString(e.Error())
	} else {
		fmt.Fprintf(&b, "panic of type %T", p)
	}
	for {
		frame, more := frames.Next()
		if name, ours := strings.CutPrefix(frame.Function, "flowgate/"); ours {
			fmt.Fprintf(&b, " < %s:%d", name, frame.Line)
		}
		if !more {
			return b.String()
		}
	}
}

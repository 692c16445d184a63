package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
)

// TemplateReport is what a template's requests came to. Money is in micro-dollars.
type TemplateReport struct {
	Template string `json:"template"`
	// Answer is the last step's; JSON is what it says where the template demands that.
	Answer string          `json:"answer,omitempty"`
	JSON   json.RawMessage `json:"json,omitempty"`

	Steps        []TemplateStep `json:"steps"`
	CostMicroUSD int64          `json:"cost_microusd"`
	TokensIn     int64          `json:"tokens_in"`
	TokensOut    int64          `json:"tokens_out"`
	// Note says that no model was asked, where that is so.
	Note string `json:"note,omitempty"`
}

// TemplateStep is what one request of a template came to.
type TemplateStep struct {
	Name   string          `json:"name"`
	ID     string          `json:"id"`
	Status messages.Status `json:"status"`
	Reason messages.Reason `json:"reason"`
	// Answer is of steps before the last, as much of it as there is room for; AnswerBytes is how long it is.
	Answer      string `json:"answer,omitempty"`
	AnswerBytes int    `json:"answer_bytes"`
	Backend     string `json:"backend,omitempty"`
	Model       string `json:"model,omitempty"`
	// Seconds is from its submission to its end. Reused tells that no call was made for it: its answer was there.
	Seconds      float64 `json:"seconds"`
	Reused       bool    `json:"reused"`
	CostMicroUSD int64   `json:"cost_microusd"`
	TokensIn     int64   `json:"tokens_in"`
	TokensOut    int64   `json:"tokens_out"`
}

const (
	// stepsAtOnce bounds the requests of a template that are under way.
	stepsAtOnce = 4
	// answerRoom is how much is shown of the answers of the steps before the last, together.
	answerRoom = 16 << 10
)

// FromTemplate makes a function of a template: it asks its requests, each as soon as those that it depends on have answered, and checks the
// last answer. The first that is not answered ends it. What it rests on are the answers of models, of which the offline backend is none;
// its confidence is that of the share of these that are good, which is all: see flow.ConfidenceOfShare.
func FromTemplate(t *templates.Template) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		values, err := t.Bind(o.Agreement.Parameters)
		if err != nil {
			return Measured{}, &unusableError{err}
		}
		r := &templateRun{Template: t, order: o, values: values, answers: map[string]string{}, steps: make([]TemplateStep, len(t.Steps))}
		if err := r.run(ctx); err != nil {
			return Measured{}, err
		}
		last := r.answers[t.Steps[len(t.Steps)-1].Name]
		object, err := t.Judge(last)
		if err != nil {
			return Measured{}, err
		}
		n := r.models()
		return Measured{Document: r.report(last, object), Samples: n, Confidence: flow.ConfidenceOfShare(n, n)}, nil
	}
}

// templateRun is a template that is being carried out.
type templateRun struct {
	*templates.Template

	order  Order
	values templates.Values

	mu      sync.Mutex
	answers map[string]string
	steps   []TemplateStep
	cost    int64
}

// run asks every step and waits for all.
func (r *templateRun) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots, answered := make(chan struct{}, stepsAtOnce), make([]chan struct{}, len(r.Steps))
	for i := range answered {
		answered[i] = make(chan struct{})
	}
	var going sync.WaitGroup
	for i := range r.Steps {
		going.Go(func() {
			for _, before := range r.After(i) {
				select {
				case <-answered[before]:
				case <-ctx.Done():
					return
				}
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			defer func() { <-slots }()
			if err := r.step(ctx, i); err != nil {
				cancel(err)
				return
			}
			close(answered[i])
		})
	}
	going.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

// step asks one request. Its result counts only where it succeeded.
func (r *templateRun) step(ctx context.Context, i int) error {
	name := r.Steps[i].Name
	r.mu.Lock()
	request, err := r.Request(i, r.values, r.answers)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	result, err := r.order.Ask(ctx, name, request)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("step %s: %w", name, err)
	case result.Status != messages.StatusSuccess:
		return fmt.Errorf("step %s ended as %s (%s)", name, result.Status, result.Reason)
	case strings.TrimSpace(result.Answer) == "":
		return fmt.Errorf("step %s: the answer is empty", name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := stepOf(name, result)
	r.steps[i], r.answers[name] = s, result.Answer
	r.cost += s.CostMicroUSD
	if most := r.order.Agreement.Limits.RequestMicroUSD; most > 0 && r.cost > most {
		return fmt.Errorf("it cost more than the agreement's limit of %d micro-dollars a request", most)
	}
	return nil
}

func stepOf(name string, r messages.Result) TemplateStep {
	s := TemplateStep{
		Name: name, ID: r.ID, Status: r.Status, Reason: r.Reason, AnswerBytes: len(r.Answer), Seconds: max(r.FinishedAt.Sub(r.SubmittedAt).Seconds(), 0),
	}
	if m := r.Metadata; m != nil {
		s.Backend, s.Model, s.CostMicroUSD, s.TokensIn, s.TokensOut, s.Reused = m.Backend, m.Model, m.CostMicroUSD, m.Tokens.Input, m.Tokens.Output, m.Reused != nil
	}
	return s
}

// offline is the backend that asks no model.
const offline = "offline"

// models counts the steps that a model answered.
func (r *templateRun) models() (n int64) {
	for _, s := range r.steps {
		if s.Backend != offline {
			n++
		}
	}
	return n
}

// report is the document of the result.
func (r *templateRun) report(last string, object json.RawMessage) *TemplateReport {
	report := &TemplateReport{Template: r.Name, Answer: last, Steps: r.steps}
	if object != nil {
		report.Answer, report.JSON = "", object
	}
	if r.models() < int64(len(r.steps)) {
		report.Note = "the offline backend answered, which asks no model: that rests on nothing"
	}
	room := answerRoom
	for i := range r.steps {
		s := &r.steps[i]
		report.CostMicroUSD, report.TokensIn, report.TokensOut = report.CostMicroUSD+s.CostMicroUSD, report.TokensIn+s.TokensIn, report.TokensOut+s.TokensOut
		if i < len(r.steps)-1 {
			s.Answer = strings.ToValidUTF8(r.answers[s.Name][:min(len(r.answers[s.Name]), room)], "")
			room -= len(s.Answer)
		}
	}
	return report
}

// errNoChain is of orders that are carried out where there is no chain to ask.
var errNoChain = errors.New("there is no chain to ask here")

// Ask asks the gateway's own chain a request as a part of the order: in the name of who ordered the action, under its agreement, whose
// lists, money, time and state bind it. name tells the parts of an order apart, and makes the request's id: a part that is asked again, after
// a crash, is answered and paid for once. What the request says of trigger, user, department, purpose and reason counts for nothing.
func (o Order) Ask(ctx context.Context, name string, r messages.Request) (messages.Result, error) {
	if err := templates.CheckName(name); err != nil {
		return messages.Result{}, err
	}
	if o.chain == nil {
		return messages.Result{}, errNoChain
	}
	return o.ask(ctx, o.chain, name, r)
}

// ChainFunc is a Chain that is one function.
type ChainFunc func(ctx context.Context, key messages.Key, body []byte) (messages.Result, error)

// Ask calls it.
func (f ChainFunc) Ask(ctx context.Context, key messages.Key, body []byte) (messages.Result, error) {
	return f(ctx, key, body)
}

// Asking is the order as a function is given it, for tests of functions: c is what Ask asks.
func (o Order) Asking(c Chain) Order {
	o.chain = c
	return o
}

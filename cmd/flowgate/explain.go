package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
	"flowgate/worker/postgres"
	"flowgate/worker/results"
)

// explanation is why a request went as it did, or what it waits for.
type explanation struct {
	messages.Key

	Epoch int                  `json:"epoch"`
	State messages.ResultState `json:"state"`
	// At is the state in which it stands; Status and Reason are set where it has ended, Message says in words why, or what it
	// waits for.
	At      string          `json:"at,omitempty"`
	Status  messages.Status `json:"status,omitempty"`
	Reason  messages.Reason `json:"reason,omitempty"`
	Message string          `json:"message,omitempty"`
	Next    string          `json:"next,omitempty"`
	// RetryAt is when there is room again: for sending the same again, or for a request that waits.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// WaitsFor says of one that stands in layer 2 what keeps it: a call under way, a backend that is held or blocked, a rate limit.
	WaitsFor []string `json:"waits_for,omitempty"`
	// Decided is what layer 1 decided by, and with what; absent before it has.
	Decided *messages.CorporateSection `json:"decided,omitempty"`
	// Checks are those of every layer, in order.
	Checks         []layerCheck       `json:"checks"`
	AnswerFindings []messages.Finding `json:"answer_findings,omitempty"`
	// Controls are those of compliance that were judged up to now, Compliance is their score where it has ended.
	Controls   []messages.Control         `json:"controls"`
	Compliance *messages.ResultCompliance `json:"compliance,omitempty"`
	// Attempts are the calls with what they are charged, CostMicroUSD what the epoch is charged up to now, of which HeldMicroUSD is
	// held for a call under way.
	Attempts     []postgres.Attempt `json:"attempts"`
	CostMicroUSD int64              `json:"cost_microusd"`
	HeldMicroUSD int64              `json:"held_microusd,omitempty"`
	// Failovers are the backends that were asked one after the other, where they were several.
	Failovers []string `json:"failovers,omitempty"`
	// Reused says where an answer came from that no call of this request brought.
	Reused *messages.Reused `json:"reused,omitempty"`
}

// layerCheck is one named check of a layer.
type layerCheck struct {
	Layer messages.LayerName `json:"layer"`
	messages.Check
}

func newExplain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "explain ID", Short: "Explain why a request went as it did, or what it waits for", Args: cobra.ExactArgs(1),
		Long: "Tells of the newest epoch of a request who asked and why, by which versions of settings, policy, prices and agreement it was\n" +
			"decided, every check of every layer, what was found in it, the money that was held, each call, and how it ended. Of one that\n" +
			"has not ended it tells what it waits for. It never shows what was asked or answered. Exit code 1: it is not known.",
		Example: "  flowgate explain invoice-4711\n  flowgate explain invoice-4711 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			key := messages.Key{Tenant: g.tenant, ID: args[0]}
			if err := messages.CheckKey(key); err != nil {
				return usageError{err}
			}
			c, err := reach(cmd.Context(), g, true)
			if err != nil {
				return err
			}
			defer c.close()
			e, err := explain(cmd.Context(), c, key)
			if err != nil {
				return err
			}
			known := e.State != messages.ResultUnknown
			if g.json {
				return verdict(printJSON(cmd.OutOrStdout(), e), known)
			}
			return verdict(e.write(cmd.OutOrStdout()), known)
		},
	}
}

// explain asks for the result, reads the state that stands, and the record.
func explain(ctx context.Context, c *client, key messages.Key) (explanation, error) {
	result, err := results.Get(ctx, c.conn, key)
	if err != nil {
		return explanation{}, environmentError{err}
	}
	e := explanation{
		Key: key, Epoch: result.Epoch, State: result.State, At: result.At, Status: result.Status, Reason: result.Reason, Message: result.Message,
		RetryAt: result.RetryAt, Checks: []layerCheck{}, Attempts: []postgres.Attempt{}, Controls: []messages.Control{}, Compliance: result.Compliance,
	}
	if e.State == messages.ResultUnknown {
		return e, nil
	}
	if result.Reason != "" {
		e.Next = messages.Explain(result.Reason).Next
	}
	story, err := c.db.Timeline(ctx, key)
	if err != nil && !errors.Is(err, worker.ErrNotFound) {
		return e, err
	}
	recorded := false
	for i := range story.Epochs {
		if story.Epochs[i].Epoch == e.Epoch {
			recorded = e.recorded(&story.Epochs[i])
		}
	}
	if recorded {
		return e, nil
	}
	stands, err := standsAt(ctx, c, key)
	if err != nil || stands == nil || stands.Envelope.Epoch != e.Epoch {
		return e, err
	}
	e.sections(stands.Envelope.Corporate, stands.Envelope.AI, stands.Envelope.Optimizer)
	e.codes(stands.Envelope.History)
	return e, e.waits(ctx, c, stands)
}

// recorded takes over what the record has of an epoch; false: its layers are not recorded yet.
func (e *explanation) recorded(story *postgres.EpochTimeline) bool {
	e.Attempts = append(e.Attempts, story.Attempts...)
	for i := range e.Attempts {
		e.CostMicroUSD += e.Attempts[i].Charged
		if e.Attempts[i].Billing == postgres.BillingCalling {
			e.HeldMicroUSD += e.Attempts[i].Charged
		}
	}
	e.Failovers = failovers(e.Attempts)
	var corporate *messages.CorporateSection
	var ai *messages.AISection
	var optimizer *messages.OptimizerSection
	for _, l := range story.Layers {
		into := map[messages.LayerName]any{messages.LayerCorporate: &corporate, messages.LayerAI: &ai, messages.LayerOptimizer: &optimizer}[messages.LayerName(l.Layer)]
		if into != nil {
			_ = json.Unmarshal(l.Section, into) // one of a newer version is left out: audit show has it as it is
		}
	}
	e.sections(corporate, ai, optimizer)
	return len(story.Layers) > 0
}

// sections takes over what the layers decided.
func (e *explanation) sections(corporate *messages.CorporateSection, ai *messages.AISection, optimizer *messages.OptimizerSection) {
	add := func(layer messages.LayerName, checks []messages.Check) {
		for _, c := range checks {
			e.Checks = append(e.Checks, layerCheck{layer, c})
		}
	}
	stands := messages.Envelope{Corporate: corporate, AI: ai, Optimizer: optimizer}
	e.Controls = append(e.Controls, stands.Controls()...)
	if corporate != nil {
		add(messages.LayerCorporate, corporate.Checks)
		decided := *corporate
		decided.Checks, decided.Controls = nil, nil
		e.Decided = &decided
	}
	if ai != nil {
		add(messages.LayerAI, ai.Checks)
		e.AnswerFindings, e.Reused = ai.AnswerFindings, ai.Reused
		if e.Decided != nil && ai.Findings != nil {
			e.Decided.Findings = ai.Findings // by the rules for the backend that was asked
		}
	}
	if optimizer != nil {
		add(messages.LayerOptimizer, optimizer.Checks)
	}
}

// write prints an explanation for people.
func (e *explanation) write(w io.Writer) error {
	var err error
	say := func(format string, a ...any) {
		_, wrong := fmt.Fprintf(w, format+"\n", a...)
		err = errors.Join(err, wrong)
	}
	switch e.State {
	case messages.ResultUnknown:
		say("%s: no such request is known", e.ID)
		return err
	case messages.ResultPending:
		say("%s, epoch %d: pending, at %s", e.ID, e.Epoch, e.At)
	case messages.ResultDone:
		say("%s, epoch %d: %s (%s)", e.ID, e.Epoch, e.Status, e.Reason)
	}
	if e.Message != "" {
		say("  why       %s", printable(e.Message))
	}
	if e.Next != "" && e.Status != messages.StatusSuccess {
		say("  next      %s", e.Next)
	}
	if !e.RetryAt.IsZero() {
		say("  room at   %s", e.RetryAt.UTC().Format(time.RFC3339))
	}
	for _, line := range e.WaitsFor {
		say("  waits for %s", printable(line))
	}
	if d := e.Decided; d != nil {
		e.writeDecided(say)
	}
	if text := foundText(e.AnswerFindings); text != "" {
		say("  answered  %s", text)
	}
	e.writeCalls(say)
	if len(e.Checks) == 0 {
		return err
	}
	rows := make([][]string, len(e.Checks))
	for i, c := range e.Checks {
		rows[i] = []string{string(c.Layer), c.Name, c.State, printable(c.Detail)}
	}
	say("")
	err = errors.Join(err, table(w, "LAYER CHECK STATE DETAIL", rows))
	if len(e.Controls) == 0 {
		return err
	}
	say("")
	if text := scoreLine(e.Compliance); text != "" {
		say("%s", text)
	}
	return errors.Join(err, table(w, "CONTROL STAGE STATE EVIDENCE", controlRows(e.Controls)))
}

// writeDecided prints what layer 1 decided by.
func (e *explanation) writeDecided(say func(string, ...any)) {
	d := e.Decided
	say("  asked by  user %s, department %s%s: %q", printable(d.UserID), printable(d.Department), prefixed(", for ", printable(d.Purpose)), d.AuditReason)
	e.writeDirectory(say)
	if d.Model != "" {
		say("  model     %s, at most %d tokens, temperature %g", printable(d.Model), d.MaxTokens, d.Temperature)
	}
	rules := []string{"settings " + d.PolicyVersion}
	for _, r := range []struct{ word, version string }{{"policy ", d.BundleVersion}, {"prices ", d.PriceVersion}} {
		if r.version != "" {
			rules = append(rules, r.word+r.version)
		}
	}
	if d.Agreement != nil {
		rules = append(rules, "agreement "+printable(d.Agreement.Trigger)+" "+printable(d.Agreement.Version))
	}
	say("  rules     %s", strings.Join(rules, ", "))
	if len(d.Flags) > 0 {
		say("  flagged   by %s", strings.Join(d.Flags, ", "))
	}
	if text := foundText(d.Findings); text != "" {
		say("  found     %s", text)
	}
	if d.BoundMicroUSD > 0 {
		say("  bound     %s a call, %d call(s) may be paid for", dollars(d.BoundMicroUSD), d.BillableAttempts)
	}
	if d.ReservedMicroUSD > 0 {
		say("  held      %s in %s", dollars(d.ReservedMicroUSD), printable(strings.Join(d.Scopes, ", ")))
	}
	for _, r := range d.Rates {
		word := "counted"
		switch {
		case r.Name == d.RateBlocked:
			word = "no room"
		case d.RateBlocked != "":
			word = "asked"
		}
		say("  %-9s 1 request%s in %s (%s)", word, tokensText(d.RateTokens), printable(r.Name), limitsText(r.Requests, r.Tokens))
	}
	say("  decided   %s", d.FinishedAt.UTC().Format(time.RFC3339Nano))
}

// writeDirectory prints what the directory of people said.
func (e *explanation) writeDirectory(say func(string, ...any)) {
	d := e.Decided
	if len(d.Defaults) > 0 {
		say("  filled    %s, by the credential's defaults", strings.Join(d.Defaults, ", "))
	}
	n := d.Directory
	if n == nil {
		return
	}
	person := "nobody of that name"
	if p := n.Person; p != nil {
		person = entryText(corporate.Entry{Person: p})
	}
	say("  person    %s (directory revision %d)", printable(person), n.Revision)
	if n.Department != nil {
		say("  list      of the department: %s", printable(entryText(corporate.Entry{Department: n.Department})))
	}
	say("  list      of everyone: %s", printable(entryText(corporate.Entry{Everyone: &n.Everyone})))
}

// prefixed is a text behind a word, nothing where there is none.
func prefixed(word, text string) string {
	if text == "" {
		return ""
	}
	return word + text
}

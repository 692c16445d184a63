package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/actions"
)

// flowRun is a request for the action of an agreement, as the flags say it.
type flowRun struct {
	submission

	params []string
	all    bool
}

func newFlowRun(g *globals) *cobra.Command {
	var r flowRun
	cmd := &cobra.Command{
		Use: "run [TRIGGER]", Short: "Carry out the action of an agreement, or of all, and show what came of it", Args: cobra.MaximumNArgs(1),
		Long: "Asks for the agreement's action with a request that passes through all layers like any other, waits for its end, and shows the\n" +
			"result: `flowgate submit --trigger TRIGGER --wait` does the same. --param gives a parameter that the agreement does not fix; a\n" +
			"value that reads as a number, true, false, a list or an object in JSON is one, all else is text.\n\n" +
			"--all carries out every agreement in force that this tenant may use and whose action there is, one after the other, so that they do not measure each other.\n" +
			"Exit code 1: one of them was not real, or did not succeed. An interrupt ends the wait; what was asked for goes on.",
		Example: "  flowgate flow run \"[Cost Analysis]\" --param days=7\n  flowgate flow run \"cost analysis\" --reason \"ticket 4711\" --user anna --json\n" +
			"  flowgate flow run --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.all != (len(args) == 0) {
				return usageError{errors.New("name one agreement, or give --all")}
			}
			if r.all {
				return r.runAll(cmd, g)
			}
			return r.runOne(cmd, g, args[0])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&r.params, "param", nil, "a parameter of the action, `name=value`; may be repeated")
	f.StringVar(&r.reason, "reason", "", "audit reason: why it is carried out (default: that it was asked for by hand)")
	f.StringVar(&r.user, "user", "", "user id")
	f.StringVar(&r.department, "department", "", "department")
	f.StringVar(&r.purpose, "purpose", "", "what the result is for (default: the agreement's)")
	f.StringVar(&r.id, "id", "", "request `id` (default: a new UUID)")
	f.BoolVar(&r.all, "all", false, "carry out every agreement in force")
	f.DurationVar(&r.timeout, "timeout", time.Hour, "longest wait for one")
	cmd.MarkFlagsMutuallyExclusive("all", "param")
	cmd.MarkFlagsMutuallyExclusive("all", "id")
	return cmd
}

func (r *flowRun) runOne(cmd *cobra.Command, g *globals, arg string) error {
	all, err := g.agreements(cmd.Context())
	if err != nil {
		return err
	}
	trigger, err := triggerOf(all, arg)
	if err != nil {
		return err
	}
	document, err := r.order(trigger)
	if err != nil {
		return usageError{err}
	}
	key := messages.Key{Tenant: g.tenant, ID: r.id}
	if key.ID == "" {
		if key.ID, err = newID(); err != nil {
			return err
		}
	}
	if err := messages.CheckKey(key); err != nil {
		return usageError{err}
	}
	r.wait = true
	return r.send(cmd, g, messages.ClassStd, key, document, r.id != "")
}

// order is the document that asks for an agreement's action.
func (r *flowRun) order(trigger string) ([]byte, error) {
	parameters, err := parametersOf(r.params)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{"trigger": trigger, "audit_reason": askedByHand(trigger)}
	if r.reason != "" {
		fields["audit_reason"] = r.reason
	}
	if len(parameters) > 0 {
		fields["parameters"] = parameters
	}
	for name, text := range map[string]string{"user_id": r.user, "department": r.department, "purpose": r.purpose} {
		if text != "" {
			fields[name] = text
		}
	}
	document, err := json.Marshal(fields)
	if err == nil {
		_, err = messages.DecodeRequest(document)
	}
	return document, err
}

// askedByHand is the audit reason where nobody gives one; a trigger that no reason could have is not in it.
func askedByHand(trigger string) string {
	const words = "asked for by hand: flow run"
	reason := words + " " + trigger
	if messages.CheckWord("audit_reason", reason, messages.MaxTextBytes) != nil || messages.Visible(reason) != reason {
		return words
	}
	return reason
}

// parametersOf reads name=value.
func parametersOf(params []string) (map[string]json.RawMessage, error) {
	all := make(map[string]json.RawMessage, len(params))
	for _, p := range params {
		name, text, found := strings.Cut(p, "=")
		if name = strings.TrimSpace(name); !found || name == "" {
			return nil, fmt.Errorf("flag --param is %.40q, must be name=value", p)
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("flag --param gives %.40q twice", name)
		}
		all[name] = valueOf(text)
	}
	return all, nil
}

// valueOf is what a text is in JSON: what it says, or itself.
func valueOf(text string) json.RawMessage {
	raw := json.RawMessage(strings.TrimSpace(text))
	if json.Valid(raw) && string(raw) != "null" {
		return raw
	}
	quoted, err := json.Marshal(text)
	if err != nil { // no text fails
		return json.RawMessage(`""`)
	}
	return quoted
}

// runnable are the agreements that a tenant's requests may run under now, and those of them whose action is unknown here.
func runnable(all []flow.Entry, catalog []actions.About, tenant string, now time.Time) (entries, without []flow.Entry) {
	for _, e := range flow.Governing(all) {
		switch {
		case e.Refuses(tenant, now) != "" || e.Action == actions.Ask:
		case slices.ContainsFunc(catalog, func(a actions.About) bool { return a.Name == e.Action }):
			entries = append(entries, e)
		default:
			without = append(without, e)
		}
	}
	return entries, without
}

package main

import (
	"strings"

	"flowgate/messages"
	"flowgate/worker/postgres"
)

// failovers are the backends of calls in the order in which they were gone on to; nil: there was one.
func failovers(calls []postgres.Attempt) []string {
	var backends []string
	for i := range calls {
		if n := len(backends); n == 0 || backends[n-1] != calls[i].Backend {
			backends = append(backends, calls[i].Backend)
		}
	}
	if len(backends) < 2 {
		return nil
	}
	return backends
}

// codes adds to calls what the history of the state that stands has on them: the record has it once the epoch has ended.
func (e *explanation) codes(history []messages.Attempt) {
	for i := range e.Attempts {
		for j := range history {
			if history[j].K == e.Attempts[i].K {
				e.Attempts[i].Code, e.Attempts[i].Detail = history[j].Code, history[j].Detail
			}
		}
	}
}

// writeCalls prints the calls, where the request went on to another backend, and whose answer it has where none of them answered.
func (e *explanation) writeCalls(say func(string, ...any)) {
	if u := e.Reused; u != nil {
		say("  reused    the answer %s", u.Words())
		say("  saved     %s and %.3f s", dollars(u.SavedMicroUSD), u.SavedSeconds)
		if u.From == messages.ReusedRequest {
			say("  share     %s of the call's cost: who leads pays it, who follows pays nothing", dollars(u.ShareMicroUSD))
		}
	}
	ended := len(e.Attempts)
	for i := range e.Attempts {
		if e.Attempts[i].Billing == postgres.BillingCalling {
			ended--
		}
	}
	if charged := e.CostMicroUSD - e.HeldMicroUSD; charged > 0 || ended > 0 {
		say("  charged   %s for %d call(s)", dollars(charged), ended)
	}
	if ended < len(e.Attempts) {
		say("  held      %s for a call under way", dollars(e.HeldMicroUSD))
	}
	for i := range e.Attempts {
		a := &e.Attempts[i]
		say("  call %-4d %s, %s %s%s%s%s", a.K, printable(a.Backend), a.Billing, dollars(a.Charged), prefixed(", ", a.Class), prefixed(" ", printable(a.Code)),
			prefixed(": ", printable(a.Detail)))
	}
	if len(e.Failovers) > 0 {
		say("  failover  %s", printable(strings.Join(e.Failovers, ", then ")))
	}
}

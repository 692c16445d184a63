package main

import (
	"fmt"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/worker/fleet"
)

// mostReasons bounds how many reasons a board shows; --json has all.
const mostReasons = 10

// unknownWord stands for what could not be asked.
const unknownWord = "unknown"

// write prints a board for people.
func (b *board) write(p *page) error {
	p.say("flowgate at %s: %s, %s", b.At.UTC().Format("2006-01-02 15:04:05"), b.State, processesText(b.Processes))
	for i, r := range b.Reasons {
		if i == mostReasons {
			p.say("  and %d more, see --json", len(b.Reasons)-i)
			break
		}
		text := r.Seen
		if !strings.HasPrefix(text, r.About) {
			text = r.About + ": " + text
		}
		p.fact(fmt.Sprintf("  %-10s", r.State), text)
	}
	for _, part := range []func(*page){b.writeServices, b.writeGateways, b.writeBackends, b.writeAgreements, b.writeQueues, b.writeRest} {
		p.say("")
		part(p)
	}
	return p.err
}

// processesText is how many processes answered.
func processesText(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

func (b *board) writeServices(p *page) {
	if b.Services == nil {
		p.say("services: %s", unknownWord)
		return
	}
	var rows [][]string
	var unused []string
	for _, s := range b.Services {
		if s.Unused {
			unused = append(unused, s.Service)
			continue
		}
		latency, checked := "-", "-"
		if s.LatencyMS > 0 {
			latency = fmt.Sprintf("%.1f ms", s.LatencyMS)
		}
		if !s.CheckedAt.IsZero() {
			checked = agoText(b.At, s.CheckedAt)
		}
		rows = append(rows, []string{s.Service, string(s.State), latency, checked, orDash(s.Says)})
	}
	if len(rows) > 0 {
		p.table("", []string{"SERVICE", "STATE", "LATENCY", "CHECKED", "SAYS"}, rows)
	}
	if len(unused) > 0 {
		p.say("not used: %s", strings.Join(unused, ", "))
	}
}

// agoText is how long ago something was, in whole seconds.
func agoText(now, at time.Time) string {
	return max(now.Sub(at), 0).Round(time.Second).String() + " ago"
}

// cells are what was done as columns.
func (d boardDone) columns() []string {
	took := "-"
	if d.Requests > 0 {
		took = fmt.Sprintf("%.1f/%.1f/%.1f", d.Took.P50, d.Took.P95, d.Took.P99)
	}
	return []string{fmt.Sprint(d.Requests), fmt.Sprint(d.Errors), fmt.Sprint(d.Refused), took}
}

func (b *board) writeGateways(p *page) {
	running := 0
	rows := make([][]string, len(b.Gateways))
	for i, g := range b.Gateways {
		if g.State == fleet.StateRunning {
			running++
		}
		rows[i] = append(append([]string{string(g.Name), string(g.State), fmt.Sprint(g.Processes)}, g.columns()...), orDash(g.Why))
	}
	p.table("", []string{fmt.Sprintf("GATEWAY %d/%d", running, len(messages.Layers())), "STATE", "PROC", "DONE_5M", "ERRORS", "REFUSED", "MS_P50/95/99", "WHY"}, rows)
}

func (b *board) writeBackends(p *page) {
	switch {
	case b.Backends == nil:
		p.say("backends: %s", unknownWord)
		return
	case len(b.Backends) == 0:
		p.say("backends: no process tells of one that it uses")
		return
	}
	rows := make([][]string, len(b.Backends))
	for i, one := range b.Backends {
		columns := one.columns()
		rows[i] = []string{one.Name, one.State, columns[0], columns[1], columns[3], orDash(strings.Join(one.Stops, "; "))}
	}
	p.table("", []string{"BACKEND", "STATE", "CALLS_5M", "ERRORS", "MS_P50/95/99", "STOPPED"}, rows)
}

func (b *board) writeAgreements(p *page) {
	switch {
	case b.Agreement == nil:
		p.say("agreements: %s", unknownWord)
		return
	case len(b.Agreement) == 0:
		p.say("agreements: none decides about requests")
		return
	}
	rows := make([][]string, len(b.Agreement))
	for i, a := range b.Agreement {
		trigger, state := a.Trigger, string(a.State)
		if trigger == "" {
			trigger = "(no agreement)"
		}
		if a.Paused {
			state += ", paused"
		}
		counts := []string{unknownWord, "", "", "", "", ""}
		if x := a.Executions; x != nil {
			newest := "-"
			if !x.Newest.IsZero() {
				newest = agoText(b.At, x.Newest)
			}
			counts = []string{fmt.Sprint(x.All), fmt.Sprint(x.Real), fmt.Sprint(x.Fallback), fmt.Sprint(x.Failed), fmt.Sprint(x.Denied), newest}
		}
		rows[i] = append([]string{fitted(trigger, 28), orDash(state)}, counts...)
	}
	p.table("", []string{"AGREEMENT", "STATE", "LAST_HOUR", "REAL", "FALLBACK", "FAILED", "DENIED", "NEWEST"}, rows)
}

// writeQueues prints the consumers of each queue in one line, class by class.
func (b *board) writeQueues(p *page) {
	if b.Queues == nil {
		p.say("queues: %s", unknownWord)
		return
	}
	type lane struct{ pending, unanswered uint64 }
	var names []string
	lanes, oldest, paused := map[string]map[messages.Class]lane{}, map[string]float64{}, map[string]bool{}
	for i := range b.Queues {
		q := &b.Queues[i]
		if lanes[q.name] == nil {
			names, lanes[q.name] = append(names, q.name), map[messages.Class]lane{}
		}
		l := lanes[q.name][q.Class]
		lanes[q.name][q.Class] = lane{l.pending + q.Pending, l.unanswered + q.Depth - q.Pending}
		oldest[q.name] = max(oldest[q.name], q.OldestSeconds)
		paused[q.name] = paused[q.name] || q.PausedAtBroker
	}
	rows := make([][]string, len(names))
	for i, name := range names {
		var depth, pending, unanswered []string
		for _, class := range messages.Classes() {
			l := lanes[name][class]
			depth = append(depth, fmt.Sprint(l.pending+l.unanswered))
			pending, unanswered = append(pending, fmt.Sprint(l.pending)), append(unanswered, fmt.Sprint(l.unanswered))
		}
		age, note := "-", ""
		if oldest[name] > 0 {
			age = secondsText(oldest[name])
		}
		if paused[name] {
			note = "paused at the broker"
		}
		rows[i] = []string{name, strings.Join(depth, "/"), strings.Join(pending, "/"), strings.Join(unanswered, "/"), age, note}
	}
	p.table("", []string{"QUEUE " + listedBy(messages.Classes(), "/"), "DEPTH", "PENDING", "ACK_PENDING", "OLDEST", ""}, rows)
}

// listedBy joins words.
func listedBy[T ~string](words []T, by string) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, by)
}

// writeRest prints what is one line each.
func (b *board) writeRest(p *page) {
	letters, money := unknownWord, unknownWord
	if n := b.Letters; n != nil {
		letters = fmt.Sprintf("%d, %d of them not replayed", n.All, n.Open)
		if n.More {
			letters = fmt.Sprintf("%d+, at least %d of them not replayed", n.All, n.Open)
		}
	}
	if m := b.Money; m != nil {
		today, held := unknownWord, unknownWord
		if m.Today != nil {
			today = fmt.Sprintf("%s for %s", dollars(m.Today.MicroUSD), plural(int(m.Today.Calls), "call"))
			if m.Today.More {
				today = fmt.Sprintf("at least %s for %d+ calls", dollars(m.Today.MicroUSD), m.Today.Calls)
			}
		}
		if m.HeldMicroUSD != nil {
			held = dollars(*m.HeldMicroUSD)
		}
		money = fmt.Sprintf("%s, held %s", today, held)
	}
	p.say("dead letters  %s", letters)
	p.say("money today   %s", money)
	switch {
	case b.Paused == nil:
		p.say("paused        %s", unknownWord)
	case len(b.Paused) == 0:
		p.say("paused        nothing")
	}
	for _, pause := range b.Paused {
		p.say("paused        %s", pause.Why())
	}
}

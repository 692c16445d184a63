package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/doctor"
	"flowgate/worker/fleet"
	"flowgate/worker/postgres"
	"flowgate/worker/sessions"
	"flowgate/worker/statistics"
)

// board is how a deployment stands at a moment. What is null could not be asked; Unknown says why.
type board struct {
	At time.Time `json:"at"`
	// State is the worst of the reasons' states, healthy where there is none.
	State   sessions.State `json:"state"`
	Reasons []boardReason  `json:"reasons"`
	// Processes is how many answered.
	Processes int            `json:"processes"`
	Services  []boardService `json:"services"`
	Gateways  []boardGateway `json:"gateways"`
	Backends  []boardBackend `json:"backends"`
	Agreement []boardAgreed  `json:"agreements"`
	Queues    []boardQueue   `json:"queues"`
	Paused    []worker.Pause `json:"paused"`
	Money     *boardMoney    `json:"money"`
	Letters   *boardLetters  `json:"dead_letters"`
	Unknown   []boardSilence `json:"unknown"`

	away string
}

type boardLetters = postgres.LetterCount

// boardReason is why a board is not healthy.
type boardReason struct {
	State sessions.State `json:"state"`
	// Code is one of the doctor's, or gateway.
	Code   string `json:"code"`
	About  string `json:"about"`
	Seen   string `json:"seen"`
	Remedy string `json:"remedy,omitempty"`
}

// boardSilence is a part that could not be asked.
type boardSilence struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// boardService is a service as the process sees it for which it is worst.
type boardService struct {
	Service   string         `json:"service"`
	State     sessions.State `json:"state"`
	Unused    bool           `json:"unused"`
	LatencyMS float64        `json:"latency_ms"`
	CheckedAt time.Time      `json:"checked_at,omitzero"`
	Worker    string         `json:"worker,omitempty"`
	Says      string         `json:"says,omitempty"`
}

// boardGateway is a gateway with what it did in the last five minutes.
type boardGateway struct {
	Name      messages.LayerName `json:"name"`
	State     fleet.State        `json:"state"`
	Why       string             `json:"why,omitempty"`
	Processes int                `json:"processes"`
	boardDone
}

// boardBackend is a backend that is used, with its calls of the last five minutes.
type boardBackend struct {
	Name  string   `json:"name"`
	State string   `json:"state"`
	Stops []string `json:"stops,omitempty"`
	boardDone
}

// boardDone is what was done in the last five minutes, in all processes.
type boardDone struct {
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
	Refused  uint64 `json:"refused"`
	Took     times  `json:"took_ms"`
}

// boardAgreed is an agreement with its executions of the last hour, of all tenants; Executions is null where they could not be asked.
type boardAgreed struct {
	// Trigger is empty for executions that named no agreement that there is.
	Trigger    string           `json:"trigger"`
	Version    string           `json:"version,omitempty"`
	State      flow.State       `json:"state,omitempty"`
	Paused     bool             `json:"paused"`
	Executions *boardExecutions `json:"executions"`
}

// boardExecutions counts executions by mode.
type boardExecutions struct {
	All      int64 `json:"all"`
	Real     int64 `json:"real"`
	Fallback int64 `json:"fallback"`
	Failed   int64 `json:"failed"`
	Denied   int64 `json:"denied"`
	// Newest is when the last one ended.
	Newest time.Time `json:"newest,omitzero"`
}

// boardQueue is a durable consumer.
type boardQueue struct {
	Consumer string         `json:"consumer"`
	Class    messages.Class `json:"class"`
	// Depth is all that is there: Pending was delivered to nobody yet, AckPending somebody has or is parked.
	Depth      uint64 `json:"depth"`
	Pending    uint64 `json:"pending"`
	AckPending int    `json:"ack_pending"`
	// OldestSeconds is the age of the oldest pending message; 0: there is none.
	OldestSeconds  float64 `json:"oldest_seconds"`
	PausedAtBroker bool    `json:"paused_at_broker"`

	name string
}

// boardMoney is that of all tenants, in micro-dollars.
type boardMoney struct {
	// Today is what the calls of today are charged, those under way and in doubt at their bound; null: not known.
	Today *postgres.Charged `json:"today"`
	// HeldMicroUSD is what open requests hold in reserve.
	HeldMicroUSD *int64 `json:"held_microusd"`
}

// boardOf makes a board of facts. It is pure.
func boardOf(f *boardFacts) *board {
	b := &board{At: f.Now, Processes: len(f.Fleet.Answers), Reasons: []boardReason{}, Unknown: []boardSilence{}, away: f.Away}
	for _, s := range f.Unreachable {
		b.Unknown = append(b.Unknown, boardSilence{s.What, sessions.Printable(errorText(s.Why))})
	}
	b.services(f)
	b.gateways(f)
	b.agreements(f)
	b.queues(f)
	if !f.lacks("broker", "control bucket") {
		b.Paused = append([]worker.Pause{}, f.Pauses...)
	}
	if f.Charged != nil || f.Held != nil {
		b.Money = &boardMoney{f.Charged, f.Held}
	}
	b.Letters = f.Letters
	b.reasons(f)
	return b
}

// errorText is a text as an error.
type errorText string

func (t errorText) Error() string { return string(t) }

// lacks tells whether one of the parts could not be asked.
func (f *boardFacts) lacks(parts ...string) bool {
	return slices.ContainsFunc(f.Unreachable, func(s doctor.Silence) bool { return slices.Contains(parts, s.What) })
}

func (b *board) services(f *boardFacts) {
	if f.Sight == nil {
		return
	}
	b.Services = []boardService{}
	for _, name := range serviceNames() {
		var worst *boardService
		for _, v := range f.Sight.Views {
			for _, h := range v.Health {
				if h.Service != name && h.Service != "all" {
					continue
				}
				s := boardService{name, h.State, h.Unused, h.LatencyMS.Last, h.LastCheck, v.Worker, sessions.Printable(errorText(cmp.Or(h.Error, h.Detail)))}
				if worst == nil || worst.Unused && !s.Unused || !s.Unused && worse(s.State, worst.State) {
					worst = &s
				}
			}
		}
		if worst != nil {
			b.Services = append(b.Services, *worst)
		}
	}
}

// worse tells whether one state is worse than another.
func worse(a, than sessions.State) bool {
	return a != than && sessions.Worst([]sessions.Health{{State: a}, {State: than}}) == a
}

func (b *board) gateways(f *boardFacts) {
	counted := f.Fleet.Statistics()
	done := func(lines []statistics.Line, name string, backend bool) boardDone {
		for i := range lines {
			if lines[i].Name == name {
				s := statsOf(&lines[i], statistics.FiveMinutes, backend)
				return boardDone{s.Requests, s.Errors, s.Refused, s.Took}
			}
		}
		return boardDone{}
	}
	b.Gateways = []boardGateway{}
	for _, g := range f.Gateways {
		one := boardGateway{g.Name, g.State, sessions.Printable(errorText(g.Why)), g.Processes, done(counted.Gateways, string(g.Name), false)}
		if f.lacks("broker", "fleet and queues") {
			one.State, one.Why = fleet.StateUnknown, "nobody could be asked"
		}
		b.Gateways = append(b.Gateways, one)
	}
	if f.lacks("broker", "fleet and queues") {
		return
	}
	b.Backends = []boardBackend{}
	var v backendsView
	v.gather(f.Fleet)
	for i := range v.Backends {
		one := &v.Backends[i]
		if !one.Used {
			continue
		}
		shown := boardBackend{Name: one.Name, State: one.state(f.Now), boardDone: done(counted.Backends, one.Name, true)}
		for _, s := range stopsOf(one.Backend, f.Now) {
			shown.Stops = append(shown.Stops, s.String())
		}
		b.Backends = append(b.Backends, shown)
	}
}

func (b *board) agreements(f *boardFacts) {
	if f.lacks("database", "agreements") {
		return
	}
	b.Agreement = []boardAgreed{}
	asked := !f.lacks(askExecutions)
	counts := map[string]postgres.ExecutionCount{}
	for _, c := range f.Counts {
		counts[c.Trigger] = c
	}
	add := func(a boardAgreed) {
		if asked {
			c := counts[a.Trigger]
			a.Executions = &boardExecutions{c.All(), c.Real, c.Fallback, c.Failed, c.Denied, c.Newest}
			delete(counts, a.Trigger)
		}
		b.Agreement = append(b.Agreement, a)
	}
	for _, e := range f.Agreements {
		paused := slices.ContainsFunc(f.Pauses, func(p worker.Pause) bool { return p.Kind == worker.PauseAgreement && p.Name == e.Trigger })
		add(boardAgreed{Trigger: e.Trigger, Version: e.Version, State: e.StateAt(f.Now), Paused: paused})
	}
	for _, c := range f.Counts { // of agreements that decide no more, and of names that are none's
		if _, left := counts[c.Trigger]; left {
			add(boardAgreed{Trigger: c.Trigger})
		}
	}
}

func (b *board) queues(f *boardFacts) {
	if f.lacks("broker", "fleet and queues") {
		return
	}
	b.Queues = []boardQueue{}
	for i := range f.Queues {
		q := &f.Queues[i]
		if len(q.Looks) == 0 {
			continue
		}
		last := q.Looks[len(q.Looks)-1]
		name := string(q.Layer)
		if before, _, found := strings.Cut(q.Consumer, "-"+string(q.Class)); found {
			name = before
		}
		one := boardQueue{
			Consumer: q.Consumer, Class: q.Class, name: name, Depth: last.Undelivered + uint64(max(last.Unanswered, 0)), //nolint:gosec // not negative
			Pending: last.Undelivered, AckPending: last.Unanswered, PausedAtBroker: last.PausedAtBroker,
		}
		if !q.Oldest.IsZero() {
			one.OldestSeconds = max(f.Now.Sub(q.Oldest).Seconds(), 0)
		}
		b.Queues = append(b.Queues, one)
	}
}

// reasons are the doctor's findings, gateways that do not run, and services that no gateway uses, worst first.
func (b *board) reasons(f *boardFacts) {
	silent := f.lacks("broker", "fleet and queues")
	down := map[messages.LayerName]bool{}
	for _, g := range b.Gateways {
		if !silent && (g.State == fleet.StateStopped || g.State == fleet.StateBlocked) {
			down[g.Name] = true
			b.add(sessions.StateUnhealthy, "gateway", string(g.Name), "it is "+string(g.State)+": "+g.Why, "flowgate worker --layer "+string(g.Name))
		}
	}
	told := map[string]bool{}
	for _, finding := range doctor.Judge(f.Facts, doctor.DefaultMarks()) {
		if finding.Code == doctor.NoPullers && down[layerOf(f, finding.About)] {
			continue // that the gateway is stopped says it
		}
		if _, service, ok := strings.Cut(finding.About, ": "); ok && finding.Code == doctor.ServiceNotHealthy {
			if told[service] {
				continue
			}
			told[service] = true
		}
		b.add(b.stateOf(finding), string(finding.Code), finding.About, finding.Seen, finding.Remedy)
	}
	for _, s := range b.Services {
		if !s.Unused && s.State != sessions.StateHealthy && !told[s.Service] {
			b.add(s.State, string(doctor.ServiceNotHealthy), s.Service, "it is "+string(s.State)+prefixed(": ", s.Says), "")
		}
	}
	slices.SortStableFunc(b.Reasons, func(x, y boardReason) int {
		switch {
		case worse(x.State, y.State):
			return -1
		case worse(y.State, x.State):
			return 1
		}
		return 0
	})
	b.State = sessions.StateHealthy
	if len(b.Reasons) > 0 {
		b.State = b.Reasons[0].State
	}
}

func (b *board) add(state sessions.State, code, about, seen, remedy string) {
	b.Reasons = append(b.Reasons, boardReason{state, code, about, sessions.Printable(errorText(seen)), remedy})
}

// stateOf is what a finding makes of a board.
func (b *board) stateOf(f doctor.Finding) sessions.State {
	switch {
	case f.Code == doctor.Unreachable:
		return sessions.StateUnknown
	case f.Code == doctor.ServiceNotHealthy:
		_, service, _ := strings.Cut(f.About, ": ")
		for _, s := range b.Services {
			if s.Service == service && s.State != sessions.StateHealthy {
				return s.State
			}
		}
	case f.Severity == doctor.Warning:
		return sessions.StateDegraded
	}
	return sessions.StateUnhealthy
}

// layerOf is the layer whose queue a consumer is.
func layerOf(f *boardFacts, consumer string) messages.LayerName {
	for i := range f.Queues {
		if f.Queues[i].Consumer == consumer {
			return f.Queues[i].Layer
		}
	}
	return ""
}

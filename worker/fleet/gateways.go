package fleet

import (
	"fmt"
	"slices"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/worker/sessions"
)

// State is how a gateway stands over the whole fleet.
type State string

// The states. Where several are true the first of them counts: stopped, blocked, paused, degraded, unknown, running.
const (
	// StateRunning: processes run it, and the services that it uses are healthy.
	StateRunning State = "running"
	// StateDegraded: processes run it, and a service that it uses is not healthy for some or all of them.
	StateDegraded State = "degraded"
	// StatePaused: an operator paused it.
	StatePaused State = "paused"
	// StateStopped: no process runs it.
	StateStopped State = "stopped"
	// StateBlocked: a gateway that it needs has nothing running, or nothing healthy.
	StateBlocked State = "blocked"
	// StateUnknown: processes run it, and it is not known how the services are that it uses.
	StateUnknown State = "unknown"
)

// Gateway is how one gateway stands.
type Gateway struct {
	Name  messages.LayerName `json:"name"`
	State State              `json:"state"`
	// Why says what keeps it from running; it names the culprit of a blocked one.
	Why       string               `json:"why,omitempty"`
	Processes int                  `json:"processes"`
	Workers   []string             `json:"workers"`
	DependsOn []messages.LayerName `json:"depends_on"`
	// Paused says who paused it and why; empty where nobody did.
	Paused string `json:"paused,omitempty"`
	// Services are those that it uses, each with its worst state among the processes.
	Services []sessions.Health `json:"services"`
	// Health is the worst state of the services.
	Health sessions.State `json:"health"`

	dead bool // it has processes, and a service is unhealthy for all of them
}

// Gateways tells how the gateways of a chain stand, in the order of their needs. paused says of those that are paused by
// whom and why.
func Gateways(chain []pipelines.Layer, f Fleet, paused map[messages.LayerName]string) ([]Gateway, error) {
	ordered, err := pipelines.Order(chain)
	if err != nil {
		return nil, err
	}
	all := make([]Gateway, 0, len(ordered))
	for _, layer := range ordered {
		g := gateway(layer, f)
		g.Paused = paused[layer.Name]
		g.State, g.Why = g.judge(all)
		all = append(all, g)
	}
	return all, nil
}

// gateway gathers what the processes of a layer report.
func gateway(layer pipelines.Layer, f Fleet) Gateway {
	g := Gateway{
		Name: layer.Name, Workers: []string{}, DependsOn: slices.Clone(layer.Needs), Services: []sessions.Health{}, Health: sessions.StateHealthy,
	}
	if g.DependsOn == nil {
		g.DependsOn = []messages.LayerName{}
	}
	ill := 0
	for i := range f.Answers {
		r := &f.Answers[i].Report
		if !slices.Contains(r.Layers, layer.Name) {
			continue
		}
		g.Workers = append(g.Workers, r.Worker)
		used := services(layer, r)
		for _, s := range used {
			g.take(s)
		}
		if sessions.Worst(used) == sessions.StateUnhealthy {
			ill++
		}
	}
	g.Processes = len(g.Workers)
	g.Health = sessions.Worst(g.Services)
	g.dead = g.Processes > 0 && ill == g.Processes
	return g
}

// services are what a process knows of the services that a layer uses: those that the chain names, and at the layer that
// calls them the backends in use.
func services(layer pipelines.Layer, r *Report) []sessions.Health {
	var used []sessions.Health
	for _, s := range r.Health {
		backend := layer.Name == messages.LayerAI && slices.Contains(r.Backends, s.Service)
		if backend || slices.Contains(layer.Uses, s.Service) {
			used = append(used, s)
		}
	}
	return used
}

// take keeps of a service what the process says for which it is worst.
func (g *Gateway) take(s sessions.Health) {
	at := slices.IndexFunc(g.Services, func(h sessions.Health) bool { return h.Service == s.Service })
	switch {
	case at < 0:
		g.Services = append(g.Services, s)
	case sessions.Worst([]sessions.Health{g.Services[at], s}) != g.Services[at].State:
		g.Services[at] = s
	}
}

func (g *Gateway) judge(before []Gateway) (State, string) {
	if g.Processes == 0 {
		return StateStopped, "no process runs it"
	}
	if culprit := g.culprit(before); culprit != nil {
		return StateBlocked, fmt.Sprintf("it needs %s: %s", culprit.Name, culprit.trouble())
	}
	switch {
	case g.Paused != "":
		return StatePaused, g.Paused
	case g.Health == sessions.StateHealthy:
		return StateRunning, ""
	case g.Health == sessions.StateUnknown:
		return StateUnknown, g.trouble()
	}
	return StateDegraded, g.trouble()
}

// culprit is the first gateway among those that it needs, directly or through others, which has nothing running or nothing
// healthy.
func (g *Gateway) culprit(before []Gateway) *Gateway {
	for i := range before {
		need := &before[i]
		if !slices.Contains(g.DependsOn, need.Name) {
			continue
		}
		if deeper := need.culprit(before[:i]); deeper != nil {
			return deeper
		}
		if need.Processes == 0 || need.dead {
			return need
		}
	}
	return nil
}

// trouble says what is wrong with a gateway by itself.
func (g *Gateway) trouble() string {
	if g.Processes == 0 {
		return "no process runs it"
	}
	var wrong []string
	for _, s := range g.Services {
		if !s.Unused && s.State != sessions.StateHealthy {
			why := s.Error
			if why == "" {
				why = "not checked yet"
			}
			wrong = append(wrong, fmt.Sprintf("%s is %s: %s", s.Service, s.State, why))
		}
	}
	if len(wrong) == 0 {
		return "its processes do not say how the services are that it uses"
	}
	return strings.Join(wrong, "; ")
}

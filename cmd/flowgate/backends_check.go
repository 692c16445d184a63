package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"flowgate/configs"
	"flowgate/worker/sessions"
)

// checkView is what asking a backend found.
type checkView struct {
	State sessions.State `json:"state"`
	// By is this command, or the processes, which last asked At, where this command lacks what they have, such as the key.
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	Detail    string    `json:"detail,omitempty"`
	Error     string    `json:"error,omitempty"`
	LatencyMS float64   `json:"latency_ms"`
}

// ok tells whether the backend can be used.
func (c *checkView) ok() bool {
	return c.State == sessions.StateHealthy || c.State == sessions.StateDegraded
}

// check asks every backend that is used.
func (v *backendsView) check(ctx context.Context) error {
	others, err := newServices(v.settings, os.LookupEnv)
	if err != nil {
		return err
	}
	defer others.close()
	others.probes = slices.DeleteFunc(others.probes, func(p sessions.Probe) bool {
		return !slices.ContainsFunc(v.Backends, func(b backendView) bool { return b.Used && b.Name == p.Name() })
	})
	asked := map[string]sessions.Health{}
	if len(others.probes) > 0 {
		monitor, err := sessions.NewMonitor(monitorOptions(v.settings, others.probes, nil))
		if err != nil {
			return err
		}
		for _, h := range monitor.Once(ctx) {
			asked[h.Service] = h
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i := range v.Backends {
		if b := &v.Backends[i]; b.Used {
			b.Check = v.checked(b, asked)
		}
	}
	return nil
}

// checked is what was found of one: by this command, else by the processes.
func (v *backendsView) checked(b *backendView, asked map[string]sessions.Health) *checkView {
	if b.Name == configs.OfflineName {
		return &checkView{State: sessions.StateHealthy, By: "this command", At: time.Now().UTC(), Detail: "it is a part of every process"}
	}
	h, by := sessions.Health{State: sessions.StateUnknown, Error: "this command lacks what the processes have, and they have not asked yet"}, "the processes"
	if own, is := asked[b.Name]; is {
		h, by = own, "this command"
		if h.Source != "" {
			b.Source = h.Source
		}
	} else {
		for _, seen := range v.health {
			if seen.Service == b.Name && !seen.Unused && (h.LastCheck.IsZero() || seen.LastCheck.After(h.LastCheck)) {
				h = seen
			}
		}
	}
	return &checkView{State: h.State, By: by, At: h.LastCheck, Detail: h.Detail, Error: h.Error, LatencyMS: h.LatencyMS.Last}
}

// checksOK tells whether every check found a backend that can be used.
func (v *backendsView) checksOK() bool {
	return !slices.ContainsFunc(v.Backends, func(b backendView) bool { return b.Check != nil && !b.Check.ok() })
}

func (c *checkView) String() string {
	said := c.Error
	if said == "" {
		said = c.Detail
	}
	return fmt.Sprintf("%s, %.0f ms: %s", c.State, c.LatencyMS, said)
}

package actions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flowgate/messages"
	"flowgate/worker/sessions"
)

// IntegrationTestAction is the name of IntegrationTest.
const IntegrationTestAction = "integration_test"

// IntegrationReport is what IntegrationTest finds.
type IntegrationReport struct {
	OK         bool        `json:"ok"`
	Components []Component `json:"components"`
}

// Component is something that a request depends on, asked just now.
type Component struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	State string `json:"state"`
	// Seconds is how long the round trip took, Detail what it found, Error what is wrong: neither is told a tenant
	// that may not know the deployment.
	Seconds float64 `json:"seconds"`
	Detail  string  `json:"detail,omitempty"`
	Error   string  `json:"error,omitempty"`
}

// IntegrationTest asks every service that this process depends on, and then the whole chain: one request through all three layers.
// Services that are not configured are left out. What a check found, which names hosts, versions and buckets, is told whom may lets.
func IntegrationTest(services func(ctx context.Context) ([]sessions.Health, error), c Chain, may func(o Order) error) Function {
	return func(ctx context.Context, o Order) (Measured, error) {
		walled := may(o) != nil
		health, err := services(ctx)
		if err != nil && walled {
			return Measured{}, errors.New("the services cannot be asked")
		}
		if err != nil {
			return Measured{}, fmt.Errorf("the services cannot be asked: %w", err)
		}
		r := &IntegrationReport{OK: true, Components: []Component{}}
		for _, h := range health {
			if !h.Unused {
				r.add(component(h))
			}
		}
		chain, err := throughChain(ctx, c, o)
		if err != nil {
			return Measured{}, err
		}
		r.add(chain)
		if walled {
			r.veil()
		}
		asked := int64(len(r.Components))
		return Measured{Document: r, Samples: asked, Confidence: 1}, nil
	}
}

// component is what a service's check found. Its time is that of the check, whether it went well or not.
func component(h sessions.Health) Component {
	c := Component{Name: h.Service, State: string(h.State), Detail: h.Detail, Error: h.Error}
	c.OK = h.State == sessions.StateHealthy || h.State == sessions.StateDegraded
	if n := len(h.History); n > 0 {
		c.Seconds = h.History[n-1].LatencyMS / 1000
	}
	return c
}

func (r *IntegrationReport) add(c Component) {
	r.OK = r.OK && c.OK
	r.Components = append(r.Components, c)
}

// veil leaves of each component how it is, and nothing of what it is.
func (r *IntegrationReport) veil() {
	for i := range r.Components {
		r.Components[i].Detail, r.Components[i].Error = "", ""
	}
}

// chainPatience bounds the request through the chain: a chain that stands still is found, not waited for.
const chainPatience = 20 * time.Second

// throughChain sends one request through the chain.
func throughChain(ctx context.Context, c Chain, o Order) (Component, error) {
	document, err := question(o)
	if err != nil {
		return Component{}, err
	}
	out := Component{Name: "chain", State: string(sessions.StateUnhealthy)}
	ctx, cancel := context.WithTimeout(ctx, chainPatience)
	defer cancel()
	began := time.Now()
	r, err := o.ask(ctx, c, "chain", document)
	out.Seconds = time.Since(began).Seconds()
	switch {
	case err != nil:
		out.Error = "no result came of a request"
	case r.Status != messages.StatusSuccess:
		out.Error = fmt.Sprintf("the request ended as %s (%s)", r.Status, r.Reason)
	default:
		out.OK, out.State = true, string(sessions.StateHealthy)
		if r.Metadata != nil {
			out.Detail = fmt.Sprintf("all three layers, answered by %s", r.Metadata.Backend)
		}
	}
	return out, nil
}

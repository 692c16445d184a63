package handlers

import (
	"flowgate/pipelines/ai"
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// serving are the backends that serve a model by the settings, in the order in which they are tried.
func (c *Corporate) serving(model string) (serving []corporate.Serving) {
	if model == "" {
		return nil
	}
	for _, b := range c.Serving {
		if id, serves := b.Menu.Find(model); serves {
			one := b.Serving
			one.Model, one.Region = id, b.Menu.RegionOf(id, b.Region)
			serving = append(serving, one)
		}
	}
	return serving
}

// Serves is a backend, and the models that it serves.
type Serves struct {
	corporate.Serving

	Menu ai.Menu
}

// rates are the limits on requests and tokens that a request may count in, as operators set them: those of every backend that serves
// its model, of which the decision takes that of the first that it allows.
func (c *Corporate) rates(t *worker.Task, s *corporate.Seen, model string, serving []corporate.Serving) ([]corporate.Rate, error) {
	if c.Rates == nil {
		return nil, nil
	}
	whose := []corporate.Rate{
		{Kind: corporate.RateTenant, Name: t.Tenant}, {Kind: corporate.RateDepartment, Name: s.Department}, {Kind: corporate.RateUser, Name: s.UserID},
	}
	if model != "" {
		whose = append(whose, corporate.Rate{Kind: corporate.RateModel, Name: model})
	}
	for _, b := range serving {
		whose = append(whose, corporate.Rate{Kind: corporate.RateBackend, Name: b.Name})
	}
	var all []corporate.Rate
	for _, w := range whose {
		var has bool
		var err error
		if w.RateLimits, has, err = c.Rates(t.Tenant, w.Kind, w.Name); err != nil {
			return nil, err
		}
		if has {
			all = append(all, w)
		}
	}
	return all, nil
}

// rateMembers are the rates of a decision as the ledger takes them.
func rateMembers(scopes []corporate.RateScope) []worker.Rate {
	var rates []worker.Rate
	for _, s := range scopes {
		rates = append(rates, worker.Rate{Name: s.Name, Span: s.Window.Span(), Requests: s.Requests, Tokens: s.Tokens, Wait: s.Wait, Reason: s.Reason})
	}
	return rates
}

package handlers

import (
	"flowgate/pipelines/corporate"
	"flowgate/worker"
)

// rates are the limits on requests and tokens that a request may count in, as operators set them.
func (c *Corporate) rates(t *worker.Task, s *corporate.Seen, p corporate.Policy) ([]corporate.Rate, error) {
	if c.Rates == nil {
		return nil, nil
	}
	model, serving := corporate.Asked(s, p)
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

package corporate

import (
	"cmp"
	"slices"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/pricing"
)

// open tells whether allow-lists let a backend be asked.
func open(c *messages.CorporateSection, b Serving) bool {
	return (len(c.AllowedBackends) == 0 || slices.Contains(c.AllowedBackends, b.Name)) &&
		(len(c.AllowedRegions) == 0 || slices.Contains(c.AllowedRegions, b.Region))
}

// InputBound is how many tokens of the model of a row the request can be.
func InputBound(c *messages.CorporateSection, row pricing.Row) int64 {
	return c.InputBound + int64(c.Images)*row.Image()
}

// checkRoutes finds the backends that may be asked, with what the model is called there, and bounds the cost of a call by the dearest
// of them. Those whose cost cannot be bounded are left out, and those that have retired the model.
func checkRoutes(d *Decision, f Facts, p Policy) *refusal {
	s := &d.Section
	retired, unpriced := "", false
	for _, b := range f.Serving {
		if !open(s, b) {
			continue
		}
		model := cmp.Or(b.Model, s.Model)
		row, found := p.Prices.Row(model, f.Now)
		route := messages.Route{Backend: b.Name, Region: b.Region, Model: model, PriceVersion: row.Version}
		if found && !row.RetiredAt(b.Name, f.Now) {
			s.Routes = append(s.Routes, route)
			s.BoundMicroUSD = max(s.BoundMicroUSD, row.Bound(InputBound(s, row), int64(s.MaxTokens)))
			continue
		}
		s.Facts.Unrouted = append(s.Facts.Unrouted, route)
		unpriced = unpriced || !found
		if found {
			retired = model
		}
		if found && row.Successor != "" {
			retired = model + ", whose successor is " + row.Successor
		}
	}
	switch {
	case len(s.Routes) > 0:
		s.PriceVersion = s.Routes[0].PriceVersion
		return nil
	case unpriced:
		return pipelines.Deny(messages.ReasonModelUnknown, "model", "")
	case retired != "":
		return pipelines.Deny(messages.ReasonModelRetired, "model", retired)
	}
	row, found := p.Prices.Row(s.Model, f.Now) // nobody serves it: layer 2 says so, if nobody does by then
	if !found {
		return pipelines.Deny(messages.ReasonModelUnknown, "model", "")
	}
	s.PriceVersion, s.BoundMicroUSD = row.Version, row.Bound(InputBound(s, row), int64(s.MaxTokens))
	return nil
}

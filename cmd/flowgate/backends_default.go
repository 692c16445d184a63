package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowgate/configs"
	"flowgate/pipelines/pricing"
)

// defaultModelKey is the setting of the model that requests have which name none.
const defaultModelKey = "aws.bedrock.default_model"

// viewsOf are backends as settings and environment have them.
func viewsOf(all []found, prices *pricing.Table, now time.Time) []backendView {
	views := make([]backendView, len(all))
	for i, f := range all {
		views[i] = backendView{Backend: f.state(prices, now), Used: f.skipped() == ""}
	}
	return views
}

// unservedDefault says that requests which name no model can go nowhere, and what to set instead; empty: they can, or no backend is used.
func (v *backendsView) unservedDefault(prices *pricing.Table, now time.Time) string {
	var used []string
	for _, b := range v.Backends {
		if b.Used {
			used = append(used, b.Name)
		}
	}
	model := v.settings.AWS.Bedrock.Model("")
	if len(used) == 0 || len(v.serving(prices, model, now)) > 0 {
		return ""
	}
	said := fmt.Sprintf("no backend in use (%s) serves the default model %s: requests that name no model end as no_backend or model_unknown; set it to a model of `flowgate backends --models`",
		strings.Join(used, ", "), model)
	if other := v.likeDefault(prices, model, now); other != "" {
		said += ", such as " + other
	}
	return said
}

// likeDefault is the served model whose price is the nearest to that of a model, of several the last by name; empty: none is served.
func (v *backendsView) likeDefault(prices *pricing.Table, model string, now time.Time) string {
	row, _ := prices.Row(model, now)
	var like []pricing.Row
	for _, id := range prices.Models() {
		if r, has := prices.Row(id, now); has && !r.NoOutput && len(v.serving(prices, id, now)) > 0 {
			like = append(like, r)
		}
	}
	if len(like) == 0 {
		return ""
	}
	far := func(r pricing.Row) int64 { return max(r.Input-row.Input, row.Input-r.Input) }
	return slices.MinFunc(like, func(a, b pricing.Row) int { return cmp.Or(cmp.Compare(far(a), far(b)), cmp.Compare(b.Model, a.Model)) }).Model
}

// warnDefault is unservedDefault by settings and environment alone.
func warnDefault(s configs.Settings, env configs.Lookup, prices *pricing.Table) string {
	now := time.Now()
	v := backendsView{settings: s, Backends: viewsOf(detect(s, env), prices, now)}
	return v.unservedDefault(prices, now)
}

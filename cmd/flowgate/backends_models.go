package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"flowgate/configs"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/pricing"
)

// modelView is one model that has a price.
type modelView struct {
	Model   string   `json:"model"`
	Aliases []string `json:"aliases"`
	// Backends serve it, in the order in which they are tried.
	Backends []string `json:"backends"`
	// Input and Output are micro-dollars per million tokens.
	Input  int64 `json:"input_microusd_per_million"`
	Output int64 `json:"output_microusd_per_million"`
	// RetiredOn is the day on which RetiredBy, or everybody, stopped to serve it; Successor is what takes its place.
	RetiredOn string `json:"retired_on,omitempty"`
	RetiredBy string `json:"retired_by,omitempty"`
	Successor string `json:"successor,omitempty"`
}

// models are all that have a price now, by id.
func (v *backendsView) models(now time.Time) ([]modelView, error) {
	prices, err := configs.PricesOf(v.settings)
	if err != nil {
		return nil, usageError{err}
	}
	aliases := map[string][]string{}
	for _, alias := range slices.Sorted(maps.Keys(v.settings.AWS.Bedrock.ModelMapping)) {
		id := v.settings.AWS.Bedrock.ModelMapping[alias]
		aliases[id] = append(aliases[id], alias)
	}
	var all []modelView
	for _, id := range prices.Models() {
		row, has := prices.Row(id, now)
		if !has {
			continue
		}
		m := modelView{
			Model: id, Aliases: append([]string{}, aliases[id]...), Backends: v.serving(prices, id, now), Input: row.Input, Output: row.Output,
			RetiredBy: row.RetiredBy, Successor: row.Successor,
		}
		if !row.RetiredOn.IsZero() {
			m.RetiredOn = row.RetiredOn.Format(time.DateOnly)
		}
		all = append(all, m)
	}
	return all, nil
}

// serving are the backends in use that serve a model, as far as they have not retired it.
func (v *backendsView) serving(prices *pricing.Table, id string, now time.Time) []string {
	serving := []string{}
	for _, b := range v.Backends {
		there, serves := menuOf(b).Find(id)
		if row, has := prices.Row(there, now); b.Used && serves && has && !row.RetiredAt(b.Name, now) {
			serving = append(serving, b.Name)
		}
	}
	return serving
}

func menuOf(b backendView) ai.Menu { return menu(b.Models, b.Names, b.Prefixes) }

func (v *backendsView) showModels(w io.Writer, asJSON bool) error {
	all, err := v.models(time.Now())
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, all)
	}
	rows := make([][]string, len(all))
	for i, m := range all {
		retired := m.RetiredOn
		if m.RetiredBy != "" {
			retired += " by " + m.RetiredBy
		}
		if m.Successor != "" {
			retired += ", now " + m.Successor
		}
		rows[i] = []string{m.Model, orDash(strings.Join(m.Aliases, ", ")), orDash(strings.Join(m.Backends, ", ")), fmt.Sprintf("$%.3f/%.3f", float64(m.Input)/1e6, float64(m.Output)/1e6), orDash(retired)}
	}
	return table(w, "MODEL ALIASES BACKENDS IN/OUT_PER_MILLION RETIRED", rows)
}

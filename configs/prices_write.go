package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"flowgate/pipelines/pricing"
)

// EncodePrices is a price file of rows, a line each.
func EncodePrices(comment string, rows []pricing.Row) ([]byte, error) {
	var b bytes.Buffer
	head, err := json.Marshal(comment)
	if err != nil {
		return nil, fmt.Errorf("writing prices: %w", err)
	}
	fmt.Fprintf(&b, "{\n \"comment\": %s,\n \"unit\": %q,\n \"rows\": [", head, priceUnit)
	for i, r := range rows {
		line, err := json.Marshal(writtenOf(r))
		if err != nil {
			return nil, fmt.Errorf("writing prices of %s: %w", r.Model, err)
		}
		separator := ",\n  "
		if i == 0 {
			separator = "\n  "
		}
		b.WriteString(separator)
		b.Write(line)
	}
	b.WriteString("\n ]\n}\n")
	if _, err := decodePrices("the file", b.Bytes()); err != nil {
		return nil, fmt.Errorf("writing prices: %w", err)
	}
	return b.Bytes(), nil
}

// writtenRow is priceRow without what it does not say.
type writtenRow struct {
	Model         string              `json:"model"`
	EffectiveFrom string              `json:"effective_from"`
	Version       string              `json:"version,omitempty"`
	Input         int64               `json:"input"`
	Output        int64               `json:"output,omitempty"`
	CacheRead     int64               `json:"cache_read,omitempty"`
	CacheWrite5m  int64               `json:"cache_write_5m,omitempty"`
	CacheWrite1h  int64               `json:"cache_write_1h,omitempty"`
	Tiers         []writtenTier       `json:"tiers,omitempty"`
	Multipliers   pricing.Multipliers `json:"multipliers,omitzero"`
	ImageTokens   int64               `json:"image_tokens,omitempty"`
	NoOutput      bool                `json:"no_output,omitempty"`
	Free          bool                `json:"free,omitempty"`
	RetiredOn     string              `json:"retired_on,omitempty"`
	RetiredBy     string              `json:"retired_by,omitempty"`
	Successor     string              `json:"successor,omitempty"`
	Note          string              `json:"note,omitempty"`
	Source        string              `json:"source"`
}

type writtenTier struct {
	Above        int64 `json:"above_input_tokens"`
	Input        int64 `json:"input"`
	Output       int64 `json:"output,omitempty"`
	CacheRead    int64 `json:"cache_read,omitempty"`
	CacheWrite5m int64 `json:"cache_write_5m,omitempty"`
	CacheWrite1h int64 `json:"cache_write_1h,omitempty"`
}

func writtenOf(r pricing.Row) writtenRow {
	w := writtenRow{
		Model: r.Model, EffectiveFrom: r.EffectiveFrom.UTC().Format(time.DateOnly), Version: r.Version,
		Input: r.Input, Output: r.Output, CacheRead: r.CacheRead, CacheWrite5m: r.CacheWrite5m, CacheWrite1h: r.CacheWrite1h,
		Multipliers: r.Multipliers, ImageTokens: r.ImageTokens, NoOutput: r.NoOutput, Free: r.Free,
		RetiredBy: r.RetiredBy, Successor: r.Successor, Note: r.Note, Source: r.Source,
	}
	if !r.RetiredOn.IsZero() {
		w.RetiredOn = r.RetiredOn.UTC().Format(time.DateOnly)
	}
	for _, t := range r.Tiers {
		w.Tiers = append(w.Tiers, writtenTier(t))
	}
	return w
}

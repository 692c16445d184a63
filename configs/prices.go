package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"flowgate/pipelines/pricing"
)

// priceUnit is the only unit of a price file. The file says it, so that nobody writes dollars by mistake.
const priceUnit = "micro-dollars per million tokens"

// priceFile is prices.json. Its own multipliers are for people: those that apply are in the rows.
type priceFile struct {
	Comment     string            `json:"comment"`
	Unit        string            `json:"unit"`
	Multipliers []priceMultiplier `json:"multipliers"`
	Rows        []priceRow        `json:"rows"`
}

type priceMultiplier struct {
	Name      string `json:"name"`
	AppliesTo string `json:"applies_to"`
	// Percent of the price.
	Percent int    `json:"percent"`
	Note    string `json:"note"`
}

type priceRow struct {
	Model         string      `json:"model"`
	EffectiveFrom *priceDay   `json:"effective_from"`
	Version       string      `json:"version"`
	Input         int64       `json:"input"`
	Output        int64       `json:"output"`
	CacheRead     int64       `json:"cache_read"`
	CacheWrite5m  int64       `json:"cache_write_5m"`
	CacheWrite1h  int64       `json:"cache_write_1h"`
	Tiers         []priceTier `json:"tiers"`
	// Multipliers are by name, in percent.
	Multipliers pricing.Multipliers `json:"multipliers"`
	ImageTokens int64               `json:"image_tokens"`
	NoOutput    bool                `json:"no_output"`
	Free        bool                `json:"free"`
	RetiredOn   *priceDay           `json:"retired_on"`
	RetiredBy   string              `json:"retired_by"`
	Successor   string              `json:"successor"`
	Source      string              `json:"source"`
	Note        string              `json:"note"`
}

type priceTier struct {
	AboveInputTokens int64 `json:"above_input_tokens"`
	Input            int64 `json:"input"`
	Output           int64 `json:"output"`
	CacheRead        int64 `json:"cache_read"`
	CacheWrite5m     int64 `json:"cache_write_5m"`
	CacheWrite1h     int64 `json:"cache_write_1h"`
}

// priceDay is a day, meant as its first moment in UTC.
type priceDay struct{ time.Time }

// UnmarshalJSON reads 2026-01-31.
func (d *priceDay) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("a day must be a text such as 2026-01-31")
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return errors.New("a day must be written as 2026-01-31")
	}
	d.Time = t
	return nil
}

// LoadPrices is the price table: the embedded rows, and over them those of the file at path, which replace rows of the same
// model and effective_from and add others. An empty path leaves the file out. The error names every fault that the rows
// have.
func LoadPrices(path string) (*pricing.Table, error) {
	rows, err := decodePrices("prices.json", embeddedPrices)
	if err != nil {
		return nil, err
	}
	if path != "" {
		data, err := readFile(path, MaxPricesBytes)
		if err != nil {
			return nil, err
		}
		own, err := decodePrices(path, data)
		if err != nil {
			return nil, err
		}
		rows = overlay(rows, own)
	}
	table, err := pricing.NewTable(rows)
	if err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	return table, nil
}

// ReadPriceFile reads a file of prices, whoever's, of at most MaxPricesBytes.
func ReadPriceFile(path string) ([]byte, error) { return readFile(path, MaxPricesBytes) }

// PricesOf is the price table of settings: LoadPrices, and what they say of models that it does not have.
func PricesOf(s Settings) (*pricing.Table, error) {
	table, err := LoadPrices(s.Flowgate.PricesFile)
	if err == nil && s.CostOptimization.UnknownModels == UnknownDearest {
		table = table.AtDearest()
	}
	return table, err
}

// overlay replaces rows by model and first moment, and adds the others.
func overlay(rows, own []pricing.Row) []pricing.Row {
	type place struct {
		model string
		from  int64
	}
	replaced := map[place]bool{}
	for _, r := range own {
		replaced[place{r.Model, r.EffectiveFrom.Unix()}] = true
	}
	merged := make([]pricing.Row, 0, len(rows)+len(own))
	for _, r := range rows {
		if !replaced[place{r.Model, r.EffectiveFrom.Unix()}] {
			merged = append(merged, r)
		}
	}
	return append(merged, own...)
}

// decodePrices reads a price file strictly. Its rows are valid by themselves: a table can be made of them alone.
func decodePrices(file string, data []byte) ([]pricing.Row, error) {
	var f priceFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, &Fault{File: file, Line: lineAt(data, jsonOffset(d, err)), Text: jsonText(err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &Fault{File: file, Line: lineAt(data, d.InputOffset()), Text: "has more than one JSON document"}
	}
	if fault := repeatedKey(data); fault != nil {
		fault.File = file
		return nil, fault
	}
	if f.Unit != priceUnit {
		return nil, &Fault{File: file, Key: "unit", Text: fmt.Sprintf("must be %q, the only unit", priceUnit)}
	}
	rows := make([]pricing.Row, 0, len(f.Rows))
	var wrong faults
	for i, r := range f.Rows {
		if r.EffectiveFrom == nil {
			wrong = append(wrong, &Fault{File: file, Key: fmt.Sprintf("rows[%d].effective_from", i), Text: "is required"})
			continue
		}
		if r.Source == "" {
			wrong = append(wrong, &Fault{File: file, Key: fmt.Sprintf("rows[%d].source", i), Text: "is required: an auditor asks where a price comes from"})
		}
		rows = append(rows, r.row())
	}
	_, err := pricing.NewTable(rows)
	if err != nil {
		wrong = append(wrong, fmt.Errorf("reading %s: %w", file, err))
	}
	if err := wrong.join(); err != nil {
		return nil, err
	}
	return rows, nil
}

func (r priceRow) row() pricing.Row {
	row := pricing.Row{
		Model: r.Model, EffectiveFrom: r.EffectiveFrom.Time, Version: r.Version,
		Input: r.Input, Output: r.Output, CacheRead: r.CacheRead, CacheWrite5m: r.CacheWrite5m, CacheWrite1h: r.CacheWrite1h,
		Multipliers: r.Multipliers, ImageTokens: r.ImageTokens, NoOutput: r.NoOutput, Free: r.Free, RetiredBy: r.RetiredBy, Successor: r.Successor, Source: r.Source, Note: r.Note,
	}
	if r.RetiredOn != nil {
		row.RetiredOn = r.RetiredOn.Time
	}
	for _, t := range r.Tiers {
		row.Tiers = append(row.Tiers, pricing.Tier{
			Above: t.AboveInputTokens, Input: t.Input, Output: t.Output,
			CacheRead: t.CacheRead, CacheWrite5m: t.CacheWrite5m, CacheWrite1h: t.CacheWrite1h,
		})
	}
	return row
}

// jsonOffset is where in the file an error of encoding/json stands, as near as it tells.
func jsonOffset(d *json.Decoder, err error) int64 {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return syntax.Offset
	case errors.As(err, &wrongType):
		return wrongType.Offset
	}
	return d.InputOffset()
}

// jsonText says what is wrong in the words of the file.
func jsonText(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return fmt.Sprintf("%s must not be a %s: prices are whole numbers", wrongType.Field, wrongType.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "ends too early to be JSON"
	}
	return err.Error()
}

// repeatedKey finds an object of valid JSON that has a key twice, in whatever case: encoding/json would take the last.
func repeatedKey(data []byte) *Fault {
	type level struct {
		keys map[string]bool // nil in an array
		key  bool            // the next text is a key
	}
	var levels []level
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		t, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // the end: that the JSON is valid was checked before
		}
		var top *level
		if len(levels) > 0 {
			top = &levels[len(levels)-1]
		}
		if name, ok := t.(string); ok && top != nil && top.key {
			if name = strings.ToLower(name); top.keys[name] {
				return &Fault{Line: lineAt(data, d.InputOffset()), Key: clip(name), Text: "is there twice in one object"}
			}
			top.keys[name], top.key = true, false
			continue
		}
		if t == json.Delim('}') || t == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if top != nil {
			top.key = top.keys != nil
		}
		switch t {
		case json.Delim('{'):
			levels = append(levels, level{map[string]bool{}, true})
		case json.Delim('['):
			levels = append(levels, level{})
		}
	}
}

func lineAt(data []byte, offset int64) int {
	offset = max(0, min(offset, int64(len(data))))
	return 1 + bytes.Count(data[:offset], []byte("\n"))
}

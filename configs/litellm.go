package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"flowgate/pipelines/pricing"
)

// What of a foreign price file is read: more is a fault.
const (
	MaxImportEntries = 20_000
	maxImportDepth   = 16
	maxModelName     = 200
)

// ImportWhy says why an entry of a foreign price file was left out.
type ImportWhy string

// The reasons.
const (
	// ImportMode: it is no model of text or embeddings. ImportProvider: no backend of ours asks its provider.
	ImportMode     ImportWhy = "mode"
	ImportProvider ImportWhy = "provider"
	// ImportName: its name is no exact model id.
	ImportName ImportWhy = "name"
	// ImportPrice: it has no price a token, or one that cannot be. ImportCharges: it is charged for more than the tokens that are counted.
	ImportPrice   ImportWhy = "price"
	ImportCharges ImportWhy = "charges"
	// ImportForm: it is not of the form that is read.
	ImportForm ImportWhy = "form"
)

// LeftOut is an entry that was left out.
type LeftOut struct {
	Model  string    `json:"model"`
	Why    ImportWhy `json:"why"`
	Detail string    `json:"detail,omitempty"`
}

// PriceImport is what a foreign price file has for us.
type PriceImport struct {
	// Entries is how many it has.
	Entries int
	// Rows are sorted by model.
	Rows    []pricing.Row
	LeftOut []LeftOut
	// Rounded are the models of which a price is finer than a micro-dollar a million tokens, and was rounded up.
	Rounded []string
}

// ReadLiteLLM reads a file of the form of LiteLLM's model_prices_and_context_window.json, for prices that hold from a moment on. Prices are
// read as exact decimals.
func ReadLiteLLM(file string, data []byte, from time.Time) (PriceImport, error) {
	if deeper(data, maxImportDepth) {
		return PriceImport{}, &Fault{File: file, Text: fmt.Sprintf("is nested deeper than %d", maxImportDepth)}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return PriceImport{}, &Fault{File: file, Line: lineAt(data, d.InputOffset()), Text: "must be an object of models"}
	}
	entries := map[string]json.RawMessage{}
	var in PriceImport
	twice := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		var entry json.RawMessage
		if err == nil {
			err = d.Decode(&entry)
		}
		if err != nil {
			return PriceImport{}, &Fault{File: file, Line: lineAt(data, jsonOffset(d, err)), Text: jsonText(err)}
		}
		model, _ := name.(string) // a key always is
		if _, there := entries[model]; there {
			twice[model] = true
		}
		entries[model] = entry
		if in.Entries++; in.Entries > MaxImportEntries {
			return PriceImport{}, &Fault{File: file, Text: fmt.Sprintf("has more than %d models", MaxImportEntries)}
		}
	}
	if _, err := d.Token(); err != nil {
		return PriceImport{}, &Fault{File: file, Line: lineAt(data, d.InputOffset()), Text: jsonText(err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return PriceImport{}, &Fault{File: file, Line: lineAt(data, d.InputOffset()), Text: "has more than one JSON document"}
	}
	for _, model := range slices.Sorted(maps.Keys(entries)) {
		in.take(model, entries[model], twice[model], from)
	}
	return in, nil
}

// take takes an entry over, or leaves it out.
func (in *PriceImport) take(model string, raw json.RawMessage, twice bool, from time.Time) {
	e := litellmEntry{}
	row, left := pricing.Row{}, &LeftOut{Why: ImportForm, Detail: "is there twice"}
	if !twice {
		row, left = e.read(model, raw)
	}
	row.EffectiveFrom = from
	if left == nil {
		if _, err := pricing.NewTable([]pricing.Row{row}); err != nil {
			left = &LeftOut{Why: ImportPrice, Detail: err.Error()}
		}
	}
	if left != nil {
		left.Model, left.Detail = clipTo(model, maxModelName), clipTo(left.Detail, maxModelName)
		in.LeftOut = append(in.LeftOut, *left)
		return
	}
	in.Rows = append(in.Rows, row)
	if e.rounded {
		in.Rounded = append(in.Rounded, model)
	}
}

// deeper tells whether JSON is nested deeper than n.
func deeper(data []byte, n int) bool {
	depth, text, escaped := 0, false, false
	for _, b := range data {
		switch {
		case escaped:
			escaped = false
		case text && b == '\\':
			escaped = true
		case b == '"':
			text = !text
		case text:
		case b == '{' || b == '[':
			if depth++; depth > n {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

func clipTo(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

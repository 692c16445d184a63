package configs

import (
	"bytes"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/pipelines/pricing"
)

var update = flag.Bool("update", false, "rewrite golden files")

var imported = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// TestALiteLLMFileBecomesOurs: what is written, and what is left out and why, are golden.
func TestALiteLLMFileBecomesOurs(t *testing.T) {
	data, err := os.ReadFile("testdata/litellm.json")
	if err != nil {
		t.Fatal(err)
	}
	in, err := ReadLiteLLM("litellm.json", data, imported)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := LoadPrices("")
	if err != nil {
		t.Fatal(err)
	}
	d, err := in.Against(shipped, imported)
	if err != nil {
		t.Fatal(err)
	}
	written, err := EncodePrices("A test.", d.Rows())
	if err != nil {
		t.Fatal(err)
	}
	var left bytes.Buffer
	for _, l := range in.LeftOut {
		fmt.Fprintf(&left, "%s: %s: %s\n", l.Model, l.Why, strings.ReplaceAll(l.Detail, "\n", " "))
	}
	fmt.Fprintf(&left, "rounded: %v\nsame: %d\n", in.Rounded, d.Same)
	for name, got := range map[string][]byte{"litellm.prices.json": written, "litellm.left.txt": left.Bytes()} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) { //nolint:gosec // a golden file
			t.Errorf("%s: %v\n%s", path, err, got)
		}
	}
	rows, err := decodePrices("written", written)
	if err != nil || len(rows) != len(d.Rows()) {
		t.Fatalf("%d rows of %d, %v", len(rows), len(d.Rows()), err)
	}
	for i, r := range d.Rows() {
		if !samePrices(r, rows[i]) || r.Model != rows[i].Model || !r.EffectiveFrom.Equal(rows[i].EffectiveFrom) || !r.RetiredOn.Equal(rows[i].RetiredOn) {
			t.Errorf("written %+v, read %+v", r, rows[i])
		}
	}
}

func TestTheShippedTableReadsBackAsItIsWritten(t *testing.T) {
	table, err := LoadPrices("")
	if err != nil {
		t.Fatal(err)
	}
	data, err := EncodePrices("all", table.Rows())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := decodePrices("written", data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pricing.NewTable(rows)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(table.Rows(), again.Rows(), func(a, b pricing.Row) bool {
		return samePrices(a, b) && a.Version == b.Version && a.Source == b.Source && a.Successor == b.Successor && a.RetiredBy == b.RetiredBy
	}) {
		t.Error("it reads back otherwise")
	}
}

func TestForeignPriceFilesAreBounded(t *testing.T) {
	var many strings.Builder
	for i := range MaxImportEntries + 1 {
		fmt.Fprintf(&many, `,"m%d":{}`, i)
	}
	for text, want := range map[string]string{
		"":                                       "must be an object of models",
		"[]":                                     "must be an object of models",
		"null":                                   "must be an object of models",
		`{"a": {}`:                               "ends too early",
		`{"a": {}} {}`:                           "more than one JSON document",
		`{"a": nothing}`:                         "invalid character",
		"{\n\"a\": {},\n\"b\": {,}}":             "l.json:3: invalid character",
		`{"a": ` + strings.Repeat("[", 20) + `}`: "is nested deeper than 16",
		"{" + many.String()[1:] + "}":            "has more than 20000 models",
	} {
		if _, err := ReadLiteLLM("l.json", []byte(text), imported); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
	if deep := `{"a": "` + strings.Repeat(`\"[`, 50) + `"}`; deeper([]byte(deep), maxImportDepth) {
		t.Error("brackets in a text count as depth")
	}
}

func TestPricesAreReadAsExactDecimals(t *testing.T) {
	for text, want := range map[string]string{"3e-06": "3", "0.0000002": "1/5", "1.25E-7": "1/8", "1e+0": "1000000", "8.25e-08": "33/400", "0": "0", "5.46875e-07": "35/64"} {
		got, err := exactly([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if million := got.Mul(got, big.NewRat(1_000_000, 1)); million.RatString() != want {
			t.Errorf("%s is %s dollars a million, want %s", text, million.RatString(), want)
		}
	}
	for _, text := range []string{`"3e-06"`, "-1e-06", "1e41", "1e-41", "1.0001", "2", "1--1", "1e", "true", "{}", strings.Repeat("1", 41), "0x1p-2", "1_0", "1/2"} {
		if got, err := exactly([]byte(text)); err == nil {
			t.Errorf("%s is read as %v", text, got)
		}
	}
}

func FuzzReadLiteLLM(f *testing.F) {
	sample, err := os.ReadFile("testdata/litellm.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte(`{"m": {"mode": "chat", "litellm_provider": "anthropic", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "provider_specific_entry": {"us": 1.1}}}`))
	shipped, err := LoadPrices("")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := ReadLiteLLM("l.json", data, imported)
		if err != nil {
			return
		}
		if len(in.Rows)+len(in.LeftOut) > in.Entries {
			t.Fatalf("%d taken and %d left out of %d", len(in.Rows), len(in.LeftOut), in.Entries)
		}
		d, err := in.Against(shipped, imported)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := EncodePrices("fuzz", d.Rows()); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		for _, r := range d.Rows() {
			if r.Bound(1000, 1000) <= 0 {
				t.Fatalf("%+v costs nothing", r)
			}
		}
	})
}

package pricing

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxPrice is the highest price that a row may have: a dollar a token, in micro-dollars per million tokens. No model comes
// near it; a number above it is one in the wrong unit.
const MaxPrice = 1_000_000_000_000

// MaxImageTokens is the highest number of tokens of an image that a row may have.
const MaxImageTokens = 1_000_000

// Row is what one model costs from one moment on. Prices are in micro-dollars per million tokens: $3 per million is
// 3000000.
//
// A cache price of 0 means that the provider has none, and its tokens cost what others do: CacheRead and CacheWrite5m
// default to Input, CacheWrite1h to CacheWrite5m. NewTable fills them in.
//
// Its JSON is what the record keeps of it: what decides.
type Row struct {
	// Model is the exact id.
	Model string `json:"model"`
	// EffectiveFrom is the first moment at which the row holds; the zero time means always.
	EffectiveFrom time.Time `json:"effective_from,omitzero"`
	// Version names the row in records. NewTable makes it from the row's content where it is empty.
	Version string `json:"version"`

	Input        int64 `json:"input"`
	Output       int64 `json:"output"`
	CacheRead    int64 `json:"cache_read"`
	CacheWrite5m int64 `json:"cache_write_5m"`
	CacheWrite1h int64 `json:"cache_write_1h"`

	// Tiers are the prices of long inputs, by rising Above.
	Tiers []Tier `json:"tiers,omitempty"`
	// Multipliers are of calls that are not billed as the list says.
	Multipliers Multipliers `json:"multipliers,omitzero"`
	// ImageTokens is a number of tokens that one image cannot exceed; 0: that of the models of such ids, and the highest known of other ids.
	ImageTokens int64 `json:"image_tokens,omitempty"`
	// NoOutput marks a model that has none, such as one of embeddings. Without it an output price of 0 is a fault.
	NoOutput bool `json:"no_output,omitempty"`
	// Free marks a model that costs nothing, such as one that runs on a machine of one's own. Without it a price of 0 is
	// a fault.
	Free bool `json:"free,omitempty"`

	// RetiredOn is the day on which the provider retired the model; zero while it serves it. A retired row keeps its
	// price: records refer to it, and another provider may serve the model still.
	RetiredOn time.Time `json:"retired_on,omitzero"`
	// RetiredBy names the provider that retired it where others may serve it still; empty where none does.
	RetiredBy string `json:"retired_by,omitempty"`
	// Successor is the model that the provider names for a retired one.
	Successor string `json:"successor,omitempty"`
	// Source says where the prices come from, Note what else is worth knowing.
	Source string `json:"-"`
	Note   string `json:"-"`
}

// Tier is what a call costs whose whole input is larger than Above tokens: all of it, and its answer, at these prices.
type Tier struct {
	Above int64 `json:"above"`

	Input        int64 `json:"input"`
	Output       int64 `json:"output"`
	CacheRead    int64 `json:"cache_read"`
	CacheWrite5m int64 `json:"cache_write_5m"`
	CacheWrite1h int64 `json:"cache_write_1h"`
}

// Retired tells whether nobody served the model any more at a moment. A model that one provider of several retired
// (RetiredBy) is not.
func (r Row) Retired(at time.Time) bool {
	return !r.RetiredOn.IsZero() && r.RetiredBy == "" && !at.Before(r.RetiredOn)
}

// RetiredAt tells whether a backend has retired the model at a moment.
func (r Row) RetiredAt(backend string, at time.Time) bool {
	return !r.RetiredOn.IsZero() && !at.Before(r.RetiredOn) && (r.RetiredBy == "" || r.RetiredBy == backend)
}

// filled is the row with every cache price that it leaves out, in tiers of its own.
func (r Row) filled() Row {
	base := r.base().filled()
	r.CacheRead, r.CacheWrite5m, r.CacheWrite1h = base.CacheRead, base.CacheWrite5m, base.CacheWrite1h
	tiers := make([]Tier, 0, len(r.Tiers))
	for _, t := range r.Tiers {
		tiers = append(tiers, t.filled())
	}
	r.Tiers = tiers
	return r
}

func (r Row) base() Tier {
	return Tier{Input: r.Input, Output: r.Output, CacheRead: r.CacheRead, CacheWrite5m: r.CacheWrite5m, CacheWrite1h: r.CacheWrite1h}
}

func (t Tier) filled() Tier {
	if t.CacheRead == 0 {
		t.CacheRead = t.Input
	}
	if t.CacheWrite5m == 0 {
		t.CacheWrite5m = t.Input
	}
	if t.CacheWrite1h == 0 {
		t.CacheWrite1h = t.CacheWrite5m
	}
	return t
}

// Image is a number of tokens that one image cannot exceed.
func (r Row) Image() int64 {
	if r.ImageTokens > 0 {
		return r.ImageTokens
	}
	return imageTokens(r.Model)
}

// version is the first twelve hexadecimal digits of the SHA-256 of what a record depends on: model, first moment and
// prices, multipliers included. Remarks and retirement do not change it.
func (r Row) version() string {
	var b strings.Builder
	b.WriteString(strconv.Quote(r.Model))
	b.WriteByte(' ')
	b.WriteString(r.EffectiveFrom.UTC().Format(time.RFC3339Nano))
	for _, t := range append([]Tier{r.base()}, r.Tiers...) {
		fmt.Fprintf(&b, " %d:%d/%d/%d/%d/%d", t.Above, t.Input, t.Output, t.CacheRead, t.CacheWrite5m, t.CacheWrite1h)
	}
	if m := r.Multipliers; m != (Multipliers{}) { // rows without any keep the versions that they had before there were any
		fmt.Fprintf(&b, " x%d/%d/%d/%d", m.Batch, m.Flex, m.Priority, m.InferenceGeoUS)
	}
	if r.NoOutput {
		b.WriteString(" no output")
	}
	if r.ImageTokens > 0 {
		fmt.Fprintf(&b, " image %d", r.ImageTokens)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:6])
}

// check reports every fault of a row.
func (r Row) check() error {
	var faults []error
	if strings.TrimSpace(r.Model) == "" || strings.TrimSpace(r.Model) != r.Model {
		faults = append(faults, fmt.Errorf("model %q: must be an exact id", r.Model))
	}
	faults = append(faults, r.base().check("", r.Free, r.NoOutput)...)
	above := int64(0)
	for i, t := range r.Tiers {
		name := fmt.Sprintf("tiers[%d].", i)
		if t.Above <= above {
			faults = append(faults, fmt.Errorf("%sabove: %d must be larger than %d, which comes before it", name, t.Above, above))
		}
		above = max(above, t.Above)
		faults = append(faults, t.check(name, r.Free, r.NoOutput)...)
	}
	faults = append(faults, r.Multipliers.check()...)
	if r.ImageTokens < 0 || r.ImageTokens > MaxImageTokens {
		faults = append(faults, fmt.Errorf("image_tokens: %d is not from 1 to %d", r.ImageTokens, int64(MaxImageTokens)))
	}
	return errors.Join(faults...)
}

func (t Tier) check(prefix string, free, noOutput bool) []error {
	var faults []error
	for _, p := range []struct {
		name  string
		price int64
		must  bool
	}{
		{"input", t.Input, true},
		{"output", t.Output, !noOutput},
		{"cache_read", t.CacheRead, false},
		{"cache_write_5m", t.CacheWrite5m, false},
		{"cache_write_1h", t.CacheWrite1h, false},
	} {
		switch {
		case p.price < 0 || p.price > MaxPrice:
			faults = append(faults, fmt.Errorf("%s%s: %d is not from 0 to %d micro-dollars per million tokens", prefix, p.name, p.price, int64(MaxPrice)))
		case noOutput && p.name == "output" && p.price != 0:
			faults = append(faults, fmt.Errorf("%s%s: must be 0 where the model has no output, is %d", prefix, p.name, p.price))
		case free && p.price != 0:
			faults = append(faults, fmt.Errorf("%s%s: must be 0 in a free row, is %d", prefix, p.name, p.price))
		case !free && p.must && p.price == 0:
			faults = append(faults, fmt.Errorf("%s%s: is required; mark the row free if the model costs nothing", prefix, p.name))
		}
	}
	return faults
}

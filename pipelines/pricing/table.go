package pricing

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Table has the prices of every known model, those of the past included. It is immutable and safe for concurrent use.
type Table struct {
	// rows are by model, newest first.
	rows    map[string][]Row
	version map[modelVersion]Row
	// dearest are what models without a row cost, newest first; nil: nobody can say.
	dearest []Row
}

type modelVersion struct{ model, version string }

// NewTable checks rows and makes a table of them. Its error names every fault of every row, and two rows of one model that
// begin at the same moment or share a version. The rows are copied.
func NewTable(rows []Row) (*Table, error) {
	t := &Table{rows: map[string][]Row{}, version: map[modelVersion]Row{}}
	var faults []error
	for i, r := range rows {
		if err := r.check(); err != nil {
			faults = append(faults, fmt.Errorf("row %d (%s): %w", i+1, r.Model, err))
			continue
		}
		r = r.filled()
		if r.Version == "" {
			r.Version = r.version()
		}
		for _, other := range t.rows[r.Model] {
			if other.EffectiveFrom.Equal(r.EffectiveFrom) {
				faults = append(faults, fmt.Errorf("row %d (%s): a second row from %s", i+1, r.Model, r.EffectiveFrom.UTC().Format(time.RFC3339)))
			}
		}
		key := modelVersion{r.Model, r.Version}
		if _, taken := t.version[key]; taken {
			faults = append(faults, fmt.Errorf("row %d (%s): a second row of version %q", i+1, r.Model, r.Version))
		}
		t.version[key] = r
		t.keepPlain(r)
		t.rows[r.Model] = append(t.rows[r.Model], r)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	for _, rs := range t.rows {
		slices.SortFunc(rs, func(a, b Row) int { return b.EffectiveFrom.Compare(a.EffectiveFrom) })
	}
	return t, nil
}

// keepPlain keeps a row findable by the versions that it had before it got multipliers, or the tokens of an image: records name those.
func (t *Table) keepPlain(r Row) {
	if r.Version != r.version() {
		return
	}
	plain, older := r, r
	plain.Multipliers, plain.ImageTokens, older.ImageTokens = Multipliers{}, 0, 0
	for _, was := range []Row{older, plain} {
		was.Version = was.version()
		if key := (modelVersion{was.Model, was.Version}); t.version[key].Model == "" {
			t.version[key] = was
		}
	}
}

// Row is the newest row of a model that holds at a moment; false where none does: the model's cost cannot be bounded then.
func (t *Table) Row(model string, at time.Time) (Row, bool) {
	if r, found := t.listed(model, at); found {
		return r.clone(), true
	}
	return t.unknown(model, func(r Row) bool { return !r.EffectiveFrom.After(at) })
}

// listed is Row of a model that has one of its own.
func (t *Table) listed(model string, at time.Time) (Row, bool) {
	for _, r := range t.rows[model] {
		if !r.EffectiveFrom.After(at) {
			return r, true
		}
	}
	return Row{}, false
}

// ByVersion is the row that a record names.
func (t *Table) ByVersion(model, version string) (Row, bool) {
	if r, ok := t.version[modelVersion{model, version}]; ok {
		return r.clone(), true
	}
	return t.unknown(model, func(r Row) bool { return r.Version == version })
}

// Models lists the ids of every model that has a row, sorted.
func (t *Table) Models() []string {
	models := make([]string, 0, len(t.rows))
	for m := range t.rows {
		models = append(models, m)
	}
	slices.Sort(models)
	return models
}

// Rows lists every row, by model and then newest first.
func (t *Table) Rows() []Row {
	var rows []Row
	for _, m := range t.Models() {
		for _, r := range t.rows[m] {
			rows = append(rows, r.clone())
		}
	}
	return rows
}

func (r Row) clone() Row {
	r.Tiers = slices.Clone(r.Tiers)
	return r
}

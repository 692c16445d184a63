package privacy_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"flowgate/pipelines/privacy"
)

// labelled is one sentence of the labelled text.
type labelled struct {
	Text  string `json:"full_text"`
	Spans []struct {
		Type  string `json:"entity_type"`
		Start int    `json:"start_position"`
		End   int    `json:"end_position"`
	} `json:"spans"`
}

// tally counts what was found where it should, where it should not, and what was missed.
type tally struct{ right, wrong, missed int }

func (t tally) precision() float64 { return ratio(t.right, t.right+t.wrong) }
func (t tally) recall() float64    { return ratio(t.right, t.right+t.missed) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

// TestLabelledText finds in sentences that nobody on this project wrote what their labels say, to the character.
func TestLabelledText(t *testing.T) {
	file := filepath.Join(cmp.Or(os.Getenv("FLOWGATE_DATA"), "../../../shared/data"), "pii-small.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("no labelled text: %v", err)
	}
	var sentences []labelled
	if err := json.Unmarshal(data, &sentences); err != nil {
		t.Fatal(err)
	}
	counts := make(map[privacy.Type]*tally)
	of := func(kind privacy.Type) *tally {
		if counts[kind] == nil {
			counts[kind] = &tally{}
		}
		return counts[kind]
	}
	s := privacy.New()
	for _, sentence := range sentences {
		spans := make(map[privacy.Finding]bool)
		for _, span := range sentence.Spans {
			spans[privacy.Finding{Type: privacy.Type(span.Type), Start: span.Start, End: span.End}] = true
		}
		for _, f := range s.Scan(sentence.Text) {
			f.Score = 0
			if spans[f] {
				of(f.Type).right++
				delete(spans, f)
				continue
			}
			of(f.Type).wrong++
			t.Logf("%s at %d to %d is none: %q", f.Type, f.Start, f.End, sentence.Text)
		}
		for f := range spans {
			of(f.Type).missed++
		}
	}
	for kind, least := range map[privacy.Type]struct{ precision, recall float64 }{
		privacy.TypeCard: {0.99, 1}, privacy.TypeEmail: {0.97, 1}, privacy.TypeIP: {0.97, 1}, privacy.TypeSSN: {0.97, 1}, privacy.TypePhone: {0.9, 0.6},
	} {
		got := of(kind)
		t.Logf("%s: precision %.2f, recall %.2f: %+v", kind, got.precision(), got.recall(), *got)
		if got.precision() < least.precision || got.recall() < least.recall {
			t.Errorf("%s: precision %.2f, recall %.2f, must be %.2f and %.2f", kind, got.precision(), got.recall(), least.precision, least.recall)
		}
	}
}

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"flowgate/configs"
)

// TestDemoNamesNoModelThatIsRetired, also not one that will be: the demo has to run for years.
func TestDemoNamesNoModelThatIsRetired(t *testing.T) {
	t.Parallel()
	prices, err := configs.LoadPrices("")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(demoRequests)) {
		var r struct{ Model string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Model == "" || strings.HasPrefix(r.Model, "claude-3-") { // aliases of what the settings ship with
			continue
		}
		if row, ok := prices.Row(r.Model, time.Now()); !ok || !row.RetiredOn.IsZero() {
			t.Errorf("%s: %t, retired on %s", r.Model, ok, row.RetiredOn)
		}
	}
}

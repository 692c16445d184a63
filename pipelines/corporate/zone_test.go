package corporate_test

import (
	"testing"
	"time"

	"flowgate/pipelines/corporate"
)

// TestDaysOfTwentyThreeAndTwentyFiveHours goes through the days on which clocks are changed, minute by minute: each minute counts in
// one day, each day begins at its zone's midnight (or the first moment after it that there is) and is as long as the zone says.
func TestDaysOfTwentyThreeAndTwentyFiveHours(t *testing.T) {
	for _, c := range []struct {
		zone, day string
		hours     float64
	}{
		{"Europe/Berlin", "2026-03-29", 23},
		{"Europe/Berlin", "2026-10-25", 25},
		{"America/New_York", "2026-03-08", 23},
		{"America/New_York", "2026-11-01", 25},
		{"Australia/Lord_Howe", "2026-10-04", 23.5},
		{"Australia/Lord_Howe", "2026-04-05", 24.5},
		{"America/Santiago", "2026-09-06", 23}, // it has no midnight
		{"Africa/Cairo", "2026-10-29", 25},     // its last hour comes twice
		{"Asia/Kathmandu", "2026-03-29", 24},
		{"UTC", "2026-03-29", 24},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		noon, err := time.ParseInLocation("2006-01-02 15:04", c.day+" 12:00", zone)
		if err != nil {
			t.Fatal(err)
		}
		minutes, before := 0, ""
		seen := map[string]bool{}
		for at := noon.Add(-26 * time.Hour); at.Before(noon.Add(26 * time.Hour)); at = at.Add(time.Minute) {
			window := corporate.DayWindow(at)
			if window != before && seen[window] {
				t.Errorf("%s: the day %s comes twice, again at %s", c.zone, window, at)
			}
			seen[window], before = true, window
			if window == ":day:"+c.day {
				minutes++
			}
			if month := corporate.MonthWindow(at); month != ":month:"+at.Format("2006-01") {
				t.Errorf("%s: %s counts in %s", c.zone, at, month)
			}
		}
		if got := float64(minutes) / 60; got != c.hours {
			t.Errorf("%s: the day %s has %v hours, want %v", c.zone, c.day, got, c.hours)
		}
	}
}

// TestARequestCountsInTheDayOfItsZone also in the hour that comes twice, and in the minute before and after midnight.
func TestARequestCountsInTheDayOfItsZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for utc, want := range map[string]string{
		"2026-10-24T21:59:59Z": "2026-10-24", "2026-10-24T22:00:00Z": "2026-10-25", // midnight in summer
		"2026-10-25T00:30:00Z": "2026-10-25", "2026-10-25T01:30:00Z": "2026-10-25", // half past two, twice
		"2026-10-25T22:59:59Z": "2026-10-25", "2026-10-25T23:00:00Z": "2026-10-26", // midnight in winter
		"2026-03-28T22:59:59Z": "2026-03-28", "2026-03-29T21:59:59Z": "2026-03-29", "2026-03-29T22:00:00Z": "2026-03-30",
	} {
		at, err := time.Parse(time.RFC3339, utc)
		if err != nil {
			t.Fatal(err)
		}
		r, f, p := setup(t)
		p.Location, f.Now, f.SubmittedAt = berlin, at, at
		d := corporate.Decide(r, f, p)
		if len(d.Scopes) == 0 || d.Scopes[0].Name != "tenant:acme:day:"+want {
			t.Errorf("at %s it counts in %+v, want the day %s", utc, d.Scopes, want)
		}
	}
}

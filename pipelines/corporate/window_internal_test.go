package corporate

import (
	"testing"
	"time"
)

func TestNoWindowOfADayBeginsInItsMiddle(t *testing.T) {
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("east", 14*3600), time.FixedZone("west", -12*3600)} {
		for day := time.Date(2026, 1, 1, 12, 0, 0, 0, zone); day.Year() < 2055; day = day.AddDate(0, 0, 1) {
			span := dayWindow(day).Span().Milliseconds()
			begin := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)
			if end := begin.AddDate(0, 0, 1); begin.UnixMilli()/span != (end.UnixMilli()-1)/span || span < 20*24*3600*1000 || span > 1<<31-1 {
				t.Fatalf("%s: a window of %d ms", day, span)
			}
		}
	}
}

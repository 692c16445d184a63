package corporate

import (
	"maps"
	"slices"
	"time"
)

// Window is a span of time in which requests and tokens are counted.
type Window string

// The windows of limits.
const (
	WindowMinute Window = "minute"
	WindowHour   Window = "hour"
)

// Windows lists the windows, shortest first.
func Windows() []Window { return []Window{WindowMinute, WindowHour} }

// dayWindows are those of what counts in a day of the calendar: its name has the date, so it begins anew with every day, and must not
// slide before the day is over. Windows of the clock of so many days seldom begin in the middle of one, and never all on the same day
// of the next 29 years.
func dayWindows() map[time.Duration]Window {
	const day = 24 * time.Hour
	return map[time.Duration]Window{24 * day: "day/24", 23 * day: "day/23", 22 * day: "day/22", 21 * day: "day/21"}
}

// dayWindow is the longest of them in which a day of the calendar lies as a whole, with an hour around it for clocks that differ.
func dayWindow(day time.Time) Window {
	y, m, d := day.Date()
	begin, end := time.Date(y, m, d, 0, 0, 0, 0, day.Location()).Add(-time.Hour), time.Date(y, m, d+1, 0, 0, 0, 0, day.Location()).Add(time.Hour)
	windows := dayWindows()
	lengths := slices.Sorted(maps.Keys(windows))
	for _, length := range slices.Backward(lengths) {
		if millis(begin)/length.Milliseconds() == millis(end)/length.Milliseconds() {
			return windows[length]
		}
	}
	return windows[lengths[0]]
}

// Span is how long a window is.
func (w Window) Span() time.Duration {
	if w == WindowHour {
		return time.Hour
	}
	for days, name := range dayWindows() {
		if w == name {
			return days
		}
	}
	return time.Minute
}

// Counter counts in windows that slide: Now are those of the present window of the clock, Before those of the one before it,
// which weigh as much as of that window still lies within the last span. That is the sliding window counter of Cloudflare ("How we
// built rate limiting capable of scaling to millions of domains", 2017), in whole numbers and rounded up: of the limit no window
// of the clock ever lets through more, and any stretch of time no more than the limit and its share of it. The ledger counts by the
// same rule (migration admit), the present window there.
type Counter struct {
	// Index numbers the present window since 1970.
	Index       int64
	Now, Before int64
}

// millis is a moment in milliseconds since 1970, rounded down.
func millis(t time.Time) int64 { return t.UnixMilli() }

// At is the counter at a moment, and how many milliseconds of its window are gone. A clock that was set back by less than a window
// stands still until it is there again; one that was set back further begins anew with what is counted, so that it neither opens a
// limit nor closes it for longer than two windows: that must be kept.
func (c Counter) At(now time.Time, span time.Duration) (at Counter, gone int64) {
	ms, length := millis(now), span.Milliseconds()
	index := ms / length
	gone = ms - index*length
	switch {
	case c.Index == index+1:
		return c, 0
	case c.Index > index:
		c.Index = index
		return c, gone
	case c.Index == index:
		return c, gone
	case c.Index == index-1:
		return Counter{Index: index, Before: c.Now}, gone
	}
	return Counter{Index: index}, gone
}

// Used is what counts at a moment.
func (c Counter) Used(now time.Time, span time.Duration) int64 {
	at, gone := c.At(now, span)
	length := span.Milliseconds()
	return at.Now + (at.Before*(length-gone)+length-1)/length
}

// Wait is how long it takes until n more have room within the limit, if nobody else comes; n and limit are above 0. More than the
// limit at once need one window more for each time that it is full.
func (c Counter) Wait(now time.Time, span time.Duration, n, limit int64) time.Duration {
	at, gone := c.At(now, span)
	length := span.Milliseconds()
	whole := (n - 1) / limit
	n -= whole * limit
	var wait int64
	if at.Now+n <= limit {
		left := length
		if at.Before > 0 {
			left = min(length, (limit-n-at.Now)*length/at.Before)
		}
		wait = max(0, length-left-gone)
	} else { // in the next window, when those of this one weigh little enough
		wait = 2*length - gone - min(length, (limit-n)*length/at.Now)
	}
	wait += max(0, at.Index*length-millis(now)) // where the clock was set back
	return time.Duration(wait+whole*length) * time.Millisecond
}

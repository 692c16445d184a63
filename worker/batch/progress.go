package batch

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// plainEvery is how often a plain line is written at most.
const plainEvery = time.Second

// Bar shows the progress of a run: a bar on a terminal, plain lines elsewhere.
type Bar struct {
	total int

	// On a terminal.
	container *mpb.Progress
	bar       *mpb.Bar

	mu      sync.Mutex
	newest  Progress
	w       io.Writer
	written time.Time // when the newest plain line was
	line    string    // the newest plain line
	faults  error
}

// NewBar shows the progress of total lines on w. terminal tells whether w is one. The caller MUST Close the bar.
func NewBar(w io.Writer, terminal bool, total int) *Bar {
	b := &Bar{total: total, w: w, newest: Progress{Summary: Summary{Total: total}}}
	if !terminal {
		return b
	}
	b.container = mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithWidth(80))
	b.bar = b.container.New(int64(total), mpb.BarStyle(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return b.newestProgress().share() })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.newestProgress().speed() })),
	)
	return b
}

// Update shows how a run stands; it is what Job.Progress wants.
func (b *Bar) Update(p Progress) {
	b.mu.Lock()
	b.newest = p
	b.mu.Unlock()
	if b.bar != nil {
		b.bar.SetCurrent(int64(p.Done()))
		return
	}
	if b.written.IsZero() || time.Since(b.written) >= plainEvery {
		b.print()
	}
}

// Close shows how the run stood at last and lets go of w. Its error is the first of writing to w.
func (b *Bar) Close() error {
	if b.bar == nil {
		b.print()
		return b.faults
	}
	if p := b.newestProgress(); !p.Complete() || b.total == 0 {
		b.bar.Abort(false)
	}
	b.container.Wait()
	return nil
}

func (b *Bar) newestProgress() Progress {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

// print writes a plain line, unless it would repeat the one before.
func (b *Bar) print() {
	p := b.newestProgress()
	line := p.share() + ", " + p.speed()
	if line == b.line {
		return
	}
	b.line, b.written = line, time.Now()
	if _, err := fmt.Fprintln(b.w, line); err != nil && b.faults == nil {
		b.faults = errors.Join(b.faults, fmt.Errorf("showing progress: %w", err))
	}
}

// share is such as "12/100 done (12%)".
func (p Progress) share() string {
	percent := 100
	if p.Total > 0 {
		percent = p.Done() * 100 / p.Total
	}
	return fmt.Sprintf("%d/%d done (%d%%)", p.Done(), p.Total, percent)
}

// speed is such as "3 failed, 4.1/s, 21s left".
func (p Progress) speed() string {
	s := fmt.Sprintf("%d failed", p.Errors)
	if rate, ok := p.rate(); ok {
		s += fmt.Sprintf(", %.1f/s", rate)
		if open := p.Total - p.Done(); open > 0 {
			left := time.Duration(float64(open) / rate * float64(time.Second))
			s += fmt.Sprintf(", %s left", left.Round(time.Second))
		}
	}
	if p.Trouble != "" {
		s += ", waiting: " + p.Trouble
	}
	return s
}

// rate is how many lines this run ended a second; false: too early to tell.
func (p Progress) rate() (float64, bool) {
	n := p.Done() - p.Resumed
	if n <= 0 || p.Elapsed <= 0 {
		return 0, false
	}
	return float64(n) / p.Elapsed.Seconds(), true
}

package batch_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowgate/worker/batch"
)

func progress(outputs, errs, resumed int, elapsed time.Duration, trouble string) batch.Progress {
	return batch.Progress{Trouble: trouble, Summary: batch.Summary{Total: 100, Outputs: outputs, Errors: errs, Resumed: resumed, Elapsed: elapsed}}
}

func TestPlainLinesComeOnceASecondAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		bar := batch.NewBar(&out, false, 100)
		for i := range 25 {
			bar.Update(progress(i, 1, 1, time.Duration(i)*100*time.Millisecond, ""))
			<-time.After(100 * time.Millisecond) // the clock of the bubble
		}
		bar.Update(progress(99, 1, 1, 10*time.Second, ""))
		if err := bar.Close(); err != nil {
			t.Fatal(err)
		}
		want := "1/100 done (1%), 1 failed\n" +
			"11/100 done (11%), 1 failed, 10.0/s, 9s left\n" +
			"21/100 done (21%), 1 failed, 10.0/s, 8s left\n" +
			"100/100 done (100%), 1 failed, 9.9/s\n"
		if out.String() != want {
			t.Errorf("the lines are\n%s, want\n%s", out.String(), want)
		}
	})
}

func TestTheLastLineIsNotRepeatedAndSaysWhatIsWaitedFor(t *testing.T) {
	var out bytes.Buffer
	bar := batch.NewBar(&out, false, 100)
	bar.Update(progress(0, 0, 0, 0, "the queue is full"))
	if err := bar.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "0/100 done (0%), 0 failed, waiting: the queue is full\n"; out.String() != want {
		t.Errorf("the lines are %q, want %q", out.String(), want)
	}
}

func TestABarOnATerminalEndsWithTheLastCounts(t *testing.T) {
	for _, p := range []batch.Progress{progress(98, 2, 0, time.Second, ""), progress(40, 2, 0, time.Second, ""), {}} {
		var out bytes.Buffer
		bar := batch.NewBar(&out, true, p.Total)
		bar.Update(p)
		if err := bar.Close(); err != nil {
			t.Fatal(err)
		}
		last := out.String()[strings.LastIndex(strings.TrimSpace(out.String()), "\n")+1:]
		if p.Total > 0 && !strings.Contains(last, "2 failed") {
			t.Errorf("the bar ended as %q", out.String())
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestABarTellsThatItCouldNotBeShown(t *testing.T) {
	bar := batch.NewBar(fullDisk{}, false, 1)
	bar.Update(progress(0, 0, 0, 0, ""))
	if err := bar.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the error is %v", err)
	}
}

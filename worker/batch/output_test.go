package batch_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"flowgate/worker/batch"
)

func TestWhatAnEarlierRunLeftIsTakenUp(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, many(40)...)
	run(t, job)
	output, failed, stored := read(t, job.Output), read(t, job.Errors), s.stored(t)
	outputs := strings.SplitAfter(strings.TrimSuffix(output, "\n"), "\n")
	head := strings.Join(outputs[:10], "")
	for _, c := range []struct {
		name                                   string
		output, outPartial, failed, errPartial string
		resumed                                int
	}{
		{"a partial with a torn last line", "", head + outputs[10][:30], "", failed, 18},
		{"a partial whose last line lacks its end only", "", head + strings.TrimSuffix(outputs[10], "\n"), "", failed, 18},
		{"a partial with a tail of zeros", "", head + strings.Repeat("\x00", 500), "", "", 10},
		{"a partial with nothing but a torn line", "", outputs[0][:30], "", "", 0},
		{"both partials whole", "", output, "", failed, 40},
		{"a cut between the two renames", "", output, failed, "", 40},
		{"a cut between the other two", output, "", "", failed, 40},
		{"no file of errors", output, "", "", "", 32},
		{"a file that lacks results", head, "", failed, "", 18},
		{"nothing", "", "", "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for path, content := range map[string]string{
				job.Output: c.output, job.Output + batch.Partial: c.outPartial, job.Errors: c.failed, job.Errors + batch.Partial: c.errPartial,
			} {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				if content != "" {
					write(t, path, content)
				}
			}
			sum := run(t, job)
			if sum.Resumed != c.resumed || sum.Published != 0 || sum.AlreadyThere != 40-c.resumed {
				t.Errorf("the summary is %+v, want %d resumed", sum, c.resumed)
			}
			if c.resumed >= 10 && !strings.HasPrefix(read(t, job.Output), head) {
				t.Error("lines that were there have changed")
			}
			if s.stored(t) != stored {
				t.Error("the broker took something again")
			}
		})
	}
}

func TestResultsOfSomethingElseAreNotTouched(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, many(5)...)
	run(t, job)
	output := read(t, job.Output)
	other := job
	other.BatchID = "another"
	changed := s.job(t, append([]string{openAI("new", "hello")}, many(5)...)...)
	changed.BatchID = job.BatchID
	for _, c := range []struct {
		name, content string
		job           batch.Job
	}{
		{"another batch", output, other},
		{"another file under the same batch id", output, changed},
		{"no results at all", "some text\n", job},
		{"no results but JSON", `{"id":"x","text":1}` + "\n", job},
	} {
		t.Run(c.name, func(t *testing.T) {
			stored := s.stored(t)
			write(t, c.job.Output, c.content)
			_, err := batch.Run(t.Context(), c.job)
			if !errors.Is(err, batch.ErrOtherBatch) || !strings.Contains(err.Error(), "--output") || !strings.Contains(err.Error(), "--again") {
				t.Errorf("the error is %v", err)
			}
			if read(t, c.job.Output) != c.content || s.stored(t) != stored {
				t.Error("something was written or sent")
			}
			if left, err := filepath.Glob(filepath.Join(s.folder, "*"+batch.Partial)); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestOneProcessWritesAFile(t *testing.T) {
	s := setup(t)
	job := s.job(t, many(3)...)
	held, err := os.Create(job.Errors + batch.Partial)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if _, err := batch.Run(t.Context(), job); !errors.Is(err, batch.ErrBusy) || !strings.Contains(err.Error(), job.Errors) {
		t.Errorf("the error is %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	s.gateway.open(t)
	run(t, job)
}

func TestAFolderThatIsNotThereIsAnErrorBeforeAnythingIsSent(t *testing.T) {
	s := setup(t)
	job := s.job(t, many(3)...)
	job.Output = filepath.Join(s.folder, "missing", "out.jsonl")
	if _, err := batch.Run(t.Context(), job); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
	if s.stored(t) != 0 {
		t.Error("something was sent")
	}
}

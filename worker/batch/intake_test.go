package batch_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/worker/batch"
)

// TestWhileSubmissionsAreRefusedARunWaitsAndGoesOn: for longer than its patience, which is for those who were let in.
func TestWhileSubmissionsAreRefusedARunWaitsAndGoesOn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, many(20)...)
	job.Patience = 4 * time.Second
	var open atomic.Bool
	var asked, published atomic.Int64
	job.Intake = func(_ context.Context, c messages.Class) (messages.Intake, error) {
		asked.Add(1)
		if c == "" {
			t.Error("asked for no class")
		}
		if open.Load() {
			return messages.Intake{Open: true}, nil
		}
		return messages.Intake{Reason: messages.IntakeDisk, Detail: "the disk is full", RetryAfter: 300}, nil
	}
	begin, told := time.Now(), false
	job.Progress = func(p batch.Progress) {
		published.Store(int64(p.Published))
		told = told || strings.Contains(p.Trouble, "submissions are refused: the disk is full")
		if told && asked.Load() > 5 && time.Since(begin) > job.Patience+job.Patience/4 && !open.Load() {
			if p.Published > 0 {
				t.Errorf("%d were published", p.Published)
			}
			open.Store(true)
		}
	}
	summary, err := batch.Run(t.Context(), job)
	if err != nil || summary.Published != 20 {
		t.Errorf("%+v, %v", summary, err)
	}
}

func TestWhereNobodySaysWhetherSubmissionsAreTakenTheyAreSent(t *testing.T) {
	s := setup(t)
	s.gateway.open(t)
	job := s.job(t, many(3)...)
	job.Intake = func(context.Context, messages.Class) (messages.Intake, error) {
		return messages.Intake{}, errors.New("nobody answers")
	}
	if summary, err := batch.Run(t.Context(), job); err != nil || summary.Published != 3 {
		t.Errorf("%+v, %v", summary, err)
	}
}

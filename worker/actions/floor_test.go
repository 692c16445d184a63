package actions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/actions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// past is what was measured before.
type past struct {
	x   messages.Execution
	err error
}

func (p past) NewestExecution(_ context.Context, _, _, _, parameters string, _ time.Time) (messages.Execution, error) {
	if p.err == nil && parameters != p.x.ParametersDigest {
		return messages.Execution{}, worker.ErrNotFound
	}
	return p.x, p.err
}

var key = messages.Key{Tenant: "acme", ID: "r1"}

func good(document any) actions.Function {
	return func(context.Context, actions.Order) (actions.Measured, error) {
		return actions.Measured{Document: document, Samples: 3, Confidence: 0.5}, nil
	}
}

// executed waits for the end of an execution.
func executed(t *testing.T, f *actions.Floor, a flow.Agreement) *messages.Execution {
	t.Helper()
	for {
		x, done := f.Execute(key, 0, flow.Asker{}, a)
		if x != nil {
			return x
		}
		<-done
	}
}

func TestAnActionHasARealResultOrSaysWhyNot(t *testing.T) {
	const old = 90 * time.Second
	nothing, broken := past{err: worker.ErrNotFound}, past{err: errors.New("no database")}
	for name, c := range map[string]struct {
		function actions.Function
		history  past
		age      float64
		mode     messages.ExecutionMode
		because  string
	}{
		"it measures": {good(map[string]int{"n": 3}), nothing, 0, messages.ExecutionReal, ""},
		"it fails": {func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, errors.New("no ground")
		}, nothing, 60, messages.ExecutionFailed, "no ground; nothing was measured that is young"},
		"it panics":                 {func(context.Context, actions.Order) (actions.Measured, error) { panic("secret") }, nothing, 60, messages.ExecutionFailed, "it panicked"},
		"it measures nothing":       {good(nil), nothing, 60, messages.ExecutionFailed, "it measured nothing"},
		"its result is no document": {good(math.Inf(1)), nothing, 60, messages.ExecutionFailed, "encoding its result"},
		"its result is too large":   {good(strings.Repeat("x", actions.MaxResultBytes)), nothing, 60, messages.ExecutionFailed, "its result has"},
		"its confidence is none": {func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{Document: 1, Confidence: math.NaN()}, nil
		}, nothing, 60, messages.ExecutionFailed, "its confidence is none"},
		"it takes too long": {func(ctx context.Context, _ actions.Order) (actions.Measured, error) {
			<-ctx.Done()
			return actions.Measured{}, ctx.Err()
		}, nothing, 60, messages.ExecutionFailed, "it did not end within 5s"},
		"it hangs": {func(ctx context.Context, _ actions.Order) (actions.Measured, error) {
			<-ctx.Done()
			time.Sleep(3 * time.Second) // in a bubble: it does not heed its time
			return actions.Measured{}, nil
		}, nothing, 60, messages.ExecutionFailed, "it did not end within 5s"},
		"an older result stands in": {func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, errors.New("no ground")
		}, past{}, 100, messages.ExecutionFallback, "no ground"},
		"its asker may not know": {func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, fmt.Errorf("here: %w", &actions.RefusedError{Reason: messages.ReasonAgreementNotAllowed, Why: "not for you"})
		}, past{}, 100, messages.ExecutionDenied, "not for you"},
		"a parameter is wrong": {func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, &actions.ParameterError{Parameter: "days", Rule: "must be a number"}
		}, past{}, 100, messages.ExecutionFailed, "parameter days must be a number"},
		"it is too old": {func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, errors.New("no ground")
		}, past{}, 60, messages.ExecutionFailed, "1m30s old, the agreement allows 1m0s"},
		"none may stand in": {func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, errors.New("no ground")
		}, past{}, 0, messages.ExecutionFailed, "allows no older result"},
		"the older one cannot be read": {func(context.Context, actions.Order) (actions.Measured, error) {
			return actions.Measured{}, errors.New("no ground")
		}, broken, 100, messages.ExecutionFailed, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.history.err == nil {
					c.history.x = messages.Execution{Result: json.RawMessage(`{"n":2}`), Samples: 2, Confidence: 0.25, MeasuredAt: time.Now().Add(-old)}
				}
				f := actions.New(actions.Options{Functions: map[string]actions.Function{"x": c.function}, History: c.history})
				defer f.Close()
				x := executed(t, f, flow.Agreement{Trigger: "[X]", Action: "x", Version: "7", SLASeconds: 5, FallbackAgeSeconds: c.age})
				if x.Mode != c.mode || !strings.Contains(x.Because, c.because) || x.Version != "7" || x.Action != "x" || strings.Contains(x.Because, "secret") {
					t.Errorf("got %+v", x)
				}
				switch c.mode {
				case messages.ExecutionReal:
					if string(x.Result) != `{"n":3}` || x.Samples != 3 || x.Confidence != 0.5 || x.MeasuredAt.IsZero() {
						t.Errorf("got %+v", x)
					}
				case messages.ExecutionFallback:
					if string(x.Result) != `{"n":2}` || x.AgeSeconds != old.Seconds() || x.Confidence != 0.25 {
						t.Errorf("got %+v", x)
					}
				case messages.ExecutionFailed, messages.ExecutionDenied:
					if x.Result != nil {
						t.Errorf("a failed execution has the result %s", x.Result)
					}
				}
			})
		})
	}
}

func TestAnActionNobodyHasIsDenied(t *testing.T) {
	f := actions.New(actions.Options{Functions: map[string]actions.Function{"x": good(1)}})
	defer f.Close()
	x, _ := f.Execute(key, 0, flow.Asker{}, flow.Agreement{Action: "y"})
	if x == nil || x.Mode != messages.ExecutionDenied || !strings.Contains(x.Because, `"y" is none of x`) {
		t.Errorf("got %+v", x)
	}
}

func TestAnEpochIsCarriedOutOnceAndFewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var now, peak, all int
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			now, all = now+n, all+max(n, 0)
			peak = max(peak, now)
		}
		f := actions.New(actions.Options{AtOnce: 2, Functions: map[string]actions.Function{"x": func(context.Context, actions.Order) (actions.Measured, error) {
			count(1)
			defer count(-1)
			time.Sleep(time.Second)
			return actions.Measured{Document: 1}, nil
		}}})
		defer f.Close()
		a := flow.Agreement{Action: "x"}
		for range 3 {
			for epoch := range 6 {
				if x, _ := f.Execute(key, epoch, flow.Asker{}, a); x != nil {
					t.Fatalf("epoch %d ended at once", epoch)
				}
			}
			synctest.Wait()
		}
		for epoch := range 6 {
			_, done := f.Execute(key, epoch, flow.Asker{}, a)
			if done != nil {
				<-done
			}
			if x, _ := f.Execute(key, epoch, flow.Asker{}, a); x == nil || x.Mode != messages.ExecutionReal {
				t.Errorf("epoch %d: %+v", epoch, x)
			}
		}
		if peak != 2 || all != 6 {
			t.Errorf("%d at once, %d in all", peak, all)
		}
	})
}

func TestClosingCancelsWhatIsCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := actions.New(actions.Options{Functions: map[string]actions.Function{"x": func(ctx context.Context, _ actions.Order) (actions.Measured, error) {
			<-ctx.Done()
			return actions.Measured{}, ctx.Err()
		}}})
		_, done := f.Execute(key, 0, flow.Asker{}, flow.Agreement{Action: "x"})
		synctest.Wait()
		f.Close()
		<-done
		if x, d := f.Execute(messages.Key{Tenant: "acme", ID: "late"}, 0, flow.Asker{}, flow.Agreement{Action: "x"}); x != nil || d == nil {
			t.Errorf("a closed floor began %+v", x)
		}
	})
}

func TestClosingDoesNotWaitForAnActionThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		core, logs := observer.New(zap.ErrorLevel)
		f := actions.New(actions.Options{Logger: zap.New(core), Functions: map[string]actions.Function{
			"deaf": func(context.Context, actions.Order) (actions.Measured, error) {
				<-release
				return actions.Measured{Document: 1}, nil
			},
			"obedient": func(ctx context.Context, _ actions.Order) (actions.Measured, error) {
				<-ctx.Done()
				return actions.Measured{}, ctx.Err()
			},
		}})
		_, deaf := f.Execute(key, 0, flow.Asker{}, flow.Agreement{Action: "deaf"})
		f.Execute(key, 1, flow.Asker{}, flow.Agreement{Action: "obedient"})
		synctest.Wait()
		began := time.Now()
		f.Close()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("closing took %s", took)
		}
		<-deaf // its execution has ended all the same
		if all := logs.All(); len(all) != 1 || fmt.Sprint(all[0].ContextMap()) != "map[actions:[deaf]]" {
			t.Errorf("the log has %+v", all)
		}
		close(release)
	})
}

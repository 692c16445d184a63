package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
	"flowgate/worker"
)

// fallback is what stands in for an execution that failed: the action that the agreement names for that, if the deployment has one of that
// name, else, or where that fails too, the newest measured result of the same action with the same parameters, if the agreement allows one
// so old.
func (f *Floor) fallback(x messages.Execution, o Order, why error) messages.Execution {
	a := o.Agreement
	if function, has := f.opts.Functions[a.Fallback]; has && a.Fallback != a.Action {
		stands, err := f.standIn(x, o, function)
		if err == nil {
			stands.Because = why.Error()
			return stands
		}
		if refused, is := errors.AsType[*RefusedError](err); is {
			x.Mode, x.Because, x.Reason = messages.ExecutionDenied, err.Error(), refused.Reason
			return x
		}
		why = fmt.Errorf("%w; its fallback %s failed too: %w", why, a.Fallback, err)
	}
	old, age, err := f.newest(x, o.Tenant, a)
	if err != nil {
		x.Mode, x.Because = messages.ExecutionFailed, why.Error()+"; "+err.Error()
		return x
	}
	x.Mode, x.Because = messages.ExecutionFallback, why.Error()
	x.Result, x.Samples, x.Confidence, x.MeasuredAt, x.AgeSeconds = old.Result, old.Samples, old.Confidence, old.MeasuredAt, age.Seconds()
	x.Figures = builtIn(a.Action)
	return x
}

// standIn carries the fallback out, with those of the parameters that it has.
func (f *Floor) standIn(x messages.Execution, o Order, function Function) (messages.Execution, error) {
	o.Agreement.Action = o.Agreement.Fallback
	if known, says := f.opts.Parameters[o.Agreement.Action]; says {
		o.Agreement.Parameters = maps.Clone(o.Agreement.Parameters)
		maps.DeleteFunc(o.Agreement.Parameters, func(name string, _ any) bool {
			return !slices.ContainsFunc(known, func(p templates.Parameter) bool { return p.Name == name })
		})
	}
	if err := f.usable(o.Agreement); err != nil {
		return x, err
	}
	began := f.opts.Now()
	result, m, err := f.measure(o, function)
	if err != nil {
		f.opts.Logger.Warn("carrying out the fallback of an action", zap.String("action", o.Agreement.Action), zap.String("trigger", o.Agreement.Trigger), zap.Error(err))
		return x, err
	}
	x.Mode, x.Fallback, x.Seconds = messages.ExecutionFallback, o.Agreement.Action, x.Seconds+f.opts.Now().Sub(began).Seconds()
	x.Result, x.Samples, x.Confidence, x.MeasuredAt = result, m.Samples, m.Confidence, began.UTC()
	x.Figures = builtIn(o.Agreement.Action)
	return x, nil
}

// newest is the newest measured result of an agreement's action, and its age.
func (f *Floor) newest(x messages.Execution, tenant string, a flow.Agreement) (old messages.Execution, age time.Duration, err error) {
	if a.FallbackAgeSeconds <= 0 || f.opts.History == nil {
		return old, 0, errors.New("the agreement allows no older result to stand in")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), 5*time.Second)
	defer cancel()
	now := f.opts.Now()
	old, err = f.opts.History.NewestExecution(ctx, tenant, a.Trigger, a.Action, x.ParametersDigest, now.Add(-time.Duration(a.FallbackAgeSeconds*float64(time.Second))))
	switch {
	case errors.Is(err, worker.ErrNotFound):
		return old, 0, errors.New("nothing was measured that is young enough to stand in")
	case err != nil:
		f.opts.Logger.Warn("reading what an action measured before", zap.String("action", a.Action), zap.Error(err))
		return old, 0, errors.New("what was measured before cannot be read")
	}
	if age = max(now.Sub(old.MeasuredAt), 0); age.Seconds() > a.FallbackAgeSeconds {
		return old, 0, fmt.Errorf("the newest measured result is %s old, the agreement allows %s", age.Round(time.Second), time.Duration(a.FallbackAgeSeconds)*time.Second)
	}
	return old, age, nil
}

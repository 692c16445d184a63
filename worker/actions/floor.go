package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
)

// Order is what a function is asked.
type Order struct {
	messages.Key
	flow.Asker

	Epoch     int
	Agreement flow.Agreement
	// Now is when it is carried out, Location the time zone of days.
	Now      time.Time
	Location *time.Location

	seal  flow.Seal
	chain Chain
}

// Measured is what a function found.
type Measured struct {
	// Document is the result: JSON in the end.
	Document any
	// Samples are what it rests on, Confidence says how far, from 0 to 1.
	Samples    int64
	Confidence float64
}

// ParameterError is what is wrong with a parameter. What was measured with others does not stand in for it.
type ParameterError struct {
	Parameter string
	// Rule is what it does not meet.
	Rule string
}

func (e *ParameterError) Error() string { return "parameter " + e.Parameter + " " + e.Rule }

// Function carries out an action. It MUST end soon after ctx has.
type Function func(ctx context.Context, o Order) (Measured, error)

// History has what was measured before.
type History interface {
	// NewestExecution is the newest real execution of an agreement's action in a tenant that has ended since, with parameters of that
	// digest, or worker.ErrNotFound.
	NewestExecution(ctx context.Context, tenant, trigger, action, parameters string, since time.Time) (messages.Execution, error)
}

// Options are what a floor needs.
type Options struct {
	// Functions are by the name that agreements' actions have.
	Functions map[string]Function
	// Parameters are those of functions, by name: others are refused, and so are values of another type. A function that is not there
	// looks itself.
	Parameters map[string][]templates.Parameter
	// Chain is what Order.Ask asks.
	Chain   Chain
	History History
	// Seal is what proves to layer 1 that an action asks.
	Seal func(ctx context.Context) (flow.Seal, error)
	// AtOnce bounds those that are carried out at the same time (default 2): they are load.
	AtOnce int
	// Longest bounds each whose agreement names no SLA (default 5 m).
	Longest  time.Duration
	Location *time.Location
	Now      func() time.Time
	Logger   *zap.Logger
}

// most bounds what is being carried out, waits, or has ended and was not asked for again.
const most = 200

// maxBecause bounds the words of why an execution is not real, in bytes.
const maxBecause = 1000

// forget is when an execution is forgotten: its outcome was published, or its request goes on elsewhere.
const forget = 2 * time.Minute

// Floor carries out actions. Its methods may be called from everywhere.
type Floor struct {
	opts  Options
	slots chan struct{}
	ctx   context.Context //nolint:containedctx // that of all executions: they outlive the call that orders them
	stop  context.CancelFunc
	going sync.WaitGroup

	mu   sync.Mutex
	runs map[id]*run
	// inside counts the functions that have not returned, by name.
	inside map[string]int
}

type id struct {
	messages.Key

	epoch int
}

// run is one execution; done is closed when it has ended, and out is set before.
type run struct {
	done  chan struct{}
	out   messages.Execution
	ended time.Time
}

// New makes a floor. Close ends it.
func New(opts Options) *Floor {
	if opts.AtOnce <= 0 {
		opts.AtOnce = 2
	}
	if opts.Longest <= 0 {
		opts.Longest = 5 * time.Minute
	}
	if opts.Location == nil {
		opts.Location = time.UTC
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Floor{opts: opts, slots: make(chan struct{}, opts.AtOnce), ctx: ctx, stop: stop, runs: make(map[id]*run), inside: make(map[string]int)}
}

// closePatience bounds the wait for functions that do not obey their context.
const closePatience = 5 * time.Second

// Close cancels what is being carried out and waits for its end. Functions that have not returned after closePatience are named in the
// log and left to themselves: the process ends without them.
func (f *Floor) Close() {
	f.mu.Lock() // nothing begins from here on
	f.stop()
	f.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.going.Wait()
	}()
	late := time.NewTimer(closePatience)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		f.mu.Lock()
		hang := slices.Sorted(maps.Keys(f.inside))
		f.mu.Unlock()
		f.opts.Logger.Error("actions did not end when they were cancelled: the process goes on without them", zap.Strings("actions", hang))
	}
}

// call calls a function, and counts it as inside meanwhile.
func (f *Floor) call(ctx context.Context, o Order, function Function) (Measured, error) {
	count := func(n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.inside[o.Agreement.Action] += n; f.inside[o.Agreement.Action] == 0 {
			delete(f.inside, o.Agreement.Action)
		}
	}
	count(1)
	defer count(-1)
	return guarded(ctx, o, function)
}

// Actions names the functions, sorted.
func (f *Floor) Actions() []string {
	names := make([]string, 0, len(f.opts.Functions))
	for name := range f.opts.Functions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Execute carries an epoch's action out, once in this process: the first call begins it, those after it find it again. A nil execution
// means that it has not ended yet: done closes then, or never.
func (f *Floor) Execute(key messages.Key, epoch int, by flow.Asker, a flow.Agreement) (x *messages.Execution, done <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := id{key, epoch}
	r, known := f.runs[at]
	if known {
		select {
		case <-r.done:
			return &r.out, nil
		default:
			return nil, r.done
		}
	}
	f.sweep()
	function, has := f.opts.Functions[a.Action]
	switch {
	case !has:
		return &messages.Execution{
			Action: a.Action, Version: a.Version, Mode: messages.ExecutionDenied,
			Because: fmt.Sprintf("the action %.60q is none of %s", a.Action, strings.Join(f.Actions(), ", ")),
		}, nil
	case f.ctx.Err() != nil || f.running() >= most:
		return nil, f.ctx.Done() // later, or elsewhere
	}
	r = &run{done: make(chan struct{})}
	f.runs[at] = r
	f.going.Go(func() {
		out := f.carryOut(Order{Key: key, Asker: by, Epoch: epoch, Agreement: a, Location: f.opts.Location}, function)
		f.mu.Lock()
		defer f.mu.Unlock()
		out.Because = strings.ToValidUTF8(out.Because[:min(len(out.Because), maxBecause)], "")
		r.out, r.ended = out, f.opts.Now()
		close(r.done)
	})
	return nil, r.done
}

// running counts what has not ended.
func (f *Floor) running() int {
	n := 0
	for _, r := range f.runs {
		if r.ended.IsZero() {
			n++
		}
	}
	return n
}

// sweep forgets what ended a while ago.
func (f *Floor) sweep() {
	now := f.opts.Now()
	for at, r := range f.runs {
		if !r.ended.IsZero() && now.Sub(r.ended) > forget {
			delete(f.runs, at)
		}
	}
}

// carryOut waits for a slot and lets the function measure; where it does not, the fallback stands in.
func (f *Floor) carryOut(o Order, function Function) messages.Execution {
	a := o.Agreement
	began := f.opts.Now()
	o.Now, o.chain = began, f.opts.Chain
	x := messages.Execution{Action: a.Action, Version: a.Version, Mode: messages.ExecutionReal}
	var result json.RawMessage
	var m Measured
	err := f.usable(a)
	if err == nil {
		err = f.sealed(&o)
	}
	if err == nil {
		x.ParametersDigest = digestOf(a.Parameters, o.seal)
		result, m, err = f.measure(o, function)
	}
	now := f.opts.Now()
	x.Seconds = now.Sub(began).Seconds()
	if err == nil {
		x.Result, x.Samples, x.Confidence, x.MeasuredAt = result, m.Samples, m.Confidence, began.UTC()
		x.Figures = builtIn(a.Action)
		return x
	}
	if wrongParameters(err) { // its words are the asker's: they are not for the log
		x.Mode, x.Because = messages.ExecutionFailed, err.Error()
		return x
	}
	f.opts.Logger.Warn("carrying out an action", zap.String("action", a.Action), zap.String("trigger", a.Trigger), zap.Error(err))
	if refused, is := errors.AsType[*RefusedError](err); is {
		x.Mode, x.Because, x.Reason = messages.ExecutionDenied, err.Error(), refused.Reason
		return x
	}
	return f.fallback(x, o, err)
}

// bound is how long an action may take.
func (f *Floor) bound(a flow.Agreement) time.Duration {
	if a.SLASeconds > 0 {
		return time.Duration(a.SLASeconds * float64(time.Second))
	}
	return f.opts.Longest
}

// longestQueue bounds the wait of an action for those before it.
const longestQueue = 15 * time.Minute

// MaxResultBytes bounds the document of a result.
const MaxResultBytes = 64 << 10

// measure calls the function in a goroutine of its own, and checks what comes of it. One that does not end after its time is left to
// itself: it holds its slot until it does.
func (f *Floor) measure(o Order, function Function) (json.RawMessage, Measured, error) {
	queue := time.NewTimer(longestQueue)
	defer queue.Stop()
	select {
	case f.slots <- struct{}{}:
	case <-queue.C:
		return nil, Measured{}, fmt.Errorf("it did not begin within %s: others are being carried out", longestQueue)
	case <-f.ctx.Done():
		return nil, Measured{}, errors.New("the process ends")
	}
	ctx, cancel := context.WithTimeout(f.ctx, f.bound(o.Agreement))
	defer cancel()
	type outcome struct {
		m   Measured
		err error
	}
	out := make(chan outcome, 1)
	f.going.Go(func() {
		defer func() { <-f.slots }()
		m, err := f.call(ctx, o, function)
		out <- outcome{m, err}
	})
	select {
	case got := <-out:
		if got.err != nil {
			return nil, Measured{}, got.err
		}
		data, err := checked(got.m)
		return data, got.m, err
	case <-ctx.Done():
		return nil, Measured{}, fmt.Errorf("it did not end within %s", f.bound(o.Agreement))
	}
}

// sealed gives an order what its questions prove with; without it layer 1 refuses them.
func (f *Floor) sealed(o *Order) (err error) {
	if f.opts.Seal == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
	defer cancel()
	if o.seal, err = f.opts.Seal(ctx); err != nil {
		f.opts.Logger.Warn("reading the seal of actions", zap.Error(err))
		return errors.New("the seal of actions cannot be read")
	}
	return nil
}

// guarded turns a panic into an error; its stack goes to no result.
func guarded(ctx context.Context, o Order, function Function) (m Measured, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("it panicked")
		}
	}()
	return function(ctx, o)
}

// checked demands a result that rests on something.
func checked(m Measured) (json.RawMessage, error) {
	switch {
	case m.Document == nil:
		return nil, errors.New("it measured nothing")
	case math.IsNaN(m.Confidence) || m.Confidence < 0 || m.Confidence > 1 || m.Samples < 0:
		return nil, errors.New("its confidence is none")
	}
	data, err := json.Marshal(m.Document)
	switch {
	case err != nil:
		return nil, fmt.Errorf("encoding its result: %w", err)
	case len(data) > MaxResultBytes:
		return nil, fmt.Errorf("its result has %d bytes, may have %d", len(data), MaxResultBytes)
	}
	return data, nil
}

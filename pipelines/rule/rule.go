// Package rule compiles expressions over typed facts: CEL (cel.dev/cel-go), bounded in what an evaluation may cost, and true or
// false and nothing else. Policies and controls are made of them.
package rule

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Bounds of an expression.
const (
	// MaxBytes is how long it may be.
	MaxBytes = 4 << 10
	// MostCost is what evaluating it once may cost, in CEL's units: about one a step.
	MostCost = 10_000
	// maxText is how long a fact that is a text can be, in bytes.
	maxText = 1024
)

// Fact is a fact as an expression sees it.
type Fact[F any] struct {
	Name string
	Kind *cel.Type
	// Of reads it.
	Of func(*F) ref.Val
	// Does says what it is.
	Does string
	// Most is how many entries a list or map can have.
	Most uint64
}

// Text is a fact that is a text.
func Text[F any](name, does string, of func(*F) string) Fact[F] {
	return Fact[F]{Name: name, Kind: cel.StringType, Of: func(f *F) ref.Val { return types.String(of(f)) }, Does: does}
}

// Number is a whole number.
func Number[F any](name, does string, of func(*F) int64) Fact[F] {
	return Fact[F]{Name: name, Kind: cel.IntType, Of: func(f *F) ref.Val { return types.Int(of(f)) }, Does: does}
}

// Real is a number with a fraction.
func Real[F any](name, does string, of func(*F) float64) Fact[F] {
	return Fact[F]{Name: name, Kind: cel.DoubleType, Of: func(f *F) ref.Val { return types.Double(of(f)) }, Does: does}
}

// Truth is true or false.
func Truth[F any](name, does string, of func(*F) bool) Fact[F] {
	return Fact[F]{Name: name, Kind: cel.BoolType, Of: func(f *F) ref.Val { return types.Bool(of(f)) }, Does: does}
}

// Texts is a list of texts, at most so many.
func Texts[F any](name, does string, most uint64, of func(*F) []string) Fact[F] {
	return Fact[F]{Name: name, Kind: cel.ListType(cel.StringType), Does: does, Most: most, Of: func(f *F) ref.Val {
		return types.DefaultTypeAdapter.NativeToValue(of(f))
	}}
}

// Counts is a number for each of some names, at most so many.
func Counts[F any](name, does string, most uint64, of func(*F) map[string]int64) Fact[F] {
	return Fact[F]{Name: name, Kind: cel.MapType(cel.StringType, cel.IntType), Does: does, Most: most, Of: func(f *F) ref.Val {
		return types.DefaultTypeAdapter.NativeToValue(of(f))
	}}
}

// Moment is a point in time.
func Moment[F any](name, does string, of func(*F) time.Time) Fact[F] {
	return Fact[F]{Name: name, Kind: cel.TimestampType, Does: does, Of: func(f *F) ref.Val { return types.Timestamp{Time: of(f)} }}
}

// Language is the facts that expressions may speak of. It is safe for concurrent use.
type Language[F any] struct {
	env   *cel.Env
	facts []Fact[F]
	// at has the place of a fact by its name, most how many entries it can have.
	at   map[string]int
	most map[string]uint64
	free sync.Pool
}

// New declares facts.
func New[F any](facts []Fact[F]) (*Language[F], error) {
	l := &Language[F]{facts: facts, at: make(map[string]int, len(facts)), most: make(map[string]uint64)}
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(50), cel.ParserExpressionSizeLimit(MaxBytes), cel.DefaultUTCTimeZone(true),
	}
	for i, f := range facts {
		options = append(options, cel.Variable(f.Name, f.Kind))
		l.at[f.Name] = i
		if f.Most > 0 {
			l.most[f.Name] = f.Most
		}
	}
	var err error
	if l.env, err = cel.NewEnv(options...); err != nil {
		return nil, fmt.Errorf("declaring the facts: %w", err)
	}
	return l, nil
}

// Info tells people of a fact.
type Info struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Does string `json:"does"`
}

// Infos tells people of facts.
func Infos[F any](facts []Fact[F]) []Info {
	list := make([]Info, len(facts))
	for i, f := range facts {
		list[i] = Info{f.Name, f.Kind.String(), f.Does}
	}
	return list
}

// Expression is a compiled one. It is safe for concurrent use.
type Expression[F any] struct {
	// program is not counted while it runs: it cannot cost more than was estimated, as long as facts are no larger than was assumed.
	program cel.Program
	// counted is stopped at MostCost.
	counted cel.Program
}

// Compile refuses what is no expression of type bool, and what could cost more than MostCost.
func (l *Language[F]) Compile(text string) (Expression[F], error) {
	var e Expression[F]
	ast, issues := l.env.Compile(text)
	if err := issues.Err(); err != nil {
		return e, err
	}
	if ast.OutputType() != cel.BoolType {
		return e, fmt.Errorf("must be true or false, is of type %s", ast.OutputType())
	}
	estimate, err := l.env.EstimateCost(ast, sizes(l.most))
	if err != nil {
		return e, fmt.Errorf("estimating what it costs: %w", err)
	}
	if estimate.Max > MostCost {
		return e, fmt.Errorf("could cost %d steps, may cost %d: bound what it loops over", estimate.Max, MostCost)
	}
	if e.program, err = l.env.Program(ast, cel.EvalOptions(cel.OptOptimize)); err != nil {
		return e, err
	}
	e.counted, err = l.env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(MostCost))
	return e, err
}

// Holds evaluates it. An error says nothing of who reads it may not know, but it may hold what was asked.
func (e Expression[F]) Holds(facts *Bound[F]) (bool, error) {
	if e.program == nil {
		return false, errors.New("there is no expression")
	}
	facts.larger, facts.any = false, false
	value, _, err := e.program.Eval(facts)
	if facts.larger {
		facts.any = true
		value, _, err = e.counted.Eval(facts)
	}
	if err != nil {
		return false, err
	}
	holds, is := value.Value().(bool)
	if !is {
		return false, fmt.Errorf("gave %s, must give true or false", value.Type())
	}
	return holds, nil
}

// sizes tells how large facts can be, by the most entries of lists and maps.
type sizes map[string]uint64

// EstimateSize makes it a cost.Estimator.
func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	if most, many := s[path[0]]; many && len(path) == 1 {
		return &cost.SizeEstimate{Max: most}
	}
	return &cost.SizeEstimate{Max: maxText}
}

// EstimateCallCost leaves calls to the standard.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// Bound are the facts of one request as expressions see them, each read once. It is for one goroutine.
type Bound[F any] struct {
	facts    F
	language *Language[F]
	values   []ref.Val
	// larger: something was asked for that is larger than was assumed; any: it may be.
	larger, any bool
}

// Bind makes facts ready for expressions of the language. What they point to MUST NOT change while it is used.
func (l *Language[F]) Bind(facts *F) *Bound[F] {
	b, used := l.free.Get().(*Bound[F])
	if !used {
		b = &Bound[F]{language: l, values: make([]ref.Val, len(l.facts))}
	}
	b.facts = *facts
	return b
}

// Release ends its use: it MUST NOT be used after.
func (b *Bound[F]) Release() {
	var none F
	b.facts = none
	clear(b.values)
	b.language.free.Put(b)
}

// Parent makes it a cel.Activation.
func (*Bound[F]) Parent() cel.Activation { return nil }

// ResolveName gives the fact of a name.
func (b *Bound[F]) ResolveName(name string) (any, bool) {
	at, known := b.language.at[name]
	if !known {
		return nil, false
	}
	value := b.value(at)
	if !b.any && b.language.exceeds(at, value) {
		b.larger = true
		return types.NewErr("%s is larger than it may be", name), true
	}
	return value, true
}

// Value is the fact of a name that is one of the language's: a string, int64, float64, bool, time.Time, []string or
// map[string]int64; nil for any other name.
func (b *Bound[F]) Value(name string) any {
	at, known := b.language.at[name]
	if !known {
		return nil
	}
	return b.value(at).Value()
}

func (b *Bound[F]) value(at int) ref.Val {
	if b.values[at] == nil {
		b.values[at] = b.language.facts[at].Of(&b.facts)
	}
	return b.values[at]
}

// exceeds tells whether a fact is larger than costs are estimated with.
func (l *Language[F]) exceeds(at int, value ref.Val) bool {
	if text, is := value.(types.String); is {
		return len(text) > maxText
	}
	sized, is := value.(traits.Sizer)
	if !is {
		return false
	}
	n, is := sized.Size().(types.Int)
	return !is || uint64(n) > l.facts[at].Most //nolint:gosec // a size
}

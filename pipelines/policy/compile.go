package policy

import (
	"errors"
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
)

// MostCost bounds what evaluating one rule may cost, in CEL's units: about one a step.
const MostCost = 10_000

// Policy is a compiled bundle. It is safe for concurrent use. A nil one denies nothing.
type Policy struct {
	bundle  Bundle
	version string
	rules   []compiled
	of      map[string]func(*Facts) any
}

type compiled struct {
	Rule

	program cel.Program
}

// Compile compiles a bundle. Its error joins every *Fault.
func Compile(b Bundle) (*Policy, error) {
	faults := b.check()
	env, of, err := environment()
	if err != nil {
		return nil, err
	}
	p := &Policy{bundle: b, version: b.Version(), of: of}
	for i, r := range b.Rules {
		program, err := compile(env, r.When)
		if err != nil {
			faults = append(faults, fault(fmt.Sprintf("rules[%d].when", i), "%v", err))
			continue
		}
		p.rules = append(p.rules, compiled{r, program})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return p, nil
}

// environment declares the facts.
func environment() (*cel.Env, map[string]func(*Facts) any, error) {
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(50), cel.ParserExpressionSizeLimit(MaxExpression), cel.DefaultUTCTimeZone(true),
	}
	of := make(map[string]func(*Facts) any)
	for _, v := range variables() {
		options = append(options, cel.Variable(v.name, v.kind))
		of[v.name] = v.of
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, nil, fmt.Errorf("declaring the facts: %w", err)
	}
	return env, of, nil
}

func compile(env *cel.Env, expression string) (cel.Program, error) {
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("must be true or false, is of type %s", ast.OutputType())
	}
	estimate, err := env.EstimateCost(ast, sizes{})
	if err != nil {
		return nil, fmt.Errorf("estimating what it costs: %w", err)
	}
	if estimate.Max > MostCost {
		return nil, fmt.Errorf("could cost %d steps, may cost %d: bound what it loops over", estimate.Max, MostCost)
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(MostCost))
	if err != nil {
		return nil, err
	}
	return program, nil
}

// sizes tells how large facts can be.
type sizes struct{}

// EstimateSize makes it a cost.Estimator.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	text := cost.SizeEstimate{Max: maxTextFact}
	switch {
	case path[0] == "findings" && len(path) == 1:
		return &cost.SizeEstimate{Max: maxFindings}
	case path[0] == "data" && len(path) == 1:
		return &cost.SizeEstimate{Max: maxData}
	}
	return &text
}

// EstimateCallCost leaves calls to the standard.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// Bundle is what was compiled, Version its name; both are empty of a nil policy.
func (p *Policy) Bundle() Bundle {
	if p == nil {
		return Bundle{}
	}
	return p.bundle
}

// Version names the policy by its content; empty: there is none.
func (p *Policy) Version() string {
	if p == nil {
		return ""
	}
	return p.version
}

// Outcome is what a policy decided.
type Outcome struct {
	// Denied is the first rule, in the bundle's order, that denies; empty: none.
	Denied string
	// Because is what the rule says.
	Because string
	// Failed is set where the rule could not be evaluated, which denies.
	Failed error
	// Flagged are the rules that flag.
	Flagged []string
}

// Decide judges by every rule. What cannot be evaluated denies.
func (p *Policy) Decide(f *Facts) Outcome {
	var out Outcome
	if p == nil {
		return out
	}
	facts := activation{f, p.of}
	for i := range p.rules {
		r := &p.rules[i]
		value, _, err := r.program.Eval(facts)
		holds := false
		if err == nil {
			var is bool
			if holds, is = value.Value().(bool); !is {
				err = fmt.Errorf("gave %s, must give true or false", value.Type())
			}
		}
		switch {
		case err != nil && out.Denied == "":
			out.Denied, out.Failed = r.ID, err
		case !holds:
		case r.Effect == EffectFlag:
			out.Flagged = append(out.Flagged, r.ID)
		case out.Denied == "":
			out.Denied, out.Because = r.ID, r.Because
		}
	}
	return out
}

// activation gives expressions the facts that they ask for.
type activation struct {
	facts *Facts
	of    map[string]func(*Facts) any
}

// Parent makes it a cel.Activation.
func (activation) Parent() cel.Activation { return nil }

// ResolveName gives the fact of a name.
func (a activation) ResolveName(name string) (any, bool) {
	get, known := a.of[name]
	if !known {
		return nil, false
	}
	return get(a.facts), true
}

// CaseResult is how a case went.
type CaseResult struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Denied and Flagged are what was decided, Want... what the case demands.
	Denied      string   `json:"denied,omitempty"`
	Flagged     []string `json:"flagged,omitempty"`
	WantDenied  string   `json:"want_denied,omitempty"`
	WantFlagged []string `json:"want_flagged,omitempty"`
	// Error is why a rule could not be evaluated.
	Error string `json:"error,omitempty"`
}

// Test runs the bundle's own cases.
func (p *Policy) Test() []CaseResult { return p.TestCases(p.Bundle().Cases) }

// TestCases runs cases, of this bundle or of another.
func (p *Policy) TestCases(cases []Case) []CaseResult {
	all := make([]CaseResult, len(cases))
	for i := range cases {
		c := &cases[i]
		out := p.Decide(&c.Facts)
		all[i] = CaseResult{Name: c.Name, Denied: out.Denied, Flagged: out.Flagged, WantDenied: c.Denied, WantFlagged: c.Flagged}
		if out.Failed != nil {
			all[i].Error = out.Failed.Error()
		}
		all[i].OK = out.Failed == nil && out.Denied == c.Denied && slices.Equal(sorted(out.Flagged), sorted(c.Flagged))
	}
	return all
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

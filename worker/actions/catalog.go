package actions

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"flowgate/pipelines/templates"
)

// Kind says where an action comes from.
type Kind string

// The kinds.
const (
	KindBuiltIn  Kind = "built_in"
	KindGo       Kind = "go"
	KindTemplate Kind = "template"
)

// Ask is the action of agreements that have none: only requests with a prompt run under them. No action has that name.
const Ask = "ask"

// About is what people have to know of an action.
type About struct {
	Name        string                `json:"name"`
	Kind        Kind                  `json:"kind"`
	Description string                `json:"description"`
	Parameters  []templates.Parameter `json:"parameters"`
}

// Own is an action of a deployment in Go.
type Own struct {
	// Name is what agreements call it: a-z, 0-9 and _, a letter first.
	Name        string
	Description string
	// Parameters are checked before Function is called; others are refused.
	Parameters []templates.Parameter
	Function   Function
}

// BuiltIn lists the actions that the product has. They look at their parameters' bounds themselves.
func BuiltIn() []About {
	whole := func(name, description string) templates.Parameter {
		return templates.Parameter{Name: name, Type: templates.Integer, Description: description}
	}
	text := func(name, description string) templates.Parameter {
		return templates.Parameter{Name: name, Type: templates.Text, Description: description, MaxLength: templates.MaxLength}
	}
	asks := []templates.Parameter{
		text("prompt", "what each request asks (default: Say OK.)"), text("model", "model id or alias (default: the deployment's)"),
		whole("max_tokens", "bound of each answer, 1 to 1000 (default 16)"),
	}
	days := []templates.Parameter{whole("days", "how far back it looks, 1 to 366 (default 30)")}
	about := func(name, description string, parameters ...templates.Parameter) About {
		return About{Name: name, Kind: KindBuiltIn, Description: description, Parameters: append([]templates.Parameter{}, parameters...)}
	}
	return []About{
		about(CostAnalysisAction, "what the tenant's requests cost, by model, user, department and day, with savings", days...),
		about(ErrorAnalysisAction, "what failed, by class, backend and layer, with trends", days...),
		about(IntegrationTestAction, "asks every service, and the whole chain with one request", asks...),
		about(PerformanceTestAction, "sends a bounded load through the chain and tells the quantiles", append([]templates.Parameter{
			whole("requests", "1 to 500 (default 20)"), whole("at_once", "1 to 64 (default 4)"),
		}, asks...)...),
		about(ScalabilityTestAction, "doubles the requests at once until that brings nothing, and tells the knee", append([]templates.Parameter{
			whole("least_at_once", "the first step, 1 to 128 (default 1)"), whole("most_at_once", "2 to 256 (default 64)"), whole("requests_each", "for each of those at once, 1 to 20 (default 3)"),
			whole("latency_factor", "how many times longer the slowest may take, 2 to 100 (default 10)"),
		}, asks...)...),
		about(SecurityTestAction, "audits this deployment: rights, encryption, secrets, file modes, the record"),
	}
}

// builtIn says whether the product has an action of that name: what it measures is figures.
func builtIn(name string) bool {
	return slices.ContainsFunc(BuiltIn(), func(a About) bool { return a.Name == name })
}

// Catalog lists all actions of a deployment, by name. A name that is there twice, or is none, is an error, and so is an own action that does
// nothing or has wrong parameters.
func Catalog(own []Own, made []*templates.Template) ([]About, error) {
	all := BuiltIn()
	var faults []error
	for _, o := range own {
		_, err := templates.New(templates.Template{
			Name: o.Name, Description: o.Description, Parameters: o.Parameters, Steps: []templates.Step{{Name: templates.OnlyStep, Prompt: "none"}},
		})
		if err == nil && o.Function == nil {
			err = errors.New("it has no function")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("own action %.80q: %w", o.Name, err))
		}
		all = append(all, About{Name: o.Name, Kind: KindGo, Description: o.Description, Parameters: append([]templates.Parameter{}, o.Parameters...)})
	}
	for _, t := range made {
		all = append(all, About{Name: t.Name, Kind: KindTemplate, Description: t.Description, Parameters: append([]templates.Parameter{}, t.Parameters...)})
	}
	slices.SortStableFunc(all, func(a, b About) int { return cmp.Compare(a.Name, b.Name) })
	for i, a := range all {
		switch {
		case a.Name == Ask:
			faults = append(faults, fmt.Errorf("action %s: the name says that an agreement has none", a.Name))
		case i > 0 && all[i-1].Name == a.Name:
			faults = append(faults, fmt.Errorf("action %s is there twice: as %s and as %s", a.Name, all[i-1].Kind, a.Kind))
		}
	}
	return all, errors.Join(faults...)
}

// ParametersOf are the parameters of a catalog's actions, for Options.
func ParametersOf(catalog []About) map[string][]templates.Parameter {
	all := make(map[string][]templates.Parameter, len(catalog))
	for _, a := range catalog {
		all[a.Name] = a.Parameters
	}
	return all
}

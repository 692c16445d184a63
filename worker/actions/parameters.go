package actions

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
)

// unusableError is of an order whose parameters are not those of its action: nothing was asked, and no older result stands in.
type unusableError struct{ error }

// wrongParameters tells errors of parameters from those of measuring.
func wrongParameters(err error) bool {
	_, one := errors.AsType[*ParameterError](err)
	_, all := errors.AsType[*unusableError](err)
	return one || all
}

// usable refuses parameters that an action does not have.
func (f *Floor) usable(a flow.Agreement) error {
	parameters, known := f.opts.Parameters[a.Action]
	if !known {
		return nil
	}
	if _, err := templates.Bind(parameters, a.Parameters); err != nil {
		return &unusableError{fmt.Errorf("action %s: %w", a.Action, err)}
	}
	return nil
}

// digestOf tells parameters from others. Without the seal nobody can find out what they are by trying.
func digestOf(parameters map[string]any, seal flow.Seal) string {
	if len(parameters) == 0 {
		return ""
	}
	data, err := json.Marshal(parameters)
	if err != nil { // they came as JSON
		return "unknown"
	}
	return seal.Name("parameters of an action", string(data))
}

// Number is a whole number among an order's parameters, or what stands in for it.
func (o Order) Number(name string, without, least, most int) (int, error) {
	said := o.Agreement.Parameters[name]
	if said == nil {
		return without, nil
	}
	n, is := templates.NumberOf(said)
	if !is || n != math.Trunc(n) || n < float64(least) || n > float64(most) {
		return 0, &ParameterError{name, fmt.Sprintf("must be a whole number from %d to %d", least, most)}
	}
	return int(n), nil
}

// Text is a text among an order's parameters, or what stands in for it. A number is one as it was written.
func (o Order) Text(name, without string) (string, error) {
	switch said := o.Agreement.Parameters[name].(type) {
	case nil:
		return without, nil
	case string:
		return said, nil
	case json.Number:
		return said.String(), nil
	}
	return "", &ParameterError{name, "must be a text"}
}

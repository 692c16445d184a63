package backends

import (
	"errors"
	"fmt"
	"math"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// checkCall tells whether a call can be asked at all. What settings have to judge was judged before.
func checkCall(call *ai.Call) *ai.Fault {
	bad := func(field, rule string) *ai.Fault {
		return &ai.Fault{Class: ai.ClassInvalid, Code: "bad_call", Detail: field + ": " + rule}
	}
	switch {
	case call.Model == "":
		return bad("model", "is required")
	case call.Kind == messages.KindEmbedding:
		if len(call.Input) == 0 {
			return bad("input", "must hold at least one text")
		}
		return nil
	case len(call.Messages) == 0:
		return bad("messages", "must hold at least one")
	case call.MaxTokens < 1:
		return bad("max_tokens", "must be at least 1")
	case math.IsNaN(call.Temperature) || math.IsInf(call.Temperature, 0):
		return bad("temperature", "must be a finite number")
	}
	for i := range call.Messages {
		switch call.Messages[i].Role {
		case "system", "developer", "user", "assistant", messages.RoleTool:
		default:
			return bad(fmt.Sprintf("messages[%d].role", i), "must be system, developer, user, assistant or tool")
		}
	}
	return nil
}

// callID is the name of one call, "<tenant>/<id>/<epoch>/<attempt>".
func callID(call *ai.Call) string { return fmt.Sprintf("%s/%d/%d", call.Key, call.Epoch, call.Attempt) }

// optionErrors names every option that is wrong, at once.
type optionErrors struct {
	backend string
	errs    []error
}

func (o *optionErrors) add(field, format string, args ...any) {
	o.errs = append(o.errs, fmt.Errorf("%s backend: %s: %s", o.backend, field, fmt.Sprintf(format, args...)))
}

func (o *optionErrors) join() error { return errors.Join(o.errs...) }

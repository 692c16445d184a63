package pipelines

import (
	"flowgate/messages"
	"flowgate/pipelines/compliance"
)

// Gate is the refusal of a request that does not pass a gate of the controls, or of which a control could not be judged; else nil.
func Gate(out compliance.Outcome) *Refusal {
	switch {
	case out.Failed == "":
		return nil
	case out.Err != nil: // what it says may hold what was asked: the control's name is enough
		return Deny(messages.ReasonControlError, "", "control "+out.Failed)
	}
	return Deny(messages.ReasonControlFailed, "", "control "+out.Failed+" demands that "+out.Because)
}

package worker

import "flowgate/messages"

// Step names a point in a message's life behind which a process can die.
type Step string

// The steps, in the order of a hop. The layers add their own (admitted, announced, called).
const (
	StepFetched   Step = "fetched"
	StepScreened  Step = "screened"
	StepAdmitted  Step = "admitted"
	StepAnnounced Step = "announced"
	StepCalled    Step = "called"
	StepDecided   Step = "decided"
	StepPublished Step = "published"
	StepReported  Step = "reported"
	StepAnswered  Step = "answered"
	// StepBeat is before a heartbeat: a process that sleeps sends none.
	StepBeat Step = "beat"
)

// Probe is told each step, where it is set. Tests block in it to show what becomes of a process that dies or sleeps there.
type Probe func(step Step, queue string, key messages.Key)

// At tells the probe.
func (p Probe) At(step Step, queue string, key messages.Key) {
	if p != nil {
		p(step, queue, key)
	}
}

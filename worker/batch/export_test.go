package batch

import (
	"time"

	"flowgate/messages"
	"flowgate/worker"
)

// Hurry makes a job do everything more often.
func Hurry(j Job) Job {
	j.pace = pace{
		ack: time.Second, again: 50 * time.Millisecond, flush: 10 * time.Millisecond, report: 5 * time.Millisecond,
		delays: worker.Delays{Base: time.Millisecond, Max: 20 * time.Millisecond, Factor: 2, Jitter: 0.5}, slice: 100,
		intake: 5 * time.Millisecond, refused: 20 * time.Millisecond,
	}
	return j
}

// Parsed is what the line decoder made of a line.
type Parsed struct {
	CustomID string
	OpenAI   bool
	Class    messages.Class
	Document []byte
}

// Parse decodes one line.
func Parse(raw []byte, tenant string) (Parsed, error) {
	p, err := parse(raw, Options{Tenant: tenant, Class: messages.ClassBatch})
	return Parsed{CustomID: p.customID, OpenAI: p.openAI, Class: p.class, Document: p.document}, err
}

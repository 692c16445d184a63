// Package messages is the wire of flowgate: what producers publish, what travels between the layers, what comes back, and
// the subjects on which it does. Whoever writes a producer, in any language, needs a NATS client, one subject and one JSON
// document, and finds both here (JSON Schemas stand in the folder schemas).
//
// It imports the standard library only and does no I/O. Read next: request.go (what is asked), subjects.go (where),
// envelope.go (what the layers make of it), result.go (what is answered), reasons.go (why).
package messages

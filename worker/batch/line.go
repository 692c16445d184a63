package batch

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"flowgate/messages"
)

// parsed is what a line asks for.
type parsed struct {
	customID string
	openAI   bool
	class    messages.Class
	model    string
	// document is the request as it is published, without identity.
	document []byte
}

// parse reads one line, without its line end, and checks it. The form is told by the line: custom_id, method, url and
// body are no fields of a request. Errors are *messages.FieldErrors; customID and openAI are set as far as they could be
// read.
func parse(raw []byte, o Options) (parsed, error) {
	raw = bytes.TrimSpace(raw)
	if !utf8.Valid(raw) {
		return parsed{}, &messages.FieldError{Field: document, Rule: "must be UTF-8"}
	}
	members, err := object(raw)
	if fault, ok := errors.AsType[*messages.FieldError](err); ok {
		return parsed{}, fault
	}
	var p parsed
	for _, name := range []string{fieldCustomID, fieldMethod, fieldURL, fieldBody} {
		if _, p.openAI = members[name]; p.openAI {
			break
		}
	}
	if p.openAI {
		p.customID, p.document, err = parseOpenAI(members)
	} else {
		p.customID, p.document, err = parseNative(raw)
	}
	if err == nil && !o.NotBefore.IsZero() {
		p.document, err = postponed(p.document, o.NotBefore)
	}
	if err != nil {
		return p, err
	}
	p.class, p.model, err = judge(p.document, o)
	return p, err
}

// postponed gives a document that names no not_before the batch's.
func postponed(doc []byte, at time.Time) ([]byte, error) {
	r, err := messages.DecodeRequest(doc)
	if err != nil || r.NotBefore != nil {
		return doc, err
	}
	r.NotBefore = &at
	return encode(&r)
}

// parseNative reads a request document whose id, if there is one, is the line's own.
func parseNative(raw []byte) (string, []byte, error) {
	r, err := messages.DecodeRequest(raw)
	customID := r.ID
	if err != nil {
		return customID, nil, err
	}
	if customID == "" {
		return "", bytes.Clone(raw), nil
	}
	if err := checkCustomID(customID, "id"); err != nil {
		return "", nil, err
	}
	r.ID = ""
	stripped, err := encode(&r)
	return customID, stripped, err
}

func checkCustomID(id, field string) error {
	if len(id) > messages.MaxTextBytes {
		return &messages.FieldError{Field: field, Rule: fmt.Sprintf("must be at most %d bytes", messages.MaxTextBytes), Got: fmt.Sprintf("%d bytes", len(id))}
	}
	return nil
}

// judge checks the document that would be published and chooses its class: the one that it names, else that of its
// priority, else the batch's. It tells the model too.
func judge(doc []byte, o Options) (messages.Class, string, error) {
	r, err := messages.DecodeRequest(doc)
	if err != nil {
		return "", "", err
	}
	class := o.Class
	switch {
	case r.Class != "":
		if class, err = messages.ParseClass(string(r.Class)); err != nil {
			return "", "", &messages.FieldError{Field: "class", Rule: "must be rt, std or batch", Got: clip(string(r.Class))}
		}
	case r.Priority != "":
		class = messages.ClassOf(r.Priority)
	}
	return class, r.Model, r.CheckAgainst(messages.Address{Key: messages.Key{Tenant: o.Tenant}, Class: class})
}

package messages

// Bounds of what is left of an envelope that is too large to be published.
const (
	shrunkAttempts = 20
	shrunkText     = 200
	shrunkBytes    = 64 << 10
)

// Shrunk is what is left of an ended envelope that is larger than a message may be: who asked, what was decided and spent, how
// it ended, without request and answer. Their digests stay.
func Shrunk(e *Envelope) *Envelope {
	s := *e
	s.Request, s.Malformed = nil, nil
	s.History = shrunkHistory(e.History)
	if e.Corporate != nil {
		section := *e.Corporate
		section.Checks = nil
		s.Corporate = &section
	}
	if e.AI != nil {
		section := *e.AI
		section.Checks, section.Answer = nil, ""
		s.AI = &section
	}
	if e.Optimizer != nil {
		section := *e.Optimizer
		section.Checks = nil
		s.Optimizer = &section
	}
	if e.End != nil {
		end := *e.End
		end.Field, end.Detail = shorten(end.Field), shorten(end.Detail)
		s.End = &end
	}
	if data, err := EncodeEnvelope(&s); err == nil && len(data) <= shrunkBytes {
		return &s
	}
	return &Envelope{
		V: Version, Kind: KindUnknown, Epoch: e.Epoch, P: e.P, IngressSeq: e.IngressSeq, SubmittedAt: e.SubmittedAt, NotAfter: e.NotAfter,
		History: s.History, End: s.End,
	}
}

// shrunkHistory keeps the newest attempts, with short texts.
func shrunkHistory(history []Attempt) []Attempt {
	kept := append([]Attempt(nil), history[max(len(history)-shrunkAttempts, 0):]...)
	for i := range kept {
		a := &kept[i]
		for _, text := range []*string{&a.Backend, &a.Model, &a.Class, &a.Code, &a.Detail, &a.Worker} {
			*text = shorten(*text)
		}
	}
	return kept
}

func shorten(s string) string { return clipTo(s, shrunkText) }

package ai

import (
	"flowgate/messages"
	"flowgate/pipelines/compliance"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/privacy"
)

// beforeCall judges by the controls that apply once it is known who would be asked, and what of it they would see.
func beforeCall(e *messages.Envelope, f Facts, p Policy, b BackendFact, s privacy.Screened) compliance.Outcome {
	facts := ControlFacts(e, f)
	facts.Backend, facts.Region = b.Name, b.Region
	_, facts.Unmasked = compliance.Classes(s.Findings)
	return p.Controls.Judge(compliance.StageCall, facts, corporate.Levels(e.Corporate)...)
}

// AfterAnswer judges by the controls that apply to an answer that nobody has yet.
func AfterAnswer(e *messages.Envelope, s *messages.AISection, f Facts, controls *compliance.Book) compliance.Outcome {
	if e.Corporate == nil {
		return compliance.Outcome{}
	}
	return controls.Judge(compliance.StageAfter, ControlFacts(e, f).WithAnswer(s), corporate.Levels(e.Corporate)...)
}

// ControlFacts are the facts that controls judge by, as far as they are known before there is an answer.
func ControlFacts(e *messages.Envelope, f Facts) compliance.Facts {
	known := corporate.Facts{Address: f.Address, Now: f.Now, SubmittedAt: e.SubmittedAt}
	return corporate.ControlFacts(e.Kind, e.Corporate, known).WithCalls(e.History)
}

// Withhold takes an answer out of a section: it is paid for, and nobody gets it.
func Withhold(s *messages.AISection) {
	s.Answer, s.AnswerClaim, s.AnswerLength, s.AnswerSHA256 = "", nil, 0, ""
}

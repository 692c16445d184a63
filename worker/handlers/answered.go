package handlers

import (
	"context"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/privacy"
	"flowgate/worker"
)

// answered closes the layer's section with what a call brought.
func (a *AI) answered(ctx context.Context, x *turn, attempt messages.Attempt, answer ai.Answer) worker.Verdict {
	x.spent = append(x.spent, attempt)
	worker.TellAttempt(a.Observer, x.Task, attempt)
	e := x.Envelope
	e.History = ai.Append(e.History, attempt)
	x.Open = nil
	s := a.section(x.Task, messages.VerdictProcessed, messages.ReasonOK)
	s.Backend, s.Model, s.Region = x.plan.Backend.Name, x.plan.Call.Model, x.plan.Backend.Region
	s.CostMicroUSD, s.PriceVersion = attempt.CostMicroUSD, x.plan.Row.Version
	s.ProcessingSeconds = float64(attempt.CallMS) / 1000
	refused := a.conclude(x, s, answer)
	if refused == nil {
		a.keep(ctx, x, s, answer, attempt)
		return a.next(ctx, x.Task, messages.StateOptimizer)
	}
	return a.end(ctx, x.Task, refused)
}

// conclude completes a section with an answer, as its asker may have it; a refusal ends the request.
func (a *AI) conclude(x *turn, s *messages.AISection, answer ai.Answer) *pipelines.Refusal {
	e := x.Envelope
	out, calls := a.delivered(x, answer)
	s.FinishReason, s.ProviderRequestID = answer.FinishReason, answer.ProviderRequestID
	s.Answer, s.AnswerLength, s.Usage, s.ToolCalls = out.Text, utf8.RuneCountInString(out.Text), answer.Usage, calls
	s.Findings, s.AnswerFindings, s.PrivacyVersion = x.plan.Screened.Findings, out.Findings, x.policy.Privacy.Version()
	s.AnswerSHA256 = ai.Digest(out.Text)
	s.Attempts = attempts(e.History)
	e.AI = s
	judged := ai.AfterAnswer(e, s, ai.Facts{Address: x.Address, Now: a.Now()}, x.policy)
	s.Controls, s.ControlsVersion = slices.Concat(x.plan.Controls, judged.Results), x.policy.Controls.Version()
	if len(out.Denied) > 0 {
		ai.Withhold(s)
		s.Verdict, s.Reason = messages.VerdictDenied, messages.ReasonPersonalDataAnswer
		return pipelines.Deny(messages.ReasonPersonalDataAnswer, "", privacy.Describe(out.Findings, out.Denied))
	}
	if refused := pipelines.Gate(judged); refused != nil {
		ai.Withhold(s)
		s.Verdict, s.Reason = messages.VerdictDenied, refused.Reason
		return refused
	}
	if answer.Refused {
		s.Verdict, s.Reason = messages.VerdictDenied, messages.ReasonBackendRefused
		return pipelines.Deny(messages.ReasonBackendRefused, "", "")
	}
	return nil
}

// delivered is an answer as its asker gets it: vectors as they are, texts as the rules on personal data let them be.
func (a *AI) delivered(x *turn, answer ai.Answer) (privacy.Delivered, []messages.ToolCall) {
	if x.Envelope.Kind == messages.KindEmbedding {
		vectors, err := json.Marshal(answer.Embeddings)
		if err != nil { // a number that JSON has not
			vectors = []byte("null")
		}
		return privacy.Delivered{Text: string(vectors)}, nil
	}
	purpose := x.Envelope.Corporate.Purpose
	out := x.policy.Privacy.Answer(x.plan.Screened, answer.Text, purpose)
	calls := slices.Clone(answer.ToolCalls)
	for i := range calls {
		asked := x.policy.Privacy.Answer(x.plan.Screened, calls[i].Arguments, purpose)
		calls[i].Arguments = asked.Text
		out.Findings = privacy.Join(out.Findings, asked.Findings)
		out.Denied = append(out.Denied, asked.Denied...)
	}
	return out, calls
}

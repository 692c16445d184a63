package backends

import (
	"regexp"
	"strings"

	"flowgate/pipelines/ai"
)

// What is known of OpenAI's models by their names; whatever a provider puts before the last slash is not looked at.
var (
	// reasoning are the models that reason: they know max_completion_tokens alone, and a temperature only in some of their modes.
	reasoning = regexp.MustCompile(`^(o\d|gpt-[5-9])`)
	// fixed are those of them that take neither temperature nor top_p.
	fixed = regexp.MustCompile(`^(o\d|gpt-5(-|$))`)
	// chatting are those that have such a name and do not reason.
	chatting = regexp.MustCompile(`-chat(-|$)`)
	// responding are asked through Responses alone.
	responding = regexp.MustCompile(`^(o\d|gpt-\d(\.\d+)?)(-[a-z0-9]+)*-(pro|codex|deep-research)(-|$)|^codex-|^computer-use-`)
)

func bareModel(model string) string { return model[strings.LastIndexByte(model, '/')+1:] }

func reasons(model string) bool {
	model = bareModel(model)
	return reasoning.MatchString(model) && !chatting.MatchString(model)
}

func onlyResponses(model string) bool { return responding.MatchString(bareModel(model)) }

// checkReasoning refuses what a model that reasons does not take. Where nobody asked for a temperature, none is sent.
func checkReasoning(call *ai.Call) *ai.Fault {
	if !reasons(call.Model) || !fixed.MatchString(bareModel(call.Model)) {
		return nil
	}
	const none = "this model reasons, and takes none"
	switch {
	case !call.DefaultTemperature:
		return cannot("temperature", none)
	case call.TopP != nil:
		return cannot(string(ableTopP), none)
	}
	return nil
}

// temperatureOf is what is sent; nil: nothing.
func temperatureOf(call *ai.Call) *float64 {
	if call.DefaultTemperature && reasons(call.Model) {
		return nil
	}
	return &call.Temperature
}

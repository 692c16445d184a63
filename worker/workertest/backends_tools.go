package workertest

import (
	"encoding/json"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker/provider"
)

// toolCall asks with two tools, in words that make the fake provider call the first.
func toolCall(id string) ai.Call {
	call := NewCall(id)
	call.Messages[1].Content += " Please use-tool."
	call.Tools = []messages.Tool{
		{Name: "weather", Description: "The weather of a city.", Parameters: json.RawMessage(citySchema)},
		{Name: "clock"},
	}
	return call
}

func testTools(t *testing.T, s Stage) {
	if !s.can(CanTools) {
		t.Skip("it has none")
	}
	call := toolCall("tools")
	first := answer(t, s, call)
	if len(first.ToolCalls) != 1 || first.FinishReason != s.Words.Tool || first.Refused {
		t.Fatalf("answer is %+v, want one tool call", first)
	}
	asked := first.ToolCalls[0]
	var args struct{ City string }
	if err := json.Unmarshal([]byte(asked.Arguments), &args); err != nil || args.City == "" || asked.ID == "" || asked.Name != "weather" {
		t.Fatalf("tool call is %+v (%v)", asked, err)
	}
	second := messages.ToolCall{ID: asked.ID + "2", Name: "clock", Arguments: `{"zone":"UTC"}`}
	call.Attempt = 2
	call.Messages = append(call.Messages, messages.Message{Role: "assistant", Content: "Let me look.", ToolCalls: []messages.ToolCall{asked, second}},
		messages.Message{Role: messages.RoleTool, ToolCallID: asked.ID, Content: "sunny"},
		messages.Message{Role: messages.RoleTool, ToolCallID: second.ID, Content: "noon"})
	got := answer(t, s, call)
	if !strings.Contains(got.Text, provider.ResultHash("sunny", "noon")) || len(got.ToolCalls) != 0 {
		t.Errorf("answer %q does not go on from the results", got.Text)
	}
	seen := s.Provider.Seen(call.String())
	if last := seen[len(seen)-1]; last.Features.ToolResults != 2 || last.Features.Tools != 2 {
		t.Errorf("the provider saw %+v", last.Features)
	}
}

func testToolChoice(t *testing.T, s Stage) {
	if !s.can(CanTools) {
		t.Skip("it has none")
	}
	for choice, want := range map[string]string{
		messages.ToolChoiceAuto: "weather", messages.ToolChoiceRequired: "weather", messages.ToolChoiceNone: "", "clock": "clock",
	} {
		call := toolCall("choice-" + choice)
		call.ToolChoice = choice
		if fault := s.Backend.Check(&call); fault != nil && fault.Elsewhere && strings.HasPrefix(fault.Detail, "tool_choice") {
			continue // refused by name
		}
		got := answer(t, s, call)
		name := ""
		if len(got.ToolCalls) > 0 {
			name = got.ToolCalls[0].Name
		}
		if name != want {
			t.Errorf("%s: calls %q, want %q", choice, name, want)
		}
	}
}

// testOddAnswers plays answers that are whole and paid for, and still of little use.
func testOddAnswers(t *testing.T, s Stage) {
	empty := NewCall("empty")
	s.Provider.Reply(empty, provider.Reply{Outcome: provider.EmptyAnswer})
	if got := answer(t, s, empty); got.Text != "" || got.Refused || got.UsageUnknown || len(got.ToolCalls) > 0 {
		t.Errorf("an empty answer is %+v", got)
	}
	if !s.can(CanTools) {
		return
	}
	broken := toolCall("broken")
	s.Provider.Reply(broken, provider.Reply{Outcome: provider.BrokenTool})
	got := answer(t, s, broken)
	if len(got.ToolCalls) != 1 || !strings.Contains(got.ToolCalls[0].Arguments, `{"city": "Pa`) {
		t.Errorf("tool calls are %+v, want the arguments as the model wrote them", got.ToolCalls)
	}
}

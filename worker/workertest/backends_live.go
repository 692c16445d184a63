package workertest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
)

// LiveStage is a backend with a real provider behind it, or with a server that is nobody's script.
type LiveStage struct {
	Backend worker.Backend
	// Stranger is the same backend with a key that is wrong; nil: the provider takes any.
	Stranger worker.Backend
	Can      []Ability
	Words    Words
	// Model answers prompts, EmbeddingModel makes vectors.
	Model, EmbeddingModel string
	// AnyModel is true where every name is a model.
	AnyModel bool
	// VectorsUncounted is true where the server tells no usage of vectors.
	VectorsUncounted bool
	// Nameless is true where the server gives its answers no request id.
	Nameless bool
}

// LiveMaxTokens is the most that an answer of these tests may have.
const LiveMaxTokens = 200

// RunLiveTests holds a backend to what of the contract can be asked of a real provider for little money: about a dozen short calls.
func RunLiveTests(t *testing.T, live LiveStage) {
	t.Helper()
	s := Stage{Backend: live.Backend, Can: live.Can, Words: live.Words, EmbeddingModel: live.EmbeddingModel}.withDefaults()
	l := liveTests{Stage: s, live: live}
	t.Run("answers with text, model, reason and usage", l.answers)
	t.Run("obeys max_tokens", l.bounded)
	t.Run("calls tools and goes on from their results", l.tools)
	t.Run("answers in the form that is asked for", l.forms)
	t.Run("sees images", l.images)
	t.Run("makes vectors", l.vectors)
	t.Run("tells wrong credentials and absent models apart", l.strangers)
}

type liveTests struct {
	Stage

	live LiveStage
}

// ask is a prompt for the live model.
func (l liveTests) ask(id, prompt string) ai.Call {
	call := NewCall("live-" + id)
	call.Model, call.Temperature, call.DefaultTemperature, call.MaxTokens = l.live.Model, 0.7, true, LiveMaxTokens
	call.Messages = []messages.Message{{Role: "system", Content: "You are terse."}, {Role: "user", Content: prompt}}
	return call
}

func (l liveTests) answers(t *testing.T) {
	got := answer(t, l.Stage, l.ask("answers", "Say hello."))
	if got.Text == "" || got.Model == "" || (got.ProviderRequestID == "") != l.live.Nameless || got.FinishReason != l.Words.Stop || got.Refused || got.UsageUnknown {
		t.Errorf("answer %+v lacks something", got)
	}
	if got.Usage.Input() <= 0 || got.Usage.Output <= 0 || got.Usage.Output > LiveMaxTokens {
		t.Errorf("usage is %+v", got.Usage)
	}
}

func (l liveTests) bounded(t *testing.T) {
	call := l.ask("bounded", "Count from one to two hundred in words.")
	call.MaxTokens = 16 // Responses takes no less
	got := answer(t, l.Stage, call)
	if got.FinishReason != l.Words.Length && got.Usage.Output > 16 || got.UsageUnknown {
		t.Errorf("answer is %+v, want one of at most 16 tokens", got)
	}
}

func (l liveTests) tools(t *testing.T) {
	if !l.can(CanTools) {
		t.Skip("it has none")
	}
	call := l.ask("tools", "What is the weather in Paris? Please use-tool.")
	call.Tools = []messages.Tool{{Name: "weather", Description: "The weather of a city.", Parameters: json.RawMessage(citySchema)}}
	call.ToolChoice = messages.ToolChoiceRequired
	first := answer(t, l.Stage, call)
	if len(first.ToolCalls) == 0 || first.FinishReason != l.Words.Tool {
		t.Fatalf("answer is %+v, want a tool call", first)
	}
	var args struct{ City string }
	if err := json.Unmarshal([]byte(first.ToolCalls[0].Arguments), &args); err != nil || args.City == "" || first.ToolCalls[0].ID == "" {
		t.Fatalf("tool call is %+v (%v)", first.ToolCalls[0], err)
	}
	call.Attempt, call.ToolChoice = 2, messages.ToolChoiceAuto
	call.Messages = append(call.Messages, messages.Message{Role: "assistant", Content: first.Text, ToolCalls: first.ToolCalls})
	for _, c := range first.ToolCalls {
		call.Messages = append(call.Messages, messages.Message{Role: messages.RoleTool, ToolCallID: c.ID, Content: "sunny, 21 degrees"})
	}
	if got := answer(t, l.Stage, call); got.Text == "" {
		t.Errorf("answer is %+v, want a text", got)
	}
}

func (l liveTests) forms(t *testing.T) {
	if !l.can(CanJSONSchema) {
		t.Skip("it has none")
	}
	call := l.ask("forms", "Which city is the capital of France? Answer in JSON.")
	abilities(l.Stage)[CanJSONSchema].ask(&call)
	got := answer(t, l.Stage, call)
	var doc struct{ City string }
	if err := json.Unmarshal([]byte(got.Text), &doc); err != nil || doc.City == "" {
		t.Errorf("answer %q does not have its form (%v)", got.Text, err)
	}
}

func (l liveTests) images(t *testing.T) {
	if !l.can(CanImages) {
		t.Skip("it sees none")
	}
	red := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		red.Set(i%64, i/64, color.RGBA{R: 255, A: 255})
	}
	var data bytes.Buffer
	if err := png.Encode(&data, red); err != nil {
		t.Fatal(err)
	}
	call := l.ask("images", "Which colour is this?")
	call.Messages[1].Images = []messages.Image{{MediaType: "image/png", Data: base64.StdEncoding.EncodeToString(data.Bytes())}}
	if got := answer(t, l.Stage, call); got.Text == "" || got.UsageUnknown {
		t.Errorf("answer is %+v", got)
	}
}

func (l liveTests) vectors(t *testing.T) {
	if !l.can(CanEmbeddings) {
		t.Skip("it makes none")
	}
	call := l.ask("vectors", "")
	abilities(l.Stage)[CanEmbeddings].ask(&call)
	call.Input = []string{"wine", "beer"}
	if got := answer(t, l.Stage, call); len(got.Embeddings) != 2 || len(got.Embeddings[1]) == 0 || got.UsageUnknown != l.live.VectorsUncounted {
		t.Errorf("%d vectors, usage %+v", len(got.Embeddings), got.Usage)
	}
}

func (l liveTests) strangers(t *testing.T) {
	call := l.ask("strangers", "Say hello.")
	if l.live.Stranger != nil {
		_, err := l.live.Stranger.Call(t.Context(), call)
		if fault := faultOf(t, err); fault.Class != ai.ClassAuth {
			t.Errorf("a wrong key is %v, want auth", fault)
		}
	}
	if l.live.AnyModel {
		return
	}
	call.Model = strings.Split(call.Model, "-")[0] + "-no-such-7741"
	_, err := l.Backend.Call(t.Context(), call)
	if fault := faultOf(t, err); fault.Class != ai.ClassInvalid || !fault.Elsewhere {
		t.Errorf("an absent model is %+v, want an invalid one that may be elsewhere", fault)
	}
}

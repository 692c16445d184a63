package workertest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker/provider"
)

// pixel is a PNG of one pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+M8AAAMBAQDJ/pLvAAAAAElFTkSuQmCC"

// citySchema is what tools take and answers have in these tests.
const citySchema = `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`

func (s Stage) can(a Ability) bool { return slices.Contains(s.Can, a) }

// abilities are what asks for each ability, and how a provider's books show that it arrived.
func abilities(s Stage) map[Ability]struct {
	ask     func(*ai.Call)
	arrived func(c *provider.Call) bool
} {
	has := func(text string) func(*provider.Call) bool {
		return func(c *provider.Call) bool { return strings.Contains(string(c.Body), text) }
	}
	embedding := func(c *ai.Call) {
		c.Kind, c.Messages, c.Input = messages.KindEmbedding, nil, []string{"Keeper of the " + promptMarker}
		if s.EmbeddingModel != "" {
			c.Model = s.EmbeddingModel
		}
	}
	user := func(c *ai.Call) *messages.Message { return &c.Messages[len(c.Messages)-1] }
	return map[Ability]struct {
		ask     func(*ai.Call)
		arrived func(c *provider.Call) bool
	}{
		CanTopP: {func(c *ai.Call) { c.TopP = new(0.5) }, func(c *provider.Call) bool { return c.Features.TopP }},
		CanTopK: {func(c *ai.Call) { c.TopK = new(7) }, has(`"top_k":7`)},
		CanStop: {func(c *ai.Call) { c.Stop = []string{"END"} }, func(c *provider.Call) bool { return c.Features.Stop }},
		CanSeed: {func(c *ai.Call) { c.Seed = new(int64(7)) }, func(c *provider.Call) bool { return c.Features.Seed }},
		CanTools: {
			func(c *ai.Call) {
				c.Tools = []messages.Tool{{Name: "weather", Parameters: json.RawMessage(citySchema)}}
			},
			func(c *provider.Call) bool { return c.Features.Tools == 1 },
		},
		CanJSONObject: {
			func(c *ai.Call) { c.Format = &messages.ResponseFormat{Type: messages.FormatJSONObject} },
			func(c *provider.Call) bool { return c.Features.Structured },
		},
		CanJSONSchema: {
			func(c *ai.Call) {
				c.Format = &messages.ResponseFormat{Type: messages.FormatJSONSchema, Name: "city", Schema: json.RawMessage(citySchema)}
			},
			func(c *provider.Call) bool { return c.Features.Structured },
		},
		CanImages: {
			func(c *ai.Call) { user(c).Images = []messages.Image{{MediaType: "image/png", Data: pixel}} },
			func(c *provider.Call) bool { return c.Features.Images == 1 },
		},
		CanImageURLs: {
			func(c *ai.Call) { user(c).Images = []messages.Image{{URL: "https://images.invalid/a.png"}} },
			has("https://images.invalid/a.png"),
		},
		CanNames:      {func(c *ai.Call) { user(c).Name = "keeper" }, has(`"name":"keeper"`)},
		CanEmbeddings: {embedding, func(c *provider.Call) bool { return c.Features.Inputs == 1 }},
		CanDimensions: {func(c *ai.Call) { embedding(c); c.Dimensions = 256 }, has(`"dimensions":256`)},
	}
}

func testRefusesByName(t *testing.T, s Stage) {
	for a, ability := range abilities(s) {
		call := NewCall("refuses-" + strings.ReplaceAll(string(a), " ", "-"))
		ability.ask(&call)
		fault := s.Backend.Check(&call)
		if s.can(a) {
			if fault != nil {
				t.Errorf("%s: refused with %v, although the backend can", a, fault)
			}
			continue
		}
		if fault == nil {
			t.Errorf("%s: not refused, although the backend cannot", a)
			continue
		}
		named := strings.HasPrefix(fault.Detail, string(a)+":") ||
			(a == CanDimensions || a == CanImageURLs) && (strings.HasPrefix(fault.Detail, string(CanEmbeddings)+":") || strings.HasPrefix(fault.Detail, string(CanImages)+":"))
		if fault.Class != ai.ClassInvalid || !fault.Elsewhere || !named {
			t.Errorf("%s: fault is %+v, want an invalid one that names it and may go elsewhere", a, fault)
		}
		_, err := s.Backend.Call(t.Context(), call)
		if called := faultOf(t, err); called.Detail != fault.Detail {
			t.Errorf("%s: Call says %q, Check %q", a, called.Detail, fault.Detail)
		}
		s.wantSilence(t, err)
		s.wantCalls(t, call, 0)
	}
}

// testSends looks into the books: what was asked for arrived.
func testSends(t *testing.T, s Stage) {
	for a, ability := range abilities(s) {
		if !s.can(a) {
			continue
		}
		call := NewCall("sends-" + strings.ReplaceAll(string(a), " ", "-"))
		ability.ask(&call)
		_, err := s.Backend.Call(t.Context(), call)
		if err != nil && a != CanImageURLs { // the fake provider looks at no URL
			t.Errorf("%s: %v", a, err)
			continue
		}
		seen := s.Provider.Seen(call.String())
		if len(seen) != 1 || !ability.arrived(&seen[0]) {
			t.Errorf("%s: it did not arrive: %d calls", a, len(seen))
		}
	}
}

func testStop(t *testing.T, s Stage) {
	if !s.can(CanStop) {
		t.Skip("it takes none")
	}
	call := NewCall("stop")
	call.Stop = []string{"never said", "tokens"}
	got := answer(t, s, call)
	if got.Text == "" || strings.Contains(got.Text, "tokens") || got.FinishReason != s.Words.Sequence {
		t.Errorf("answer %q ends with %q, want one that ends before the sequence with %q", got.Text, got.FinishReason, s.Words.Sequence)
	}
}

func testSystem(t *testing.T, s Stage) {
	call := NewCall("system")
	call.Messages = append(call.Messages[:1:1], messages.Message{Role: "developer", Content: "Be exact."}, call.Messages[1])
	first := answer(t, s, call)
	other := call
	other.Attempt, other.Messages = 2, append([]messages.Message{{Role: "system", Content: "You are verbose."}}, call.Messages[1:]...)
	if first.Text == answer(t, s, other).Text {
		t.Error("another system prompt got the same answer")
	}
	bytes := 0
	for _, m := range call.Messages {
		bytes += len(m.Content)
	}
	if seen := s.Provider.Seen(call.String())[0]; !seen.Features.System || seen.PromptBytes != bytes {
		t.Errorf("the provider saw %+v, want a system prompt and %d bytes in all", seen.Ask, bytes)
	}
}

func testRequestID(t *testing.T, s Stage) {
	call := NewCall("request-id")
	call.Epoch, call.Attempt = 2, 3
	answer(t, s, call)
	if seen := s.Provider.Seen("acme/request-id/2/3"); len(seen) != 1 {
		t.Errorf("the provider saw %d calls of our request id, want 1", len(seen))
	}
}

func testForms(t *testing.T, s Stage) {
	for _, a := range []Ability{CanJSONObject, CanJSONSchema} {
		if !s.can(a) {
			continue
		}
		call := NewCall("form-" + strings.Fields(string(a))[1])
		abilities(s)[a].ask(&call)
		got := answer(t, s, call)
		var doc map[string]any
		if err := json.Unmarshal([]byte(got.Text), &doc); err != nil {
			t.Errorf("%s: answer %q is no object", a, got.Text)
		}
		if city, ok := doc["city"].(string); a == CanJSONSchema && (!ok || city == "") {
			t.Errorf("%s: answer %q does not have its form", a, got.Text)
		}
	}
}

func testVectors(t *testing.T, s Stage) {
	if !s.can(CanEmbeddings) {
		t.Skip("it cannot make any")
	}
	call := NewCall("vectors")
	abilities(s)[CanEmbeddings].ask(&call)
	call.Input = []string{"one", "two", "one"}
	got := answer(t, s, call)
	v := got.Embeddings
	if len(v) != 3 || len(v[0]) == 0 || !slices.Equal(v[0], v[2]) || slices.Equal(v[0], v[1]) {
		t.Fatalf("%d vectors, not those of the texts", len(v))
	}
	if got.UsageUnknown || got.Usage.InputUncached <= 0 || got.Usage.Output != 0 || got.Model == "" || got.FinishReason == "" {
		t.Errorf("usage is %+v (unknown %v), model %q, reason %q", got.Usage, got.UsageUnknown, got.Model, got.FinishReason)
	}
	if !s.can(CanDimensions) {
		return
	}
	call.Attempt, call.Dimensions = 2, 256
	if got := answer(t, s, call); len(got.Embeddings) != 3 || len(got.Embeddings[1]) != 256 {
		t.Errorf("%d vectors, want 3 of 256 dimensions", len(got.Embeddings))
	}
}

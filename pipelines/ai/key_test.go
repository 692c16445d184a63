package ai_test

import (
	"encoding/json"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/pipelines/privacy"
)

// fullCall has something in every field.
func fullCall() ai.Call {
	return ai.Call{
		Key: messages.Key{Tenant: "acme", ID: "r1"}, Epoch: 1, Attempt: 2, Kind: messages.KindPrompt, Model: "claude-3",
		Question: messages.Question{
			Messages: []messages.Message{
				{Role: "system", Content: "be brief"},
				{Role: "user", Content: "hi", Name: "ann", Images: []messages.Image{{MediaType: "image/png", Data: "AAAA", URL: "https://x.example/i"}}},
				{Role: "assistant", Content: "c", ToolCalls: []messages.ToolCall{{ID: "t1", Name: "look", Arguments: `{"q":1}`}}},
				{Role: "tool", Content: "found", ToolCallID: "t1"},
			},
			Tools:      []messages.Tool{{Name: "look", Description: "looks", Parameters: json.RawMessage(`{"type":"object"}`)}},
			ToolChoice: "auto", Format: &messages.ResponseFormat{Type: "json_schema", Name: "n", Schema: json.RawMessage(`{}`)},
			Input: []string{"one", "two"},
		},
		Temperature: 0.7, DefaultTemperature: true, MaxTokens: 100, TopP: new(0.9), TopK: new(40), Seed: new(int64(7)), Stop: []string{"END"},
		Dimensions: 256, InputBound: 1000, Means: "m", Metadata: map[string][]byte{"a": []byte("1")},
	}
}

// TestEveryFieldOfACallIsInTheKeyOrKnownNotToBe changes one value of a call after the other, wherever it lies. A new field fails here until
// somebody has decided about it.
func TestEveryFieldOfACallIsInTheKeyOrKnownNotToBe(t *testing.T) {
	outside := map[string]string{
		"Key.ID": "the request", "Epoch": "the request's epoch", "Attempt": "the attempt", "InputBound": "follows from the texts", "Metadata": "no model sees it",
	}
	base := fullCall()
	want := ai.CacheKey("claude", &base)
	seen := map[string]bool{}
	var visit func(path string, at func(*ai.Call) reflect.Value)
	visit = func(path string, at func(*ai.Call) reflect.Value) {
		if _, out := outside[path]; out {
			seen[path] = true
			c := fullCall()
			change(t, path, at(&c))
			if ai.CacheKey("claude", &c) != want {
				t.Errorf("%s is in the key", path)
			}
			return
		}
		v := at(&base)
		kind := v.Kind()
		if kind == reflect.Struct {
			for i := range v.NumField() {
				visit(strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), func(c *ai.Call) reflect.Value { return at(c).Field(i) })
			}
			return
		}
		if kind == reflect.Pointer {
			if v.IsNil() {
				t.Fatalf("%s: fullCall leaves it out", path)
			}
			visit(path+"*", func(c *ai.Call) reflect.Value { return at(c).Elem() })
		}
		if kind == reflect.Slice && v.Len() == 0 {
			return // fullCall has one elsewhere
		}
		if kind == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				visit(path+"[]", func(c *ai.Call) reflect.Value { return at(c).Index(i) })
			}
		}
		c := fullCall()
		change(t, path, at(&c))
		if ai.CacheKey("claude", &c) == want {
			t.Errorf("%s is not in the key", path)
		}
	}
	visit("", func(c *ai.Call) reflect.Value { return reflect.ValueOf(c).Elem() })
	for path := range outside {
		if !seen[path] {
			t.Errorf("%s is no field any more", path)
		}
	}
	if ai.CacheKey("titan", &base) == want {
		t.Error("the family is not in the key")
	}
	if c := fullCall(); ai.CacheKey("claude", &c) != want || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(want) {
		t.Errorf("the key is %s, or changes by itself", want)
	}
}

// change makes a value another one.
func change(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch kind := v.Kind(); {
	case kind == reflect.String:
		v.SetString(v.String() + "x")
	case kind == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanFloat():
		v.SetFloat(v.Float() / 2)
	case kind == reflect.Pointer, kind == reflect.Slice, kind == reflect.Map:
		v.SetZero()
	default:
		t.Fatalf("%s: nobody knows how to change a %s", path, v.Type())
	}
}

func TestKeysAreTheSameOnEveryMachineAndInEveryVersion(t *testing.T) {
	plain := ai.Call{Key: key, Model: model, Question: messages.Question{Messages: []messages.Message{{Role: "user", Content: "hi"}}}, Temperature: 0.7, MaxTokens: 2000}
	zero := plain
	zero.Temperature = 0
	own := fullCall()
	own.Means = ""
	for want, c := range map[string]ai.Call{
		"f57109c909aaecd4ff34ab99a72b336bfa140509f3bb2820ff26a07527c8de50": plain,
		"ac9bf69c20d618c10fa83021bfeb3fc3be1b9f16862132643d439fa6c5153840": zero,
		"90143c9fcee29de6ecbdeeff78c9da05911fca24251858756efe3e45808b99cc": own,
		"715aa413f6f516bb3c283b9f8d21cf669228cd87df4614d7a3e8a5ed401adf70": fullCall(),
		"2ff3d828888074de1373314679da7ba162b53a846956f7150f8cb0f9e84ca7dd": {},
	} {
		if got := ai.CacheKey("claude", &c); got != want {
			t.Errorf("key is %s, was %s: raise keyVersion if the encoding has to change", got, want)
		}
	}
}

func TestValuesThatMeanTheSameHaveOneKey(t *testing.T) {
	base := ai.Call{Model: "m"}
	for name, c := range map[string]ai.Call{
		"zero below zero": {Model: "m", Temperature: math.Copysign(0, -1)}, "the kind that is left out": {Model: "m", Kind: messages.KindPrompt},
		"an empty list": {Model: "m", Stop: []string{}, Question: messages.Question{Input: []string{}, Messages: []messages.Message{}}},
	} {
		if ai.CacheKey("f", &c) != ai.CacheKey("f", &base) {
			t.Errorf("%s changes the key", name)
		}
	}
	for name, c := range map[string]ai.Call{
		"top_p": {Model: "m", TopP: new(0.0)}, "top_k": {Model: "m", TopK: new(0)}, "seed": {Model: "m", Seed: new(int64(0))},
		"a format": {Model: "m", Question: messages.Question{Format: &messages.ResponseFormat{}}}, "an empty stop": {Model: "m", Stop: []string{""}},
	} {
		if ai.CacheKey("f", &c) == ai.CacheKey("f", &base) {
			t.Errorf("%s of zero is the same as none", name)
		}
	}
}

// calls draws calls of few signs, so that texts and limits of fields fall together often.
func calls(t *rapid.T, label string) ai.Call {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("a\x00\x01")), 0, 3, -1)
	texts := rapid.SliceOfN(text, 0, 2)
	message := rapid.Custom(func(t *rapid.T) messages.Message {
		return messages.Message{
			Role: text.Draw(t, "role"), Content: text.Draw(t, "content"), Name: text.Draw(t, "name"), ToolCallID: text.Draw(t, "tool_call_id"),
			ToolCalls: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) messages.ToolCall {
				return messages.ToolCall{ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Arguments: text.Draw(t, "arguments")}
			}), 0, 1).Draw(t, "calls"),
		}
	})
	return ai.Call{
		Key: messages.Key{Tenant: text.Draw(t, label+" tenant")}, Model: text.Draw(t, "model"), Stop: texts.Draw(t, "stop"),
		Temperature: rapid.SampledFrom([]float64{0, 0.7}).Draw(t, "temperature"), TopK: rapid.SampledFrom([]*int{nil, new(0), new(1)}).Draw(t, "top_k"),
		Question: messages.Question{
			Messages: rapid.SliceOfN(message, 0, 2).Draw(t, "messages"), Input: texts.Draw(t, "input"), ToolChoice: text.Draw(t, "choice"),
		},
	}
}

func TestKeysAreEqualIfAndOnlyIfWhatIsAskedIs(t *testing.T) {
	said := func(c ai.Call) string { // nil and empty lists look alike
		data, err := json.Marshal([]any{c.Tenant, c.Model, append([]string{}, c.Stop...), c.Temperature, c.TopK, append([]messages.Message{}, c.Messages...), append([]string{}, c.Input...), c.ToolChoice})
		if err != nil {
			panic(err)
		}
		return string(data)
	}
	byKey, bySaid := map[string]string{}, map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		c := calls(t, "a")
		k, s := ai.CacheKey("f", &c), said(c)
		if other, has := byKey[k]; has && other != s {
			t.Fatalf("%s and %s have one key", other, s)
		}
		if other, has := bySaid[s]; has && other != k {
			t.Fatalf("%s has two keys", s)
		}
		byKey[k], bySaid[s] = s, k
		again := c
		again.ID, again.Epoch, again.Attempt = "other", 9, 9
		if ai.CacheKey("f", &again) != k {
			t.Fatal("the request is in the key")
		}
	})
	if len(byKey) < 50 {
		t.Errorf("only %d calls were compared", len(byKey))
	}
}

// TestRequestsThatDifferInMaskedDataShareAnAnswer holds what the key relies on: placeholders are numbered by the order of the texts alone,
// and each request gets its own data back.
func TestRequestsThatDifferInMaskedDataShareAnAnswer(t *testing.T) {
	guard := privacy.NewGuard(privacy.Rules{Answer: privacy.Actions{"contact": "flag"}, Restore: []string{"contact"}})
	ask := func(texts ...string) (string, privacy.Screened) {
		e, _, f, p := setup(t)
		p.Privacy = guard
		r := &messages.Request{System: texts[0], Messages: []messages.Message{{Role: "user", Content: texts[1]}}}
		plan := ai.Decide(e, r, f, p)
		if plan.Refusal != nil {
			t.Fatalf("%+v", plan.Refusal)
		}
		return ai.CacheKey("claude", &plan.Call), plan.Screened
	}
	one, ofOne := ask("You help ann@example.com.", "Write to ann@example.com and bob@example.com")
	two, ofTwo := ask("You help carl@example.org.", "Write to carl@example.org and dora@example.net")
	if one != two {
		t.Fatal("two keys")
	}
	const answer = "Dear <EMAIL_2>, regards <EMAIL_1>"
	for want, s := range map[string]privacy.Screened{
		"Dear bob@example.com, regards ann@example.com": ofOne, "Dear dora@example.net, regards carl@example.org": ofTwo,
	} {
		if got := guard.Answer(s, answer, "").Text; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if other, _ := ask("You help ann@example.com.", "Write to bob@example.com and ann@example.com"); other == one {
		t.Error("who is who is not in the key")
	}
	if other, _ := ask("You help ann@example.com.", "Write to ann@example.com and ann@example.com"); other == one {
		t.Error("that two are one is not in the key")
	}
	if other, _ := ask("You help ann@example.com.", "Write to ann@example.com and bob@example.com <EMAIL_1>"); other == one {
		t.Error("a placeholder of the producer's own is not in the key")
	}
}

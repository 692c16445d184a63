package provider

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
)

// finish is why an answer ended.
type finish string

const (
	finishStop      finish = "stop"
	finishSequence  finish = "stop_sequence"
	finishLength    finish = "length"
	finishTool      finish = "tool"
	finishFiltered  finish = "filtered"
	finishRefused   finish = "refused"
	finishGuardrail finish = "guardrail"
	finishBroken    finish = "broken_tool"
)

// answer is what is answered, in no protocol's words.
type answer struct {
	seq      uint64
	model    string
	text     string
	sequence string // the stop sequence that ended it
	calls    []toolCall
	finish   finish
	usage    *Usage // nil: nothing is said
	tier     string
	vectors  [][]float32
	failed   bool // Responses: its status is failed
	code     string
}

type toolCall struct {
	id, name string
	args     json.RawMessage
	broken   bool // args are a text that is no JSON
}

// The rules of counting. They are exact, so that a test can reckon them: input is a token for each whole four bytes of all texts
// (system prompt, messages, tool results, texts to embed), eighty-five for each image, and one; output is a token for each
// word of a text, and for JSON and the arguments of a tool a token for each whole four bytes, and one.
const (
	bytesPerToken  = 4
	tokensPerImage = 85
)

// InputTokens is what a question counts, by the bytes of its texts and its images.
func InputTokens(promptBytes, images int) int64 {
	return int64(promptBytes/bytesPerToken + images*tokensPerImage + 1)
}

// OutputTokens is what the text of an answer counts.
func OutputTokens(text string) int64 { return int64(len(strings.Fields(text))) }

// jsonTokens is what JSON counts.
func jsonTokens(n int) int64 { return int64(n/bytesPerToken + 1) }

// useTool is the word in a prompt that makes the provider call a tool.
const useTool = "use-tool"

// answerTo makes the answer to a question; a fault is one of the question.
func answerTo(q *question, ask *Ask, r *Reply) (*answer, *fault) {
	a := &answer{model: q.model, finish: finishStop, tier: q.tier}
	if r.Model != "" {
		a.model = r.Model
	}
	if r.Tier != "" {
		a.tier = r.Tier
	}
	a.usage = &Usage{Input: InputTokens(ask.PromptBytes, ask.Features.Images)}
	digest := q.digest()
	var f *fault
	switch {
	case len(q.inputs) > 0:
		a.embed(q)
	case r.Outcome == BrokenTool:
		f = a.call(q, digest)
	case r.Text != "":
		a.say(q, r.Text)
	case len(q.results()) > 0:
		a.say(q, fmt.Sprintf("%s having read the tool result %s", ownText(q, digest), ResultHash(q.results()...)))
	case q.calls():
		f = a.call(q, digest)
	case q.structured:
		f = a.structure(q, digest)
	default:
		a.say(q, ownText(q, digest))
	}
	if f == nil {
		a.shape(q, r)
	}
	return a, f
}

// calls tells whether a tool is to be called.
func (q *question) calls() bool {
	switch {
	case len(q.tools) == 0 || q.choice == "none":
		return false
	case q.choice != "" && q.choice != "auto":
		return true
	}
	return len(q.results()) == 0 && strings.Contains(q.last(), useTool)
}

// ownText says what it was asked with; it differs with everything that the digest takes in.
func ownText(q *question, digest uint64) string {
	images := 0
	for i := range q.turns {
		images += len(q.turns[i].images)
	}
	text := fmt.Sprintf("no model but %s at temperature %s within %d tokens says %016x", q.model, number(q.temperature), q.maxTokens, digest)
	if images > 0 {
		text += fmt.Sprintf(" about %d image(s)", images)
	}
	return text
}

// say answers with a text, up to a stop sequence and within the bound.
func (a *answer) say(q *question, text string) {
	at := len(text)
	for _, s := range q.stop {
		if i := strings.Index(text, s); s != "" && i >= 0 && i < at {
			at, a.sequence, a.finish = i, s, finishSequence
		}
	}
	text = text[:at]
	if q.maxTokens > 0 && OutputTokens(text) > int64(q.maxTokens) {
		text = strings.Join(strings.Fields(text)[:q.maxTokens], " ")
		a.finish, a.sequence = finishLength, ""
	}
	a.text, a.usage.Output = text, OutputTokens(text)
}

// structure answers with JSON that satisfies the schema, broken off where the bound is.
func (a *answer) structure(q *question, digest uint64) *fault {
	data, f := sample(q.schema, digest)
	if f != nil {
		return f
	}
	a.text, a.usage.Output = string(data), jsonTokens(len(data))
	if q.maxTokens > 0 && a.usage.Output > int64(q.maxTokens) {
		a.text, a.finish = a.text[:min(len(a.text), q.maxTokens*bytesPerToken-1)], finishLength
		a.usage.Output = int64(q.maxTokens)
	}
	return nil
}

// call calls a tool: the one that was named, else the first.
func (a *answer) call(q *question, digest uint64) *fault {
	chosen := tool{name: "broken"}
	if len(q.tools) > 0 {
		chosen = q.tools[0]
	}
	for _, t := range q.tools {
		if t.name == q.choice {
			chosen = t
		}
	}
	args, f := sample(chosen.schema, digest)
	if f != nil {
		return f
	}
	a.calls = []toolCall{{id: fmt.Sprintf("call_%016x", digest), name: chosen.name, args: args}}
	a.finish, a.usage.Output = finishTool, jsonTokens(len(chosen.name)+len(args))
	return nil
}

// shape makes of it what the script wants.
func (a *answer) shape(q *question, r *Reply) {
	switch r.Outcome { //nolint:exhaustive // the others do not change the answer
	case Refused:
		a.text, a.calls, a.finish = "That is refused.", nil, finishRefused
	case Filtered:
		a.calls, a.finish = nil, finishFiltered
	case Guardrail:
		a.text, a.calls, a.finish = "A guardrail stepped in.", nil, finishGuardrail
	case EmptyAnswer:
		a.text, a.calls, a.finish = "", nil, finishStop
	case BrokenTool:
		for i := range a.calls { // vectors have none
			a.calls[i].broken, a.calls[i].args, a.finish = true, json.RawMessage(`{"city": "Pa`), finishBroken
		}
	case Huge:
		a.calls, a.finish, a.text = nil, finishStop, strings.Repeat("so much ", hugeBytes/8)
	case FailedIn200:
		a.failed, a.code = true, "server_error"
		if r.Code != "" {
			a.code = r.Code
		}
	}
	if r.Fill {
		a.usage.Output, a.finish = int64(max(q.maxTokens, 1)), finishLength
	}
	if r.Usage != nil {
		*a.usage = *r.Usage
	}
	switch r.Outcome { //nolint:exhaustive // the others tell the truth
	case NoUsage:
		a.usage = nil
	case NegativeUsage:
		a.usage.Output = -5
	case AbsurdUsage:
		a.usage.Input, a.usage.Output = 1<<52, 1<<52
	case ZeroUsage:
		*a.usage = Usage{}
	}
}

// hugeBytes is the length of a huge answer.
const hugeBytes = 20 << 20

// embed makes a vector of length 1 for each text; it depends on model, text and dimensions alone.
func (a *answer) embed(q *question) {
	a.vectors = make([][]float32, len(q.inputs))
	for i, text := range q.inputs {
		state := hash64(q.model, text)
		v := make([]float32, q.dimensions)
		var sum float64
		for j := range v {
			state = state*6364136223846793005 + 1442695040888963407
			x := float64(int32(state>>32)) / math.MaxInt32 //nolint:gosec // half of it, as a signed number
			v[j] = float32(x)
			sum += x * x
		}
		for j := range v {
			v[j] /= float32(math.Sqrt(sum))
		}
		a.vectors[i] = v
	}
}

// vector is one as it travels: numbers, or base64 of their bytes.
func (q *question) vector(v []float32) any {
	if !q.base64 {
		return v
	}
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(data)
}

func hash64(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d %s", len(p), p) // a hash takes everything
	}
	return h.Sum64()
}

// ResultHash is what an answer says of the tool results that it was given.
func ResultHash(results ...string) string { return hash(results...) }

func hash(parts ...string) string { return fmt.Sprintf("%016x", hash64(parts...)) }

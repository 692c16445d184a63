package templates

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func parameters() []Parameter {
	return []Parameter{
		{Name: "week", Type: Integer, Required: true},
		{Name: "tone", Default: "plain", Allowed: []any{"plain", "formal"}, MaxLength: 6},
		{Name: "share", Type: Number},
		{Name: "brief", Type: Boolean, Default: true},
		{Name: "who"},
	}
}

// summary has two steps that do not need each other and one that needs both.
func summary(t *testing.T) *Template {
	t.Helper()
	made, err := New(Template{
		Name: "summary", Parameters: parameters(), Result: Check{JSON: true, Keys: []string{"text"}},
		Steps: []Step{
			{Name: "facts", DependsOn: []string{}, Prompt: "Week {{week}}, {{ tone }}: {{who}}. {{{{no gap}}", MaxTokens: 7},
			{Name: "risks", DependsOn: []string{}, Prompt: "Risks, brief {{brief}}", System: "{{share}}"},
			{Name: "join", Prompt: "{{facts.answer}} and {{risks.answer}}", Model: "m-{{tone}}", Fresh: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestATemplateAsksWhatItSays(t *testing.T) {
	t.Parallel()
	s := summary(t)
	values, err := s.Bind(map[string]any{"week": json.Number("49"), "who": "{{tone}} {{facts.answer}} {{{{", "share": 0.5})
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{"facts": "{{week}}", "risks": "none {{x}}"}
	for i, want := range []string{"Week 49, plain: {{tone}} {{facts.answer}} {{{{. {{no gap}}", "Risks, brief true", "{{week}} and none {{x}}"} {
		r, err := s.Request(i, values, answers)
		if err != nil || r.Prompt != want {
			t.Errorf("%d: %v: asks %q, want %q", i, err, r.Prompt, want)
		}
		switch i {
		case 0:
			if *r.MaxTokens != 7 || r.Cache != nil || r.Model != "" {
				t.Errorf("got %+v", r)
			}
		case 1:
			if r.System != "0.5" {
				t.Errorf("got %+v", r)
			}
		case 2:
			if r.Model != "m-plain" || r.Cache == nil || !r.Cache.NoStore {
				t.Errorf("got %+v", r)
			}
		}
	}
	if got := [][]int{s.After(0), s.After(1), s.After(2)}; !reflect.DeepEqual(got, [][]int{nil, nil, {0, 1}}) {
		t.Errorf("the order is %v", got)
	}
	inOrder, err := New(Template{Name: "x", Steps: []Step{{Name: "a", Prompt: "a"}, {Name: "b", Prompt: "b"}, {Name: "c", Prompt: "{{a.answer}}"}}})
	if err != nil || !slices.Equal(inOrder.After(1), []int{0}) || !slices.Equal(inOrder.After(2), []int{0, 1}) {
		t.Errorf("%v: %+v", err, inOrder)
	}
}

// TestAFloodOfParametersIsToldInFew: what is wrong goes into results.
func TestAFloodOfParametersIsToldInFew(t *testing.T) {
	t.Parallel()
	given := map[string]any{}
	for i := range 10_000 {
		given[fmt.Sprintf("person %d\n", i)] = 1
	}
	if _, err := Bind([]Parameter{{Name: "week", Type: Text}}, given); err == nil || len(err.Error()) > 1000 || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "and 9995 more") {
		t.Error(err)
	}
}

func TestParametersAreChecked(t *testing.T) {
	t.Parallel()
	s := summary(t)
	for want, given := range map[string]map[string]any{
		"template summary: parameter week is required":           {},
		"parameter week must be a whole number":                  {"week": 4.5},
		"parameter week must be a whole number; parameter t":     {"week": "49", "tone": "angry"},
		"parameter tone must be one of plain, formal":            {"week": 1, "tone": "angry"},
		"parameter tone must be at most 6 characters, has 7":     {"week": 1, "tone": "plainer"},
		"parameter share must be a number":                       {"week": 1, "share": "half"},
		"parameter brief must be true or false":                  {"week": 1, "brief": "yes"},
		"parameter who must be a text":                           {"week": 1, "who": []any{"a"}},
		"parameter who must be text without zero bytes":          {"week": 1, "who": "a\x00"},
		"parameter \"more\" is none of week, tone, share, brief": {"week": 1, "more": nil},
	} {
		if v, err := s.Bind(given); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "angry") {
			t.Errorf("%v: %v, %v", given, v, err)
		}
	}
	values, err := s.Bind(map[string]any{"week": uint64(1), "who": json.Number("1.10"), "tone": nil})
	if err != nil || !maps.Equal(values, Values{"week": "1", "tone": "plain", "share": "", "brief": "true", "who": "1.10"}) {
		t.Errorf("%v: %v", err, values)
	}
	if _, err := Bind(nil, map[string]any{"x": 1}); err == nil || !strings.Contains(err.Error(), "no parameters") {
		t.Error(err)
	}
	if _, err := s.Request(2, values, map[string]string{"facts": strings.Repeat("x", MaxRendered)}); err == nil || !strings.Contains(err.Error(), "step join have more than") {
		t.Error(err)
	}
	if _, err := s.Request(2, values, nil); err != nil {
		t.Error(err)
	}
	empty, err := New(Template{Name: "x", Parameters: []Parameter{{Name: "a"}}, Steps: []Step{{Name: OnlyStep, Prompt: "{{a}} "}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Request(0, Values{"a": " "}, nil); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
}

func TestAnswersAreJudged(t *testing.T) {
	t.Parallel()
	s := summary(t)
	for answer, want := range map[string]string{
		"": "is empty", " \n": "is empty", "all is well": "no JSON object", "[1]": "no JSON object", "null": "no JSON object", `{"a":1}`: "has no text", ` {"text":"x"}`: "",
	} {
		got, err := s.Judge(answer)
		if want == "" && (err != nil || string(got) != `{"text":"x"}`) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %s, %v", answer, got, err)
		}
	}
}

func TestFaultsOfATemplateSayWhere(t *testing.T) {
	t.Parallel()
	one := func(change func(*Template)) Template {
		made := Template{Name: "x", Parameters: []Parameter{{Name: "p"}}, Steps: []Step{{Name: "a", Prompt: "{{p}}"}, {Name: "b", Prompt: "{{a.answer}}"}}}
		change(&made)
		return made
	}
	for where, made := range map[string]Template{
		"name":                      one(func(t *Template) { t.Name = "Board" }),
		"description":               one(func(t *Template) { t.Description = strings.Repeat("x", 3000) }),
		"parameters":                one(func(t *Template) { t.Parameters = make([]Parameter, MaxParameters+1) }),
		"parameters[0].name":        one(func(t *Template) { t.Parameters[0].Name = "" }),
		"parameters[1].name":        one(func(t *Template) { t.Parameters = append(t.Parameters, t.Parameters[0]) }),
		"parameters[0].type":        one(func(t *Template) { t.Parameters[0].Type = "date" }),
		"parameters[0].default":     one(func(t *Template) { t.Parameters[0].Default = []any{} }),
		"parameters[0].max_length":  one(func(t *Template) { t.Parameters[0].MaxLength = MaxLength + 1 }),
		"parameters[0].allowed[1]":  one(func(t *Template) { t.Parameters[0].Allowed = []any{"a", []any{}} }),
		"steps":                     one(func(t *Template) { t.Steps = nil }),
		"steps[1].name":             one(func(t *Template) { t.Steps[1].Name = "a" }),
		"steps[0].prompt":           one(func(t *Template) { t.Steps[0].Prompt = "" }),
		"steps[1].prompt":           one(func(t *Template) { t.Steps[1].Prompt = "{{none}}" }),
		"steps[0].system":           one(func(t *Template) { t.Steps[0].System = "{{b.answer}}" }),
		"steps[1].model":            one(func(t *Template) { t.Steps[1].Model = "{{a.answer}}" }),
		"steps[1].system":           one(func(t *Template) { t.Steps[1].System = "{{p" }),
		"steps[1].depends_on[0]":    one(func(t *Template) { t.Steps[1].DependsOn = []string{"c"} }),
		"steps[0].depends_on[0]":    one(func(t *Template) { t.Steps[0].DependsOn = []string{"b"} }),
		"steps[0].max_tokens":       one(func(t *Template) { t.Steps[0].MaxTokens = -1 }),
		"steps[0].temperature":      one(func(t *Template) { t.Steps[0].Temperature = new(3.0) }),
		"result.keys":               one(func(t *Template) { t.Result.Keys = []string{"k"} }),
		"prompt":                    {Name: "x", Steps: []Step{{Name: OnlyStep}}},
		"parameters[0].max_length ": one(func(t *Template) { t.Parameters[0] = Parameter{Name: "p", Type: Integer, MaxLength: 5} }),
	} {
		_, err := New(made)
		fault, is := errors.AsType[*Fault](err)
		if !is || fault.Where != strings.TrimSpace(where) {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func TestCasesAreTried(t *testing.T) {
	t.Parallel()
	s := summary(t)
	week := map[string]any{"week": 1}
	both := map[string]string{"facts": "f", "risks": "r"}
	with := func(join string) map[string]string {
		return map[string]string{"facts": "f", "risks": "r", "join": join}
	}
	for name, c := range map[string]struct {
		given Case
		why   string
	}{
		"as it should be": {Case{Parameters: week, Answers: with(`{"text":1}`), Prompts: map[string]string{"join": "f and r"}, Systems: map[string]string{"risks": ""}}, ""},
		"another prompt":  {Case{Parameters: week, Answers: both, Prompts: map[string]string{"join": "f"}}, `the prompt of step join is "f and r", and should be "f"`},
		"nothing":         {Case{Parameters: week, Answers: both}, "expects nothing"},
		"no such step":    {Case{Parameters: week, Prompts: map[string]string{"x": ""}}, "no step x"},
		"no answer":       {Case{Parameters: week, Prompts: map[string]string{"join": ""}}, "step join uses the answer of facts"},
		"an error":        {Case{Error: "parameter week is required"}, ""},
		"another error":   {Case{Error: "parameter tone"}, "and has no"},
		"no error":        {Case{Parameters: week, Answers: both, Error: "x"}, "there is no error"},
		"unwanted":        {Case{Prompts: both}, "there is an error"},
		"a bad answer":    {Case{Parameters: week, Answers: with("x"), Error: "no JSON object"}, ""},
	} {
		if why := s.Try(c.given); c.why == "" && why != "" || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// FuzzText: a text that was read prints and reads as itself, and what is put into its gaps stands there as it is.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"a {{b}} c", "{{{{ {{ x.answer }}", "{{a", "{{{a}}}", "{{{{{{a}}}}"} {
		f.Add(seed, "{{a}}")
	}
	f.Fuzz(func(t *testing.T, source, value string) {
		read, err := parse(source)
		if err != nil {
			return
		}
		var printed, want strings.Builder
		values, answers := Values{}, map[string]string{}
		for _, p := range read {
			switch {
			case p.parameter != "":
				printed.WriteString("{{" + p.parameter + "}}")
				values[p.parameter] = value
			case p.step != "":
				printed.WriteString("{{" + p.step + ".answer}}")
				answers[p.step] = value
			default:
				printed.WriteString(strings.ReplaceAll(p.plain, "{{", "{{{{"))
				want.WriteString(p.plain)
				continue
			}
			want.WriteString(value)
		}
		again, err := parse(printed.String())
		if err != nil || !reflect.DeepEqual(again, read) {
			t.Fatalf("%v: %q reads as %+v, and printed, %q, as %+v", err, source, read, printed.String(), again)
		}
		room := want.Len()
		got, err := read.render(values, answers, &room)
		if err != nil || got != want.String() || room != 0 {
			t.Fatalf("%v: got %q, want %q", err, got, want.String())
		}
		if room = want.Len() - 1; want.Len() > 0 {
			if _, err := read.render(values, answers, &room); err == nil {
				t.Fatal("it is longer than there is room")
			}
		}
	})
}

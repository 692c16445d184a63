package configs

import "strings"

// ScaffoldAction is a template for whoever writes an action of that name, and a file of cases that it passes.
func ScaffoldAction(name string) (action, cases []byte) {
	fill := func(text string) []byte { return []byte(strings.ReplaceAll(text, "NAME", name)) }
	return fill(scaffoldAction), fill(scaffoldCases)
}

const scaffoldAction = `# An own action of FLOW agreements: requests that are asked when somebody asks for it. Its file lies in flowgate.actions_folder; processes
# read it when they start. Try it without any model: flowgate flow test NAME.test.yaml
name: NAME
description: ""

# What whoever asks gives: flowgate flow run TRIGGER --param figures=…; an agreement's own parameters are its defaults. Others are refused.
# Types: text, integer, number, boolean. What is given is put into texts as it is, once: it is never read as a part of this file.
parameters:
  - {name: figures, required: true, max_length: 5000, description: the figures of the week}
  - {name: tone, default: plain, allowed: [plain, formal]}

# Each step asks one request, through all layers and under the agreement. They are asked in this order, or, where one has depends_on, each as
# soon as the steps that it names or whose answers it uses have answered. One request alone needs no steps: write prompt in their place.
steps:
  - name: facts
    prompt: |-
      List the three most important facts of these figures, a line each:
      {{figures}}
    max_tokens: 300
  - name: summary
    system: You write for a board of directors.
    prompt: |-
      Write a summary of three sentences in a {{tone}} tone of these facts:
      {{facts.answer}}
    max_tokens: 300
    # model: claude-haiku-4-5
    # temperature: 0
    # fresh: true    # a new answer, without the cache

# What the last answer must be; one that is empty fails always.
#result: {json: true, keys: [summary, risks]}
`

const scaffoldCases = `# Cases of NAME.yaml: flowgate flow test NAME.test.yaml
# Each gives parameters, and answers as models might give them, and says what is asked then, or a part of the error.
action: NAME.yaml
cases:
  - name: figures in a formal tone
    parameters: {figures: sales rose by 4 %, tone: formal}
    answers: {facts: sales rose, summary: All is well.}
    prompts:
      facts: |-
        List the three most important facts of these figures, a line each:
        sales rose by 4 %
      summary: |-
        Write a summary of three sentences in a formal tone of these facts:
        sales rose
    systems: {summary: You write for a board of directors.}
  - name: what is given is not read as a template
    parameters: {figures: "{{tone}} {{facts.answer}}"}
    prompts:
      facts: |-
        List the three most important facts of these figures, a line each:
        {{tone}} {{facts.answer}}
    answers: {facts: none}
  - name: no figures
    parameters: {tone: plain}
    error: parameter figures is required
  - name: a tone that nobody allowed
    parameters: {figures: none, tone: angry}
    error: parameter tone must be one of plain, formal
  - name: a parameter that it does not have
    parameters: {figures: none, week: 49}
    error: 'parameter "week" is none of figures, tone'
`

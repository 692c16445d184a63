package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"flowgate/messages"
	"flowgate/worker/workertest"
)

// controlsSettings let data through that controls then stop.
const controlsSettings = quickSettings + `  transient_attempts: 1
  compliance_level: ours
  controls_file: controls.yaml
  backends: {openai: {api_key: k, region: eu-west-1}}
  privacy:
    request: {contact: pass, identity: pass}
    answer: {payment: flag}
`

// controlsFile is the shipped file with a register, and a gate of our own at the end.
func controlsFile(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../../configs/controls.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for old, now := range map[string]string{
		"  standard: [core]\n":        "  standard: [core]\n  ours: [core, gdpr, pci, hipaa, house]\n",
		"purposes: {}\n":              "purposes:\n  support: {legal_basis: contract, data: [contact, identity], special_categories: none}\n",
		"  local: stays on this":      "  eu-*: within the Union\n  local: stays on this",
		"associates: [offline]":       "associates: [openai]",
		"\nsets:\n":                   "\nsets:\n  - id: house\n    title: The house\n    controls:\n      - {id: house.dear, says: it costs no more than a tenth of a cent, stages: [end], severity: low, gate: true, pass: cost_microusd <= 1000, evidence: [cost_microusd]}\n      - {id: house.region, says: it is answered within the Union, stages: [after], severity: low, gate: true, applies: answered, pass: 'region.startsWith(\"eu-\") && unmasked.all(d, d == \"contact\")', evidence: [region, unmasked]}\n",
		`retention: {class: "", days`: `retention: {class: hipaa, days`,
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("controls.yaml has no %q", old)
		}
		text = strings.Replace(text, old, now, 1)
	}
	return []byte(text)
}

func TestControlsActAtEveryLayer(t *testing.T) {
	t.Parallel()
	model := workertest.NewOpenAI(t)
	g := newGround(t, controlsSettings, "OPENAI_BASE_URL="+model.URL)
	g.file("controls.yaml", controlsFile(t))
	up := g.up()
	up.ready()
	model.ScriptReplies("default/answer", workertest.ReplyAnswer("Use card 4111 1111 1111 1111."))
	model.ScriptReplies("default/failing", workertest.ReplyError(http.StatusInternalServerError, "x", "x", "x"), workertest.ReplyError(http.StatusInternalServerError, "x", "x", "x"), workertest.ReplyError(http.StatusInternalServerError, "x", "x", "x"))
	model.ScriptReplies("default/dear", workertest.ReplyCompletion("dear", "stop", workertest.OpenAIUsage{Prompt: 10, Completion: 1500}))
	for id, args := range map[string][]string{
		"good":    {"--purpose", "support", "Write to anna@example.com"},
		"before":  {"--purpose", "fun", "Write to anna@example.com"},
		"call":    {"--purpose", "support", "Who has the number 536-90-4399?"},
		"answer":  {"--purpose", "support", "Say a card"},
		"dear":    {"--purpose", "support", "Say a lot"},
		"failing": {"--purpose", "support", "Ring anna@example.com"}, // not the question of good: its answer may be kept by now
	} {
		g.say(append([]string{"submit", "--id", id, "--reason", "a test of controls", "--user", "anna", "--department", "it", "--model", "claude-3-haiku"}, args...)...).wants(t, exitDone, "accepted")
	}
	// Each is stopped by one layer; what the layers before it had to say, they passed.
	for id, want := range map[string]struct {
		control string
		calls   int
		cost    bool
		layer   messages.LayerName
	}{
		"before": {"gdpr.purpose", 0, false, messages.LayerCorporate},
		"call":   {"hipaa.minimum", 0, false, messages.LayerAI},
		"answer": {"pci.answer", 1, true, messages.LayerAI},
		"dear":   {"house.dear", 1, true, messages.LayerOptimizer},
	} {
		r := g.result(id)
		if r.Status != messages.StatusDenied || r.Reason != messages.ReasonControlFailed || r.Answer != "" || !strings.Contains(r.Message, want.control) {
			t.Errorf("%s: got %+v", id, r)
		}
		if n := model.Calls("default/" + id); n != want.calls || (r.Metadata != nil && r.Metadata.CostMicroUSD > 0) != want.cost {
			t.Errorf("%s: %d calls, metadata %+v", id, n, r.Metadata)
		}
		c := r.Compliance
		if c == nil || c.Score == nil || *c.Score > 0.49 || c.Failed == 0 || c.Note != messages.ComplianceNote || c.Version == "" || c.Level != "ours" {
			t.Errorf("%s: compliance %+v", id, c)
			continue
		}
		for _, f := range c.Frameworks {
			for _, one := range f.Controls {
				strange := one.State == "fail" && !strings.HasPrefix(one.ID, strings.Split(want.control, ".")[0]+".")
				if strange || one.ID == want.control && one.State != "fail" || one.State != "not_applicable" && one.Evidence == "" {
					t.Errorf("%s: %+v", id, one)
				}
			}
		}
		if got := g.explained(id); len(got.Checks) == 0 || got.Checks[len(got.Checks)-1].Layer != want.layer && want.layer != messages.LayerAI {
			t.Errorf("%s: ended at %+v", id, got.Checks)
		}
	}
	r := g.result("good")
	if r.Status != messages.StatusSuccess || r.Compliance == nil || r.Compliance.Score == nil || r.Compliance.Failed != 0 {
		t.Fatalf("got %+v, compliance %+v", r, r.Compliance)
	}
	if *r.Compliance.Score >= 1 || r.Compliance.Unknown != 2 || *r.Compliance.Coverage >= 1 { // nobody said how long the record is kept
		t.Errorf("compliance %+v", r.Compliance.Share)
	}
	// Who saw the data is judged also where no answer came.
	judged := map[string]messages.Control{}
	r = g.result("failing")
	for _, f := range r.Compliance.Frameworks {
		for _, one := range f.Controls {
			judged[one.ID] = one
		}
	}
	if r.Status != messages.StatusFailure || judged["gdpr.transfer"].State != "pass" || judged["gdpr.transfer"].Stage != "call" || judged["core.in_doubt"].Stage != "end" {
		t.Errorf("failing: %+v, %+v", r.Status, judged)
	}
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })
	g.say("result", "good").wants(t, exitDone, "controls  score 0.9", "2 unknown (hipaa.retention, pci.retention)")
	g.say("explain", "answer").wants(t, exitDone, "CONTROL", "pci.answer", "after   fail", "answer_data=payment; answer_unmasked=payment", "house.dear", "ended before a result was recorded")
	if text := string(g.story("answer")); strings.Contains(text, "4111") {
		t.Errorf("the record has the answer that was withheld: %s", text)
	}
	up.stop()
}

// explained is what explain says, once the record has it.
func (g *ground) explained(id string) (e explanation) {
	g.t.Helper()
	eventually(g.t, id+" is recorded", func() bool {
		e = explanation{}
		g.say("explain", id, "--json").read(g.t, &e)
		return len(e.Checks) > 0
	})
	return e
}

// story is what the record has of a request, as it is.
func (g *ground) story(id string) []byte {
	g.t.Helper()
	return []byte(g.say("audit", "show", id, "--json").stdout)
}

func TestControlsAreShownAndChecked(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	g.say("controls", "list").wants(t, exitDone, "core.purpose", "6 controls of level standard", "no legal advice")
	var list controlList
	g.say("controls", "list", "--level", "regulated", "--json").read(t, &list)
	if len(list.Controls) != 27 || list.Version == "" || list.Level != "regulated" {
		t.Errorf("got %+v", list)
	}
	g.say("controls", "list", "--level", "dire").wants(t, exitUsage, "no level of compliance", "regulated")
	g.say("controls", "explain", "gdpr.transfer").wants(t, exitDone, "Chapter V", "a gate", `passes     where transfer != ""`, "missing    fail")
	g.say("controls", "explain", "nothing").wants(t, exitUsage, "no control")
	g.say("controls", "facts").wants(t, exitDone, "answer_unmasked", "the mechanism by which personal data may go")
	g.file("good.yaml", controlsFile(t))
	g.say("controls", "check", "good.yaml").wants(t, exitDone, "good: 29 controls")
	g.file("bad.yaml", []byte("levels: {l: [x]}\nsets:\n  - id: x\n    title: t\n    controls:\n      - {id: x.a, says: s, stages: [later], severity: low, pass: 'user'}\n"))
	g.say("controls", "check", "bad.yaml").wants(t, exitUsage, "bad.yaml:6", "stages[0]", "must be true or false")
	g.file("settings.yaml", []byte("flowgate: {compliance_level: dire}\n"))
	g.say("config", "check").wants(t, exitUsage, "flowgate.compliance_level", "standard")
}

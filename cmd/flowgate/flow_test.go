package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/control"
)

// usersAgreements is the file of agreements of the user's own system, or, on machines that have it not, the same six made of ours.
func usersAgreements(t *testing.T, g *ground) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(dataFolder(), "user", "agreements.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	ours, err := os.ReadFile(filepath.Join("..", "..", "configs", "agreements.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return g.file("agreements.yaml", regexp.MustCompile(`(?m)^  (owner|version|sla_seconds): .*\n`).ReplaceAll(ours, nil))
}

// changedAgreements is what acts say with --json.
type changedAgreements struct{ Changed []agreementShown }

type importedAgreements struct {
	Agreements []importedAgreement
	DryRun     bool `json:"dry_run"`
}

// act does something with an agreement that must go well.
func (g *ground) act(verb, trigger, by string, more ...string) []agreementShown {
	g.t.Helper()
	var said changedAgreements
	g.say(append([]string{"flow", verb, trigger, "--reason", verb + " it", "--by", by, "--json"}, more...)...).read(g.t, &said)
	if len(said.Changed) == 0 {
		g.t.Fatalf("%s %s changed nothing", verb, trigger)
	}
	return said.Changed
}

const underCost = `{"prompt":"Say OK","audit_reason":"a test of agreements","trigger":"[Cost Analysis]"}`

func TestTheLifeOfAnAgreement(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	conn := producer(t, up.ready().NATSURL)
	file := usersAgreements(t, g)

	// The user's file becomes drafts, once; what is in force stays.
	var imported importedAgreements
	g.say("flow", "import", file, "--dry-run", "--json").read(t, &imported)
	if len(imported.Agreements) != 6 || !imported.DryRun {
		t.Fatalf("a dry run says %+v", imported)
	}
	g.say("flow", "import", file).wants(t, exitUsage, "--reason")
	g.say("flow", "import", file, "--reason", "plan of 2026", "--by", "anna", "--json").read(t, &imported)
	for _, a := range imported.Agreements {
		if a.Unchanged || a.State != flow.StateDraft || a.Diff.From != "2" || len(a.Diff.Fields) == 0 {
			t.Errorf("imported %+v", a)
		}
	}
	version := imported.Agreements[1].Version
	g.say("flow", "import", file, "--reason", "again", "--by", "anna").wants(t, exitDone, "[Cost Analysis] version "+version+": unchanged, it is a draft", "6 agreements, 0 written")
	g.say("flow", "list").wants(t, exitDone, "[Cost Analysis]", "approved", "finance", version+" draft")

	// Another person than the author approves it.
	g.act("submit", "cost analysis", "anna")
	g.say("flow", "approve", "[Cost Analysis]", "--reason", "mine", "--by", "Anna").wants(t, exitFailed, "approved by another person than its author")
	g.say("flow", "approve", "[Cost Analysis]", "--reason", "mine", "--by", "anna", "--without-directory").wants(t, exitFailed, "another person")
	g.say("flow", "list", "--in", "review").wants(t, exitDone, version)
	if c := g.act("approve", "[Cost Analysis]", "maria"); len(c) != 2 || c[0].State != flow.StateRetired || c[1].Version != version || c[1].Approver != "maria" {
		t.Errorf("approving changed %+v", c)
	}
	if e := g.lastEvent(messages.SystemTenant, messages.EventAgreementChanged).Agreement; e == nil || e.Act != "approve" || e.Version != version || e.State != "approved" || e.Reason != "approve it" || e.By != "maria" || e.Revision == 0 {
		t.Errorf("recorded %+v", e)
	}
	g.approvedOnce("[Error Analysis]")

	// Suspended, nothing that comes a second later runs under it; resumed, it does again.
	suspended := g.act("suspend", "[Cost Analysis]", "maria")[0].Last.At
	g.answered(conn, "suspended", underCost, func(asked time.Time, r messages.Result) bool {
		if r.Status == messages.StatusSuccess && asked.Sub(suspended) > time.Second {
			t.Errorf("%s passed, asked %s after the suspension", r.ID, asked.Sub(suspended))
		}
		return r.Status == messages.StatusDenied && r.Reason == messages.ReasonAgreementSuspended
	})
	var story agreementStory
	g.say("flow", "show", "[Cost Analysis]", "--json").read(t, &story)
	if story.Now.Runs || story.Now.Reason != messages.ReasonAgreementSuspended || story.Now.Version != version || len(story.Versions) != 2 {
		t.Errorf("shown is %+v", story)
	}
	g.say("flow", "suspend", "[Cost Analysis]", "--reason", "again", "--by", "maria").wants(t, exitFailed, "only an approved version is suspended")
	g.act("resume", "[Cost Analysis]", "maria")
	succeeds := func(_ time.Time, r messages.Result) bool { return r.Status == messages.StatusSuccess }
	g.answered(conn, "resumed", underCost, succeeds)

	next := g.editedAndApproved(version)
	g.answered(conn, "under-the-next", underCost, func(_ time.Time, r messages.Result) bool {
		return succeeds(time.Time{}, r) && strings.Contains(g.say("audit", "show", r.ID, "--json").stdout, `"version": "`+next+`"`)
	})
	g.historyHas("[Cost Analysis]", "supersede retired", "approve approved", "submit review", "write draft", "resume approved", "suspend suspended", "seed approved")
	g.triggersAreFound()
	g.rolesAreWanted()
	up.stop()
}

// answered asks until an answer is as it should be.
func (g *ground) answered(conn *nats.Conn, id, document string, good func(asked time.Time, r messages.Result) bool) {
	g.t.Helper()
	tries := 0
	eventually(g.t, id+" is answered as it should be", func() bool {
		tries++
		asked := time.Now()
		return good(asked, asks(g.t, conn, fmt.Sprint(id, "-", tries), document))
	})
}

// approvedOnce submits a draft and wants one of two who approve it at once to do so.
func (g *ground) approvedOnce(trigger string) {
	g.t.Helper()
	g.act("submit", trigger, "anna")
	var both []*process
	for _, by := range []string{"maria", "bert"} {
		both = append(both, g.begin(g.command("flow", "approve", trigger, "--reason", "seen by "+by, "--by", by), ""))
	}
	done := 0
	for _, p := range both {
		switch s := p.ended(); s.code {
		case exitDone:
			done++
		default:
			s.wants(g.t, exitFailed, "only what is in review is approved")
		}
	}
	if done != 1 {
		g.t.Errorf("%d of two approved it", done)
	}
}

// editedAndApproved makes another version by a file, which takes the place of the one before it when it is approved.
func (g *ground) editedAndApproved(before string) string {
	t := g.t
	t.Helper()
	written := g.say("flow", "show", "[Cost Analysis]", "--yaml")
	written.wants(t, exitDone, "# [Cost Analysis], of version "+before)
	g.file("cost.yaml", []byte(written.stdout))
	g.say("flow", "edit", "cost.yaml", "--reason", "nothing", "--by", "anna").wants(t, exitDone, "unchanged, it is approved and in force")
	g.say("flow", "diff", "cost.yaml").wants(t, exitDone, "nothing differs")
	g.file("cost.yaml", []byte(written.stdout+"  owner: treasury\n  limits: {calls_day: 100, day: $5.00}\n"))
	g.say("flow", "diff", "cost.yaml").wants(t, exitFailed, "+ owner: treasury", "+ limits.day_microusd: $5.00")
	g.say("flow", "edit", "cost.yaml", "--base", "1", "--reason", "limits", "--by", "anna").wants(t, exitFailed, "the file was made from version \"1\", and "+before+" is approved by now")
	var edited importedAgreements
	g.say("flow", "edit", "cost.yaml", "--base", before, "--submit", "--reason", "limits", "--by", "anna", "--json").read(t, &edited)
	next := edited.Agreements[0].Version
	if a := edited.Agreements[0]; a.State != flow.StateReview || a.Diff.From != before || len(a.Diff.Fields) != 3 {
		t.Errorf("edited %+v", a)
	}
	g.say("flow", "diff", "cost analysis").wants(t, exitFailed, "from version "+before+" to "+next, "+ limits.calls_day: 100")
	g.act("approve", "[Cost Analysis]", "maria")
	g.say("flow", "list").wants(t, exitDone, next, "treasury", "100 calls/day, $5.00/day")
	g.say("flow", "diff", "[Cost Analysis]", before, next, "--json").wants(t, exitFailed, `"field": "limits.calls_day"`)
	g.file("again.yaml", []byte(written.stdout))
	g.say("flow", "edit", "again.yaml", "--reason", "back", "--by", "anna").wants(t, exitFailed, "to bring its content back, give it a version of its own")
	g.act("retire", "[Security Test]", "maria")
	g.say("flow", "show", "security test").wants(t, exitDone, "now: a request of tenant default is denied, agreement_not_approved")
	return next
}

// historyHas wants acts with what they led to, each with a reason and a name.
func (g *ground) historyHas(trigger string, acts ...string) {
	g.t.Helper()
	var h agreementHistory
	g.say("flow", "history", trigger, "--json").read(g.t, &h)
	var found []string
	for _, c := range h.Changes {
		found = append(found, string(c.Act)+" "+string(c.State))
		if c.Reason == "" || c.By == "" || c.At.IsZero() || c.Version == "" || c.Revision == 0 || c.Trigger != trigger {
			g.t.Errorf("the history has %+v", c)
		}
	}
	for _, act := range acts {
		if !slices.Contains(found, act) {
			g.t.Errorf("the history has no %s: %v", act, found)
		}
	}
	g.say("flow", "history", "--since", "0s").wants(g.t, exitDone)
	g.say("flow", "history", "--since", "yesterday").wants(g.t, exitUsage, "--since")
}

// triggersAreFound tries what people write for a trigger, and files that are wrong.
func (g *ground) triggersAreFound() {
	t := g.t
	t.Helper()
	g.say("flow", "match", "please run the cost analysis").wants(t, exitDone, "it means [Cost Analysis], contained")
	g.say("flow", "match", "contest").wants(t, exitFailed, "it means none")
	var m flow.Match
	s := g.say("flow", "match", "cost analysis and error analysis", "--json")
	if s.read(t, &m); s.code != exitFailed || !m.Ambiguous || len(m.Candidates) < 2 {
		t.Errorf("code %d, %+v", s.code, m)
	}
	g.say("flow", "suspend", "cost analysis and error analysis", "--reason", "x").wants(t, exitUsage, "may mean several", "[Error Analysis]")
	g.say("flow", "suspend", "[Cost Analyses]", "--reason", "x").wants(t, exitUsage, "there is no such agreement", "[Cost Analysis]")
	g.say("flow", "show", "[Cost Analysis]", "--version", "none").wants(t, exitUsage, "has no version")
	g.say("flow", "list", "--in", "gone").wants(t, exitUsage, "no state")
	g.say("pause", "agreement", "[Board Summary]", "--reason", "x").wants(t, exitUsage, "nothing has this name")
	g.say("flow", "new", "[Board Summary]").wants(t, exitDone, "written to board-summary.yaml")
	g.say("flow", "new", "[Board Summary]").wants(t, exitFailed, "is there already")
	g.say("flow", "edit", "board-summary.yaml", "--reason", "x").wants(t, exitUsage, "flowgate flow import")
	g.say("flow", "import", "board-summary.yaml", "--submit", "--reason", "x", "--by", "anna").wants(t, exitDone, "in review, for another person", "1 agreements, 1 written")
	g.say("pause", "agreement", "board summary", "--reason", "x").wants(t, exitDone, "agreement [Board Summary] is paused")
	g.file("level.yaml", []byte("- {trigger: x, flow_encoding: \"@a#b!c@d\", action: y, compliance_level: none_such}\n"))
	g.say("flow", "import", "level.yaml", "--reason", "x").wants(t, exitUsage, "level.yaml", "no level of the controls")
	g.say("flow", "import", "nowhere.yaml", "--reason", "x").wants(t, exitUsage, "nowhere.yaml")
}

// rolesAreWanted wants writing and approving to be different roles where there is a directory, and a word where not all could be told.
func (g *ground) rolesAreWanted() {
	t := g.t
	t.Helper()
	g.say("people", "add", "anna", "--roles", "operator", "--reason", "x").wants(t, exitDone)
	g.say("people", "add", "maria", "--roles", "approver", "--reason", "x").wants(t, exitDone)
	g.say("flow", "submit", "[Integration Test]", "--reason", "x", "--by", "maria").wants(t, exitFailed, "maria", "operator")
	g.act("submit", "[Integration Test]", "anna")
	g.say("flow", "approve", "[Integration Test]", "--reason", "x", "--by", "anna").wants(t, exitFailed, "anna", "approver")
	g.act("return", "[Integration Test]", "maria")
	g.say("flow", "suspend", "[Integration Test]", "--reason", "x", "--by", "\u200bmaria").wants(t, exitUsage, "invisible")
	if err := g.operator().DeleteKeyValue(t.Context(), control.Bucket); err != nil {
		t.Fatal(err)
	}
	g.say("flow", "suspend", "[Integration Test]", "--reason", "x", "--by", "maria").
		wants(t, exitFailed, "[Integration Test] version 2 is suspended", "the database has it, but not every process was told")
}

package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"flowgate/messages"
	"flowgate/worker/state"
	"flowgate/worker/workertest"
)

// Planted data: what no model may see, and what nothing but a request itself and its answer may hold.
const (
	plantedMail   = "anna.canary@example.com"
	plantedCard   = "4111 1111 1111 1111"
	plantedIBAN   = "DE89 3704 0044 0532 0130 00"
	plantedToken  = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
	plantedMadeUp = "5555 5555 5555 4444"
)

const privacySettings = quickSettings + `  transient_attempts: 1
  backends: {openai: {api_key: k, region: eu-west-1}}
  privacy:
    request: {secret: deny}
    answer: {US_SSN: deny, contact: flag}
    purposes: {rotation: {request: {secret: mask}}, letters: {request: {contact: pass}}}
    regions: {eu-*: {network: pass}, us-*: {contact: deny}}
`

func TestPersonalDataStayHere(t *testing.T) {
	t.Parallel()
	model := workertest.NewOpenAI(t)
	g := newGround(t, privacySettings, "OPENAI_BASE_URL="+model.URL)
	up := g.begin(g.command("up", "--json", "-v"), "")
	base := up.ready().HTTPURL
	model.ScriptReplies("default/ok", workertest.ReplyAnswer("Wrote to <EMAIL_1>: <CARD_1> is refused, try "+plantedMadeUp+" or bob@example.com"))
	model.ScriptReplies("default/made-up", workertest.ReplyAnswer("The number is 536-90-4399."))
	model.Script("default/failing", func(c workertest.OpenAICall) workertest.OpenAIReply {
		return workertest.ReplyError(http.StatusInternalServerError, "x", "x", c.Messages[0].Content)
	})
	const text = "Tell " + plantedMail + " that card " + plantedCard + " of account " + plantedIBAN + " is blocked at 10.20.30.40."
	for id, c := range map[string]struct{ prompt, purpose string }{
		"ok": {text, ""}, "letters": {text, "letters"}, "made-up": {text, ""}, "failing": {text, ""},
		"secret": {"What is " + plantedToken + "?", ""}, "rotation": {"What is " + plantedToken + "?", "rotation"},
	} {
		args := []string{"submit", "--id", id, "--reason", "asked for by " + plantedMail, "--user", plantedCard, "--model", "claude-3-haiku"}
		if c.purpose != "" {
			args = append(args, "--purpose", c.purpose)
		}
		g.say(append(args, c.prompt)...).wants(t, exitDone, "accepted")
	}
	seen := func(id, want string) {
		t.Helper()
		if calls := model.Seen("default/" + id); len(calls) == 0 || calls[0].Messages[0].Content != want {
			t.Errorf("%s: the model saw %+v", id, calls)
		}
	}
	r := g.result("ok")
	seen("ok", "Tell <EMAIL_1> that card <CARD_1> of account <IBAN_1> is blocked at 10.20.30.40.")
	if r.Answer != "Wrote to "+plantedMail+": <CARD_1> is refused, try <CARD_2> or bob@example.com" {
		t.Errorf("answered %q", r.Answer)
	}
	if got := fmt.Sprint(r.Findings, r.AnswerFindings); got != "[{CREDIT_CARD 1 mask} {EMAIL_ADDRESS 1 mask} {IBAN_CODE 1 mask} {IP_ADDRESS 1 pass}] [{CREDIT_CARD 1 mask} {EMAIL_ADDRESS 1 flag}]" {
		t.Errorf("found %s", got)
	}
	g.result("letters")
	seen("letters", "Tell "+plantedMail+" that card <CARD_1> of account <IBAN_1> is blocked at 10.20.30.40.")
	r = g.result("made-up")
	if r.Status != messages.StatusDenied || r.Reason != messages.ReasonPersonalDataAnswer || r.Answer != "" || r.Metadata == nil || r.Metadata.CostMicroUSD == 0 {
		t.Errorf("got %+v", r)
	}
	r = g.result("secret")
	if r.Status != messages.StatusDenied || r.Reason != messages.ReasonPersonalData || !strings.Contains(r.Message, "GITHUB_TOKEN (1)") || model.Calls("default/secret") != 0 {
		t.Errorf("got %+v after %d calls", r, model.Calls("default/secret"))
	}
	g.result("rotation")
	seen("rotation", "What is <GITHUB_TOKEN_1>?")
	if r := g.result("failing"); r.Status != messages.StatusFailure {
		t.Errorf("got %+v", r)
	}
	eventually(t, "the record is complete", func() bool { return g.say("audit", "check").code == exitDone })

	shown := g.recorded()
	_, shown["/metrics"] = fetch(t, base, "/metrics", "")
	for _, args := range [][]string{{"audit", "show", "ok", "--json"}, {"audit", "show", "made-up"}, {"audit", "show", "failing"}, {"dead", "list", "--json"}, {"gateways", "stats", "--json"}} {
		out := g.say(args...)
		shown[strings.Join(args, " ")] = out.stdout + out.stderr
	}
	up.stop()
	shown["standard error"], shown["standard output"] = up.err.String(), up.out.String()
	if said := shown["audit show made-up"]; !strings.Contains(said, "found CREDIT_CARD 1: mask") || !strings.Contains(said, "answered US_SSN 1: deny") {
		t.Errorf("the story says\n%s", said)
	}
	if !strings.Contains(shown["flowgate.outcome"], "rotation") || !strings.Contains(shown["standard error"], "failing") {
		t.Errorf("too little was said to judge it: %s\n%s", shown["flowgate.outcome"], shown["standard error"])
	}
	for where, text := range shown {
		for _, datum := range []string{plantedMail, plantedCard, plantedIBAN, plantedToken, plantedMadeUp, "536-90-4399"} {
			for _, form := range []string{datum, strings.ReplaceAll(datum, " ", ""), fmt.Sprintf("%x", datum)} {
				if at := strings.Index(text, form); at >= 0 {
					t.Errorf("%s holds %s: …%s…", where, datum, text[max(at-200, 0):min(at+len(form)+100, len(text))])
				}
			}
		}
	}
}

// recorded are all rows of the record as texts, by table; without contents, which are kept apart.
func (g *ground) recorded() map[string]string {
	g.t.Helper()
	info, err := state.Read(g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	conn, err := pgx.Connect(g.t.Context(), info.DatabaseURL)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close(g.t.Context())
	rows, err := conn.Query(g.t.Context(), `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
		WHERE schemaname = 'flowgate' AND tablename NOT IN ('content', 'dead_letter')`)
	tables, err := collect(rows, err)
	if err != nil || len(tables) < 8 {
		g.t.Fatalf("%v: %v", tables, err)
	}
	all := make(map[string]string)
	for _, table := range tables {
		rows, err := conn.Query(g.t.Context(), "SELECT r::text FROM "+table+" r")
		texts, err := collect(rows, err)
		if err != nil {
			g.t.Fatal(err)
		}
		all[table] = strings.Join(texts, "\n")
	}
	return all
}

func collect(rows pgx.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// TestAnUnreadableRequestTellsNoPersonalData reads what a stranger to the record may read of a request that could not be read itself.
func TestAnUnreadableRequestTellsNoPersonalData(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	up := g.up()
	conn := producer(t, up.ready().NATSURL)
	if err := conn.Publish(messages.RequestSubject(messages.ClassStd, messages.Key{Tenant: "default", ID: "bad"}),
		[]byte(`{"prompt":"`+plantedToken+`","audit_reason":"x`+plantedMail+`","model":{"`+plantedCard+`":1}}`)); err != nil {
		t.Fatal(err)
	}
	if r := g.result("bad"); r.Reason != messages.ReasonMalformed || strings.Contains(fmt.Sprint(r), "1111") {
		t.Errorf("got %+v", r)
	}
	eventually(t, "it is recorded", func() bool { return g.say("audit", "show", "bad").code == exitDone })
	for where, text := range g.recorded() {
		for _, datum := range []string{plantedMail, plantedCard, plantedToken} {
			if strings.Contains(text, datum) || strings.Contains(text, fmt.Sprintf("%x", datum)) {
				t.Errorf("%s holds %s", where, datum)
			}
		}
	}
	up.stop()
}

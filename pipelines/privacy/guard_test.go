package privacy_test

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"flowgate/messages"
	"flowgate/pipelines/privacy"
)

const (
	mail  = "anna@example.com"
	card  = "4111 1111 1111 1111"
	token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
)

// rules mask everything and put back e-mail addresses and the like, not cards and secrets.
func rules() privacy.Rules {
	return privacy.Rules{Restore: []string{"contact", "identity", "network"}}
}

func TestWhatIsMaskedComesBackWhereItMay(t *testing.T) {
	g := privacy.NewGuard(rules())
	s := g.Request([]string{"Write to " + mail + " about card " + card + ".", "Again: " + mail + ", not bob@example.com"}, "", "")
	want := []string{"Write to <EMAIL_1> about card <CARD_1>.", "Again: <EMAIL_1>, not <EMAIL_2>"}
	if !reflect.DeepEqual(s.Texts, want) || len(s.Denied) != 0 {
		t.Fatalf("a model would see %q", s.Texts)
	}
	if want := []messages.Finding{{Type: "CREDIT_CARD", Count: 1, Action: "mask"}, {Type: "EMAIL_ADDRESS", Count: 3, Action: "mask"}}; !reflect.DeepEqual(s.Findings, want) {
		t.Errorf("found %+v", s.Findings)
	}
	d := g.Answer(s, "Dear <EMAIL_2>, <CARD_1> of <EMAIL_1> and <EMAIL_3>", "")
	if d.Text != "Dear bob@example.com, <CARD_1> of "+mail+" and <EMAIL_3>" || len(d.Findings) != 0 {
		t.Errorf("answered %q with %+v", d.Text, d.Findings)
	}
}

func TestAPlaceholderIsNoWordOfTheRequest(t *testing.T) {
	g := privacy.NewGuard(rules())
	s := g.Request([]string{"What is <EMAIL_1>? Not " + mail + "."}, "", "")
	if s.Texts[0] != "What is <EMAIL_1>? Not <EMAIL_2>." {
		t.Fatalf("a model would see %q", s.Texts)
	}
	if d := g.Answer(s, "<EMAIL_1> is none, <EMAIL_2> is", ""); d.Text != "<EMAIL_1> is none, "+mail+" is" {
		t.Errorf("answered %q", d.Text)
	}
}

func TestWhatAModelMakesUpIsMaskedApart(t *testing.T) {
	r := rules()
	r.Answer = privacy.Actions{"contact": "flag"}
	g := privacy.NewGuard(r)
	s := g.Request([]string{"Card " + card + " of " + mail}, "", "")
	d := g.Answer(s, "<EMAIL_1> also has card 5555 5555 5555 4444, says bob@example.com", "")
	if d.Text != mail+" also has card <CARD_2>, says bob@example.com" {
		t.Errorf("answered %q", d.Text)
	}
	if want := []messages.Finding{{Type: "CREDIT_CARD", Count: 1, Action: "mask"}, {Type: "EMAIL_ADDRESS", Count: 1, Action: "flag"}}; !reflect.DeepEqual(d.Findings, want) {
		t.Errorf("found %+v", d.Findings)
	}
	r.Answer = privacy.Actions{"CREDIT_CARD": "deny"}
	if d := privacy.NewGuard(r).Answer(s, "card 5555 5555 5555 4444", ""); len(d.Denied) != 1 || d.Denied[0] != privacy.TypeCard {
		t.Errorf("denied %v", d.Denied)
	}
}

func TestTheMostSpecificRuleCounts(t *testing.T) {
	r := privacy.Rules{
		Request: privacy.Actions{"contact": "flag", "EMAIL_ADDRESS": "mask", "payment": "deny", "secret": "deny"},
		Purposes: map[string]privacy.Exceptions{
			"fraud":   {Request: privacy.Actions{"payment": "pass"}},
			"nothing": {Request: privacy.Actions{"contact": "deny"}},
		},
		Regions: map[string]privacy.Actions{"eu-*": {"contact": "pass", "CREDIT_CARD": "mask"}, "eu-west-2": {"contact": "mask"}, "us-*": {"contact": "deny"}, "ap-south-1": {"contact": "deny"}, "local": {"secret": "pass"}},
	}
	g := privacy.NewGuard(r)
	for _, c := range []struct {
		text, purpose, region, want string
		admitted                    bool
	}{
		{mail, "", "", "mask", true},
		{mail, "", "sa-east-1", "mask", true},
		{mail, "", "us-east-1", "deny", true},
		{mail, "", "us", "deny", true}, // an inference profile's geography
		{mail, "", "u", "mask", true},
		{mail, "", "eu", "mask", true}, // it may be in eu-west-2
		{card, "", "eu", "mask", true},
		{mail, "", "ap", "deny", true}, // the one place in it that a rule names
		{mail, "", "eu-west-1", "pass", true},
		{mail, "", "eu-west-2", "mask", true},
		{mail, "nothing", "", "deny", false},
		{mail, "nothing", "eu-west-1", "deny", false}, // the stricter of both
		{card, "", "us-east-1", "deny", true},         // in eu it may
		{card, "", "eu-west-1", "mask", true},
		{card, "fraud", "us-east-1", "pass", true},
		{card, "fraud", "eu-west-1", "mask", true},
		{token, "", "", "deny", true},
		{token, "", "local", "pass", true},
		{"10.1.2.3 is its IP address", "", "", "mask", true}, // nobody says
	} {
		s := g.Request([]string{c.text}, c.purpose, c.region)
		if len(s.Findings) != 1 || s.Findings[0].Action != c.want || (len(s.Denied) > 0) != (c.want == "deny") {
			t.Errorf("%q for %q in %q: %+v, denied %v", c.text, c.purpose, c.region, s.Findings, s.Denied)
		}
		looked := g.Look([]string{c.text})
		judged, denied := g.Judge(looked.Findings, c.purpose)
		if admitted := len(denied) == 0; admitted != c.admitted || looked.Texts[0] != c.text || len(judged) != 1 || looked.Findings[0].Action != "" {
			t.Errorf("%q for %q: admitted is %v, found %+v", c.text, c.purpose, admitted, judged)
		}
	}
	strict := privacy.NewGuard(privacy.Rules{Request: privacy.Actions{"secret": "deny"}})
	if judged, denied := strict.Judge(strict.Look([]string{token}).Findings, ""); len(denied) != 1 {
		t.Errorf("no region makes an exception, and it was admitted: %+v", judged)
	}
}

func TestLenientRulesFlag(t *testing.T) {
	r := rules()
	r.Request = privacy.Actions{"secret": "deny"}
	r.Purposes = map[string]privacy.Exceptions{"x": {Request: privacy.Actions{"contact": "mask"}}}
	g := privacy.NewGuard(r.Lenient())
	for text, want := range map[string]string{mail: "flag", card: "flag", token: "deny"} {
		for _, purpose := range []string{"", "x"} {
			if s := g.Request([]string{text}, purpose, ""); s.Findings[0].Action != want || s.Texts[0] != text {
				t.Errorf("%q for %q: %+v", text, purpose, s.Findings)
			}
		}
	}
	if d := g.Answer(privacy.Screened{}, mail, ""); d.Text != mail || d.Findings[0].Action != "flag" {
		t.Errorf("answered %q with %+v", d.Text, d.Findings)
	}
}

func TestFaultsOfRulesAreNamed(t *testing.T) {
	r := privacy.Rules{
		Request: privacy.Actions{"contacts": "mask", "contact": "hide"}, Restore: []string{"all"},
		Purposes: map[string]privacy.Exceptions{"p": {Answer: privacy.Actions{"EMAIL": "mask"}}}, Regions: map[string]privacy.Actions{"eu": {"secret": ""}},
	}
	var where []string
	for _, f := range r.Faults() {
		where = append(where, f.Where)
	}
	if want := []string{"purposes.p.answer.EMAIL", "regions.eu.secret", "request.contact", "request.contacts", "restore"}; !reflect.DeepEqual(where, want) {
		t.Errorf("faults at %v", where)
	}
	if faults := rules().Faults(); len(faults) != 0 {
		t.Errorf("got %+v", faults)
	}
}

func TestEveryTypeHasAClass(t *testing.T) {
	seen := map[privacy.Type]bool{}
	for _, typ := range privacy.Types() {
		if seen[typ] {
			t.Errorf("%s has two classes", typ)
		}
		seen[typ] = true
	}
	for _, one := range makers() {
		if !seen[one.kind] {
			t.Errorf("%s has no class", one.kind)
		}
	}
}

func TestAnAnswerOfPlaceholdersStaysBounded(t *testing.T) {
	r := privacy.Rules{Restore: []string{"secret"}}
	g := privacy.NewGuard(r)
	key := "-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("MIIEpAIBAAKCAQEA1234567890abcdefghijklmnop\n", 200) + "-----END RSA PRIVATE KEY-----"
	s := g.Request([]string{key}, "", "")
	if !strings.HasPrefix(s.Texts[0], "<PRIVATE_KEY_1>") {
		t.Fatalf("a model would see %.80q", s.Texts[0])
	}
	d := g.Answer(s, strings.Repeat("<PRIVATE_KEY_1>", 10_000), "")
	if len(d.Text) > 10_000*15+(2<<20) || !strings.HasPrefix(d.Text, key) {
		t.Errorf("the answer has %d bytes and begins with %.40q", len(d.Text), d.Text)
	}
}

func TestNobodyWhoGuardsNothing(t *testing.T) {
	var g *privacy.Guard
	s := g.Request([]string{mail}, "", "")
	if s.Texts[0] != mail || g.Answer(s, card, "").Text != card || g.Look([]string{token}).Findings != nil || g.Redact(card, func(privacy.Type) bool { return true }) != card {
		t.Error("it did something")
	}
}

func TestTheRecordKeepsTypes(t *testing.T) {
	g := privacy.NewGuard(rules())
	text := "for " + mail + ", card " + card
	if got := g.Redact(text, func(privacy.Type) bool { return true }); got != "for <EMAIL>, card <CARD>" {
		t.Errorf("got %q", got)
	}
	if got := g.Redact(text, func(typ privacy.Type) bool { return typ.Class() == privacy.ClassPayment }); got != "for "+mail+", card <CARD>" {
		t.Errorf("got %q", got)
	}
}

// TestMaskingIsUndone: whatever stands around data, masking and putting back gives the text, and what a request grows by was
// foreseen when it was admitted.
func TestMaskingIsUndone(t *testing.T) {
	g := privacy.NewGuard(privacy.Rules{Answer: everything("pass"), Restore: classes()})
	pieces := []string{mail, card, token, "10.0.0.1", "1.1.1.1", "bob@ex.co", "<EMAIL_1>", "<", ">", "<EMAIL_", "_1>", "1>", " ", "é", "\u200b", "４１１１", "call +1 415-555-2671", "x", "\xff"}
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 20).Draw(t, "pieces"), "")
		}), 1, 4).Draw(t, "texts")
		undone(t, g, texts)
	})
}

func FuzzGuard(f *testing.F) {
	g := privacy.NewGuard(privacy.Rules{Answer: everything("pass"), Restore: classes()})
	f.Add("Write to "+mail+" about "+card, "<EMAIL_1> "+token)
	f.Add("<CARD_1>4111111111111111>", "\u200b４111 1111 1111 1111")
	f.Fuzz(func(t *testing.T, a, b string) { undone(t, g, []string{a, b}) })
}

func undone(t interface{ Fatalf(string, ...any) }, g *privacy.Guard, texts []string) {
	s := g.Request(texts, "", "")
	was, is := 0, 0
	for i, text := range texts {
		if d := g.Answer(s, s.Texts[i], ""); d.Text != text {
			t.Fatalf("%q was masked as %q and came back as %q", text, s.Texts[i], d.Text)
		}
		was, is = was+len(text), is+len(s.Texts[i])
	}
	if growth := g.Look(texts).Growth; is > was+growth {
		t.Fatalf("%q grew by %d bytes, %d were foreseen", texts, is-was, growth)
	}
}

func everything(a privacy.Action) privacy.Actions {
	all := make(privacy.Actions)
	for _, c := range privacy.Classes() {
		all[string(c)] = a
	}
	return all
}

func classes() []string {
	var names []string
	for _, c := range privacy.Classes() {
		names = append(names, string(c))
	}
	return names
}

func BenchmarkGuard(b *testing.B) {
	g := privacy.NewGuard(rules())
	texts := []string{strings.Repeat("The quick brown fox of "+mail+" jumps over the lazy dog while nobody counts to ten again. ", 12)[:1024]}
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		s := g.Request(texts, "", "")
		g.Answer(s, s.Texts[0], "")
	}
}

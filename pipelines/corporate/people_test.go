package corporate_test

import (
	"reflect"
	"slices"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/pipelines/privacy"
)

// directory has u1 of finance, who may ask, and nobody else who may.
func directory() *corporate.Directory {
	producer := []messages.Role{messages.RoleApprover, messages.RoleProducer}
	return &corporate.Directory{
		Revision: 7,
		People: map[string]messages.Person{
			"u1":     {State: messages.PersonActive, Department: "finance", Roles: producer, CostCentre: "c1"},
			"gone":   {State: messages.PersonSuspended, Roles: producer},
			"reader": {State: messages.PersonActive, Roles: []messages.Role{messages.RoleAuditor}},
			"free":   {State: messages.PersonActive, Roles: producer},
		},
		Departments: map[string]messages.Department{"finance": {CostCentre: "c2"}, "hr": {}},
		Credentials: map[string]corporate.Credential{"nightly": {User: "free", Department: "hr", Purpose: "reports", Reason: "nightly reports"}},
	}
}

func TestTheDirectoryRefusesWithItsReason(t *testing.T) {
	type change func(*messages.Request, *corporate.Directory, *corporate.Policy)
	everyone := func(a messages.Allowed) change {
		return func(_ *messages.Request, d *corporate.Directory, _ *corporate.Policy) { d.Everyone.Allowed = a }
	}
	finance := func(a messages.Allowed) change {
		return func(_ *messages.Request, d *corporate.Directory, _ *corporate.Policy) {
			d.Departments["finance"] = messages.Department{Allowed: a}
		}
	}
	asks := func(user, department string, known bool) change {
		return func(r *messages.Request, d *corporate.Directory, _ *corporate.Policy) {
			r.UserID, r.Department, d.Everyone.KnownPeople = user, department, known
		}
	}
	both := func(a, b change) change {
		return func(r *messages.Request, d *corporate.Directory, p *corporate.Policy) { a(r, d, p); b(r, d, p) }
	}
	purpose := func(word string) change {
		return func(r *messages.Request, _ *corporate.Directory, _ *corporate.Policy) { r.Purpose = word }
	}
	card := func(r *messages.Request, _ *corporate.Directory, p *corporate.Policy) {
		r.Prompt, p.Privacy = "card 4111111111111111", privacy.NewGuard(privacy.Rules{})
	}
	for name, c := range map[string]struct {
		change change
		reason messages.Reason // empty: it passes
		check  string
	}{
		"who may ask":                          {asks("u1", "finance", true), "", ""},
		"who may ask and names no department":  {asks("u1", " ", true), "", ""},
		"a stranger where all may ask":         {asks("u2", "x", false), "", ""},
		"a stranger where none may":            {asks("u2", "finance", true), messages.ReasonUserUnknown, "person"},
		"a look-alike where none may":          {asks("u\u200b1", "finance", true), messages.ReasonUserUnknown, "person"},
		"who is suspended":                     {asks("gone", "finance", false), messages.ReasonUserSuspended, "person"},
		"who is suspended, among spaces":       {asks(" gone ", "finance", false), messages.ReasonUserSuspended, "person"},
		"who may only read":                    {asks("reader", "finance", false), messages.ReasonRoleMissing, "person"},
		"another department than the person's": {asks("u1", "hr", false), messages.ReasonDepartmentMismatch, "membership"},
		"a department of none":                 {asks("free", "it", true), messages.ReasonDepartmentUnknown, "membership"},
		"a department of none where all may":   {asks("free", "it", false), "", ""},
		"one of many departments":              {asks("free", "hr", true), "", ""},
		"no purpose":                           {everyone(messages.Allowed{Purposes: []string{"a", "b"}}), messages.ReasonPurposeMissing, "purpose"},
		"an allowed purpose":                   {both(purpose("b"), everyone(messages.Allowed{Purposes: []string{"a", "b"}})), "", ""},
		"a purpose that is not the department's": {
			both(purpose("b"), both(everyone(messages.Allowed{Purposes: []string{"a", "b"}}), finance(messages.Allowed{Purposes: []string{"a"}}))),
			messages.ReasonPurposeNotAllowed, "purpose",
		},
		"data of an allowed class": {both(card, finance(messages.Allowed{Data: []string{"payment"}})), "", ""},
		"data of another class":    {both(card, finance(messages.Allowed{Data: []string{"contact"}})), messages.ReasonDataNotAllowed, "data"},
		"data where none may be":   {both(card, everyone(messages.Allowed{Data: []string{messages.NoData}})), messages.ReasonDataNotAllowed, "data"},
		"no data where none may be": {both(func(r *messages.Request, _ *corporate.Directory, p *corporate.Policy) {
			p.Privacy = privacy.NewGuard(privacy.Rules{})
		}, everyone(messages.Allowed{Data: []string{messages.NoData}})), "", ""},
		"nobody looks for data": {everyone(messages.Allowed{Data: []string{messages.NoData}}), messages.ReasonDataNotAllowed, "data"},
		"a model by its alias":  {everyone(messages.Allowed{Models: []string{"sonnet"}}), "", ""},
		"a model by its id":     {finance(messages.Allowed{Models: []string{model}}), "", ""},
		"a model on one list only": {
			both(everyone(messages.Allowed{Models: []string{model}}), finance(messages.Allowed{Models: []string{"other"}})), messages.ReasonModelNotAllowed, "allowed_model",
		},
		"backends in common":                           {both(everyone(messages.Allowed{Backends: []string{"a", "b"}}), finance(messages.Allowed{Backends: []string{"b", "c"}})), "", ""},
		"no backend in common":                         {both(everyone(messages.Allowed{Backends: []string{"a"}}), finance(messages.Allowed{Backends: []string{"b"}})), messages.ReasonBackendNotAllowed, "allowed_backend"},
		"no region in common":                          {both(everyone(messages.Allowed{Regions: []string{"eu"}}), finance(messages.Allowed{Regions: []string{"us"}})), messages.ReasonRegionNotAllowed, "allowed_backend"},
		"the department's lists of another department": {both(asks("free", "hr", false), finance(messages.Allowed{Models: []string{"other"}})), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, f, p := setup(t)
			f.Directory = directory()
			c.change(r, f.Directory, &p)
			corporate.Fill(r, &f, p)
			d := corporate.Decide(r, f, p)
			switch {
			case c.reason == "" && d.Refusal != nil:
				t.Fatalf("refused: %+v", d.Refusal)
			case c.reason == "":
			case d.Refusal == nil || d.Refusal.Reason != c.reason || d.Refusal.Status != messages.StatusDenied:
				t.Fatalf("got %+v, want %s", d.Refusal, c.reason)
			default:
				if last := d.Section.Checks[len(d.Section.Checks)-1]; last.Name != c.check || last.State != "fail" || d.Amount != 0 {
					t.Errorf("the last check is %+v, %d reserved", last, d.Amount)
				}
			}
			again(t, r, f, p, d)
		})
	}
}

// again makes a decision once more out of what the record has of the directory.
func again(t *testing.T, r *messages.Request, f corporate.Facts, p corporate.Policy, d corporate.Decision) {
	t.Helper()
	f.Directory = corporate.DirectoryOf(&d.Section)
	r.UserID, r.Department, r.Purpose = d.Section.UserID, d.Section.Department, d.Section.Purpose
	if got := corporate.Decide(r, f, p); !reflect.DeepEqual(got, d) {
		t.Errorf("out of the record it is\n%+v, not\n%+v", got, d)
	}
}

func TestCredentialsFillWhatIsLeftOut(t *testing.T) {
	r, f, p := setup(t)
	f.Directory, f.Credential = directory(), "nightly"
	*r = messages.Request{Prompt: "x", Department: " "}
	corporate.Fill(r, &f, p)
	d := corporate.Decide(r, f, p)
	s := d.Section
	if d.Refusal != nil || s.UserID != "free" || s.Department != "hr" || s.Purpose != "reports" || s.AuditReason != "nightly reports" || s.ReasonLength != 15 {
		t.Fatalf("got %+v, %+v", s, d.Refusal)
	}
	if want := []string{"user_id", "department", "purpose", "audit_reason"}; !slices.Equal(s.Defaults, want) || s.Credential != "nightly" {
		t.Errorf("the record says %v of %q", s.Defaults, s.Credential)
	}
	again(t, r, f, p, d)

	r, f, p = setup(t) // what the request says goes before; the person's department goes before the credential's
	f.Directory, f.Credential, r.Department = directory(), "nightly", ""
	corporate.Fill(r, &f, p)
	s = corporate.Decide(r, f, p).Section
	if s.UserID != "u1" || s.Department != "finance" || s.AuditReason != "quarterly report" || !slices.Equal(s.Defaults, []string{"purpose"}) {
		t.Errorf("got %+v", s)
	}
	r, f, p = setup(t) // each that has no entry
	f.Directory, r.AuditReason = directory(), ""
	f.Directory.Credentials["*"] = corporate.Credential{Reason: "daily work"}
	corporate.Fill(r, &f, p)
	if d := corporate.Decide(r, f, p); d.Refusal != nil || d.Section.AuditReason != "daily work" || !slices.Equal(d.Section.Defaults, []string{"audit_reason"}) {
		t.Errorf("of each: %+v, %+v", d.Section, d.Refusal)
	}
	r, f, p = setup(t)
	f.Directory, f.Credential, r.AuditReason = directory(), "another", ""
	corporate.Fill(r, &f, p)
	if d := corporate.Decide(r, f, p); d.Refusal == nil || d.Refusal.Reason != messages.ReasonAuditReasonMissing || d.Section.Defaults != nil {
		t.Errorf("another credential: %+v", d)
	}
}

func TestAllowListsReachLayerTwo(t *testing.T) {
	r, f, p := setup(t)
	f.Directory = directory()
	f.Directory.Everyone.Allowed = messages.Allowed{Backends: []string{"a", "b", "c"}, Regions: []string{"eu"}}
	f.Directory.Departments["finance"] = messages.Department{Allowed: messages.Allowed{Backends: []string{"c", "b"}}}
	d := corporate.Decide(r, f, p)
	if d.Refusal != nil || !slices.Equal(d.Section.AllowedBackends, []string{"b", "c"}) || !slices.Equal(d.Section.AllowedRegions, []string{"eu"}) {
		t.Errorf("got %+v, %+v", d.Section, d.Refusal)
	}
}

func TestWithoutADirectoryNothingIsToldOfIt(t *testing.T) {
	r, f, p := setup(t)
	f.Credential = "nightly"
	corporate.Fill(r, &f, p)
	if s := corporate.Decide(r, f, p).Section; s.Directory != nil || s.Defaults != nil || s.AllowedBackends != nil || corporate.DirectoryOf(&s) != nil {
		t.Errorf("got %+v", s)
	}
}

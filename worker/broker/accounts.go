package broker

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// Names of accounts: flowgate's own, that of producers of every tenant, and what those of single tenants begin with.
const (
	accountFlowgate  = "FLOWGATE"
	accountProducers = "PRODUCERS"
	accountTenant    = "TENANT_"
)

// Walls say whom a server lets in beside those who are flowgate itself. Permissions inside one account are no wall, since the
// server writes its acknowledgement to whatever reply subject it is given. Whoever is let in has an account apart, whose
// subjects, inboxes too, are not flowgate's; what crosses is imported by name, and a reply comes back through it alone.
type Walls struct {
	// Tenants have an account each. Without any, everybody is let in, as a producer of every tenant.
	Tenants []Tenant
	// Anonymous is the tenant whose producers need no credential. Empty: beside tenants nobody is let in without one.
	Anonymous string
}

// Tenant is whom an account is for.
type Tenant struct {
	Name string
	// Keys are those of who is let in; there may be none.
	Keys []Key
}

// Key is the public nkey of a user, and a name for people.
type Key struct{ Name, Public string }

// account is one account beside flowgate's.
type account struct {
	name string
	// tenant is whose subjects it reaches: * is everybody's.
	tenant string
	keys   []Key
	// anonymous: who has no credential is let in.
	anonymous bool
}

func (w Walls) accounts() []account {
	if len(w.Tenants) == 0 {
		return []account{{name: accountProducers, tenant: "*", anonymous: true}}
	}
	var all []account
	for _, t := range w.Tenants {
		all = append(all, account{name: accountTenant + t.Name, tenant: t.Name, keys: t.Keys, anonymous: t.Name == w.Anonymous})
	}
	for _, a := range all {
		if a.anonymous {
			return all
		}
	}
	if w.Anonymous != "" {
		all = append(all, account{name: accountTenant + w.Anonymous, tenant: w.Anonymous, anonymous: true})
	}
	return all
}

// crossing is a subject by which an account reaches flowgate's: a service that it asks, or a stream that it hears.
type crossing struct {
	subject string
	stream  bool
	// pieces: it is answered in several messages.
	pieces bool
}

func (a account) crossings() []crossing {
	return []crossing{
		{subject: "flowgate.request.*." + a.tenant + ".*"},
		{subject: "flowgate.get.result." + a.tenant + ".*", pieces: true},
		{subject: "flowgate.get.intake." + a.tenant + ".*"},
		{subject: "flowgate.result." + a.tenant + ".*", stream: true},
	}
}

// permissions say again what the imports say, so that whoever tries more is told so. Those of everybody are wider: a subject
// with another number of tokens has no responder, and that is said.
func (a account) permissions() (publish, subscribe []string) {
	if a.tenant == "*" {
		return []string{"flowgate.request.>", "flowgate.get.result.>", "flowgate.get.intake.>"}, []string{"flowgate.result.>", "_INBOX.>"}
	}
	for _, c := range a.crossings() {
		if !c.stream {
			publish = append(publish, c.subject)
		}
	}
	return publish, []string{"flowgate.result." + a.tenant + ".>", "_INBOX.>"}
}

// build puts an account up in a running server: what flowgate's exports to it, and its imports. What stands already is left.
func (a account) build(ns *server.Server) (*server.Account, error) {
	to, isNew := ns.LookupOrRegisterAccount(a.name)
	if !isNew {
		return to, nil
	}
	from, err := ns.LookupAccount(accountFlowgate)
	if err != nil {
		return nil, fmt.Errorf("finding flowgate's account: %w", err)
	}
	only := []*server.Account{to}
	for _, c := range a.crossings() {
		switch {
		case c.stream:
			err = errors.Join(from.AddStreamExport(c.subject, only), to.AddStreamImport(from, c.subject, ""))
		case c.pieces:
			err = errors.Join(from.AddServiceExportWithResponse(c.subject, server.Streamed, only), to.AddServiceImport(from, c.subject, c.subject))
		default:
			err = errors.Join(from.AddServiceExport(c.subject, only), to.AddServiceImport(from, c.subject, c.subject))
		}
		if err != nil {
			return nil, fmt.Errorf("letting %s cross into account %s: %w", c.subject, a.name, err)
		}
	}
	return to, nil
}

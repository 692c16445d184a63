package security

import (
	"fmt"
	"slices"

	"flowgate/worker/broker"
)

// Keepers are what is known of who should be let in.
type Keepers struct {
	Walls broker.Walls
	// Shut are the credentials of tenants that are suspended.
	Shut []broker.Key
	// Own is the user as whom flowgate itself logs in, by name or public key; empty where nobody can tell.
	Own string
}

// Doors judges who a broker lets in, against the walls between tenants. In says where that is said: the running broker, or a file.
func Doors(d broker.Doors, k Keepers, in string) *Look {
	l, walls := &Look{}, k.Walls
	for _, a := range d.Accounts {
		l.Saw(max(len(a.Users), 1))
	}
	outside := !d.NoListener && !Loopback(d.Host)
	switch {
	case d.Open && !broker.Walled(d.OpenTo):
		severity := Medium
		if outside {
			severity = Critical
		}
		l.Find(severity, "connections without a credential", fmt.Sprintf("come in to account %s and may everything there, by %s", d.OpenTo, in),
			"give that server users and accounts: `flowgate tenants config` and `flowgate topology plan --permissions` write them")
	case d.Open && len(walls.Tenants) == 0 && outside:
		l.Find(High, "connections without a credential", "other machines reach the listener, and are producers of every tenant there", "`flowgate tenants add TENANT` closes it, or let flowgate.listen be a loopback address")
	}
	for _, a := range d.Accounts {
		for _, key := range k.Shut {
			if slices.ContainsFunc(a.Users, func(u broker.AuditedUser) bool { return u.Public == key.Public }) {
				l.Find(High, "credential "+key.Name, "is suspended, and let in by "+in, "give that server what `flowgate tenants config` writes, and reload it")
			}
		}
	}
	for _, b := range d.Insiders(k.Own) {
		l.Find(Low, "user "+b.Who, fmt.Sprintf("may subscribe to everything in account %s, what all tenants ask and are answered, by %s", b.Account, in),
			"leave that to administrators: `flowgate topology plan --permissions` writes what workers need, and producers have accounts of their own")
	}
	for _, b := range walls.Breaches(d) {
		severity, what := breach(b)
		l.Find(severity, subject(b), what+", by "+in, "give it what `flowgate tenants config` writes, and reload that server")
	}
	return l
}

func subject(b broker.Breach) string {
	if b.Who == b.Account {
		return "account " + b.Account
	}
	return "credential " + b.Who
}

func breach(b broker.Breach) (Severity, string) {
	switch b.Does {
	case broker.BreachAccount:
		return Critical, "a tenant's credential is let into account " + b.Account
	case broker.BreachImport:
		return Critical, fmt.Sprintf("imports %s, which is not the tenant's", some(b.Subjects))
	case broker.BreachExport:
		return High, fmt.Sprintf("exports %s to every account", some(b.Subjects))
	}
	does := "publish to"
	if b.Does == broker.BreachSubscribe {
		does = "subscribe to"
	}
	if b.Everything() {
		return High, fmt.Sprintf("may %s everything in account %s", does, b.Account)
	}
	return Medium, fmt.Sprintf("may %s %s in account %s, beyond what a tenant is given", does, some(b.Subjects), b.Account)
}

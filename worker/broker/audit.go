package broker

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// Doors are who a server lets in and as whom, for an audit: accounts with their users, and what crosses between them. It holds no
// secret but names and public keys.
type Doors struct {
	Accounts []AuditedAccount
	// Open: whoever connects is let in without a credential, to Account.
	Open bool
	// OpenTo is the account of those.
	OpenTo string
	// Host is where it listens; empty for every address of the machine. Encrypted: it wants TLS there. NoListener: it does not listen.
	Host       string
	Encrypted  bool
	NoListener bool
}

// AuditedAccount is an account of a server.
type AuditedAccount struct {
	Name    string
	Users   []AuditedUser
	Imports []AuditedCrossing
	Exports []AuditedCrossing
}

// AuditedUser is a user of an account. Public is the key of one with an nkey.
type AuditedUser struct {
	Name, Public string
	// Bounded: it has permissions. Publish and Subscribe are what they allow.
	PublishBounded, SubscribeBounded bool
	Publish, Subscribe               []string
}

// AuditedCrossing is what crosses from one account into others.
type AuditedCrossing struct {
	Subject string
	Stream  bool
	// From is the account of an import, Only the accounts that an export is for; none: all.
	From string
	Only []string
}

// Doors are those of the running server.
func (s *Server) Doors() (Doors, error) {
	d := Doors{NoListener: s.ns.Addr() == nil, Host: listening(s.ns.Addr())}
	open := s.doorkeeper.doors.Load()
	if open == nil {
		return d, errors.New("the broker is not open yet")
	}
	users := map[string][]AuditedUser{}
	for _, public := range slices.Sorted(maps.Keys(open.byKey)) {
		u := open.byKey[public]
		users[u.Account.Name] = append(users[u.Account.Name], audited(u.Username, public, u.Permissions))
	}
	if open.anonymous != nil {
		d.Open, d.OpenTo = true, open.anonymous.Account.Name
		users[d.OpenTo] = append(users[d.OpenTo], audited("", "", open.anonymous.Permissions))
	}
	return d, d.accounts(s.ns, users)
}

func listening(addr net.Addr) string {
	if addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err != nil || ip != nil && ip.IsUnspecified() {
		return ""
	}
	return host
}

// ErrConfigUnread says that a configuration could not be read, without a word of it: it may hold secrets.
var ErrConfigUnread = errors.New("it is no configuration that this build's nats-server reads, or names files or variables that are not here")

// ReadDoors are those of a server by its configuration file.
func ReadDoors(file string) (Doors, error) {
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return Doors{}, ErrConfigUnread
	}
	if len(opts.TrustedOperators) > 0 || len(opts.TrustedKeys) > 0 {
		return Doors{}, errors.New("its users are JWTs that operators sign, which do not stand in it")
	}
	opts.NoSigs, opts.NoLog, opts.DontListen, opts.JetStream = true, true, true, false
	ns, err := server.NewServer(opts)
	if err != nil {
		return Doors{}, ErrConfigUnread
	}
	defer ns.Shutdown() // it was never started
	d := Doors{Host: opts.Host, Encrypted: opts.TLSConfig != nil && !opts.AllowNonTLS}
	if ip := net.ParseIP(d.Host); ip != nil && ip.IsUnspecified() {
		d.Host = ""
	}
	users := map[string][]AuditedUser{}
	add := func(a *server.Account, u AuditedUser) {
		name := globalAccount
		if a != nil {
			name = a.Name
		}
		users[name] = append(users[name], u)
		if u.Name != "" && u.Name == opts.NoAuthUser {
			d.Open, d.OpenTo = true, name
		}
	}
	for _, u := range opts.Users {
		add(u.Account, audited(u.Username, "", u.Permissions))
	}
	for _, u := range opts.Nkeys {
		add(u.Account, audited("", u.Nkey, u.Permissions))
	}
	login := opts.Username != "" || opts.Authorization != "" || opts.AuthCallout != nil || opts.TLSMap || len(opts.Users)+len(opts.Nkeys) > 0
	if !login {
		d.Open, d.OpenTo = true, globalAccount
	}
	return d, d.accounts(ns, users)
}

// globalAccount is where users are who have no account of their own.
const globalAccount = "$G"

// everyAccount bounds the accounts that are looked at.
const everyAccount = 4 * 1000

// accounts fills in the accounts of a server, by name.
func (d *Doors) accounts(ns *server.Server, users map[string][]AuditedUser) error {
	all, err := ns.Accountz(nil)
	if err != nil {
		return fmt.Errorf("listing the broker's accounts: %w", err)
	}
	if len(all.Accounts) > everyAccount {
		return fmt.Errorf("the broker has %d accounts, more than are looked at", len(all.Accounts))
	}
	slices.Sort(all.Accounts)
	for _, name := range all.Accounts {
		found, err := ns.Accountz(&server.AccountzOptions{Account: name})
		if err != nil {
			return fmt.Errorf("reading the broker's account %s: %w", name, err)
		}
		a := AuditedAccount{Name: name, Users: users[name]}
		for _, i := range found.Account.Imports {
			if i.Account == all.SystemAccount { // the server makes those by itself: an account's questions about itself
				continue
			}
			a.Imports = append(a.Imports, AuditedCrossing{Subject: string(i.Subject), Stream: i.Type == jwt.Stream, From: i.Account})
		}
		for _, e := range found.Account.Exports {
			a.Exports = append(a.Exports, AuditedCrossing{Subject: string(e.Subject), Stream: e.Type == jwt.Stream, Only: e.ApprovedAccounts})
		}
		d.Accounts = append(d.Accounts, a)
	}
	return nil
}

// audited is a user with its permissions. An allow list is what bounds; a deny list alone does not.
func audited(name, public string, p *server.Permissions) AuditedUser {
	u := AuditedUser{Name: name, Public: public}
	if p == nil {
		return u
	}
	if p.Publish != nil && p.Publish.Allow != nil {
		u.PublishBounded, u.Publish = true, p.Publish.Allow
	}
	if p.Subscribe != nil && p.Subscribe.Allow != nil {
		u.SubscribeBounded, u.Subscribe = true, p.Subscribe.Allow
	}
	return u
}

// What a breach lets somebody do.
const (
	BreachSubscribe = "subscribe"
	BreachPublish   = "publish"
	BreachImport    = "import"
	BreachExport    = "export"
	// BreachAccount: a tenant's credential is let into an account that is not the tenant's.
	BreachAccount = "account"
)

// Walled tells whether an account is one that the walls are made of: a tenant's, or that of everybody where there is no tenant.
func Walled(account string) bool {
	return account == accountProducers || strings.HasPrefix(account, accountTenant)
}

// Breach is a hole in the walls between tenants.
type Breach struct {
	// Who is the credential by its name (or public key), or the account.
	Who     string
	Account string
	// Does is what it may do that it should not: one of the words above.
	Does string
	// Subjects are those, sorted.
	Subjects []string
}

// Everything tells whether the breach is about everything of the account: > or *.>, say.
func (b Breach) Everything() bool {
	return slices.ContainsFunc(b.Subjects, func(s string) bool { return strings.Trim(plainSubject(s), ".*") == ">" })
}

// Insiders are the users beside own of the account that own is in (else flowgate's), who may subscribe to everything there: what every
// tenant asks and is answered.
func (d Doors) Insiders(own string) []Breach {
	account := accountFlowgate
	for _, a := range d.Accounts {
		if own != "" && slices.ContainsFunc(a.Users, func(u AuditedUser) bool { return u.is(own) }) {
			account = a.Name
		}
	}
	var all []Breach
	for _, a := range d.Accounts {
		for _, u := range a.Users {
			b := Breach{Who: u.who(nil), Account: a.Name, Does: BreachSubscribe, Subjects: u.Subscribe}
			if !u.SubscribeBounded {
				b.Subjects = []string{">"}
			}
			if a.Name == account && b.Everything() && !u.is(own) {
				all = append(all, b)
			}
		}
	}
	return all
}

// Breaches compares doors with the walls that there should be. Users who are of no tenant are not judged.
func (w Walls) Breaches(d Doors) []Breach {
	named := map[string]Key{}
	home := map[string]string{}
	for _, t := range w.Tenants {
		for _, k := range t.Keys {
			named[k.Public], home[k.Public] = k, accountTenant+t.Name
		}
	}
	var all []Breach
	for _, a := range d.Accounts {
		tenant, isTenants := strings.CutPrefix(a.Name, accountTenant)
		if a.Name == accountProducers {
			tenant, isTenants = "*", true
		}
		for _, u := range a.Users {
			who := u.who(named)
			if of, known := home[u.Public]; known && of != a.Name {
				all = append(all, Breach{Who: who, Account: a.Name, Does: BreachAccount})
			} else if isTenants {
				all = append(all, u.breaches(who, account{name: a.Name, tenant: tenant})...)
			}
		}
		if isTenants {
			all = append(all, a.imported(account{name: a.Name, tenant: tenant})...)
		}
		all = append(all, a.exported()...)
	}
	return all
}

// is tells whether it is the user of a name or a public key.
func (u AuditedUser) is(own string) bool { return own != "" && (u.Name == own || u.Public == own) }

func (u AuditedUser) who(named map[string]Key) string {
	switch k, known := named[u.Public]; {
	case known:
		return k.Name
	case u.Name != "":
		return u.Name
	case u.Public != "":
		return u.Public
	}
	return "whoever has no credential"
}

func (u AuditedUser) breaches(who string, a account) (all []Breach) {
	publish, subscribe := a.permissions()
	for _, side := range []struct {
		does      string
		bounded   bool
		have, may []string
	}{{BreachSubscribe, u.SubscribeBounded, u.Subscribe, subscribe}, {BreachPublish, u.PublishBounded, u.Publish, publish}} {
		have := side.have
		if !side.bounded {
			have = []string{">"}
		}
		if over := beyond(have, side.may); len(over) > 0 {
			all = append(all, Breach{Who: who, Account: a.name, Does: side.does, Subjects: over})
		}
	}
	return all
}

// imported finds imports that are none of the tenant's.
func (a AuditedAccount) imported(of account) []Breach {
	var may []string
	for _, c := range of.crossings() {
		may = append(may, c.subject)
	}
	var have []string
	for _, i := range a.Imports {
		have = append(have, i.Subject)
	}
	if over := beyond(have, may); len(over) > 0 {
		return []Breach{{Who: a.Name, Account: a.Name, Does: BreachImport, Subjects: over}}
	}
	return nil
}

// exported finds what the flowgate account exports to every account.
func (a AuditedAccount) exported() []Breach {
	if a.Name != accountFlowgate {
		return nil
	}
	var open []string
	for _, e := range a.Exports {
		if len(e.Only) == 0 {
			open = append(open, e.Subject)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return []Breach{{Who: a.Name, Account: a.Name, Does: BreachExport, Subjects: distinct(open)}}
}

// beyond are the subjects that none of those that may be covers.
func beyond(have, may []string) []string {
	var over []string
	for _, subject := range have {
		covered := slices.ContainsFunc(may, func(m string) bool { return server.SubjectMatchesFilter(plainSubject(subject), m) })
		if !covered {
			over = append(over, subject)
		}
	}
	return distinct(over)
}

// plainSubject leaves out the queue that a permission to subscribe may name.
func plainSubject(permission string) string {
	subject, _, _ := strings.Cut(permission, " ")
	return subject
}

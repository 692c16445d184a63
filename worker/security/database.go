package security

import (
	"fmt"
	"slices"
	"strings"

	"flowgate/worker/postgres"
)

// Roles judges who beside the owner may change or remove audit rows.
func Roles(all []postgres.Changer, roles int64) *Look {
	l := &Look{}
	l.Saw(int(roles))
	for _, c := range all {
		severity, what := High, fmt.Sprintf("may %s rows of %s", strings.Join(c.Privileges, ", "), some(c.Tables))
		next := fmt.Sprintf("as the owner: `flowgate migrate --grants ROLE` again, which takes that from a worker's role; from another one REVOKE %s ON the tables", strings.Join(c.Privileges, ", "))
		if len(c.Via) > 0 {
			what += ", as a member of " + some(c.Via)
			next = fmt.Sprintf("as the owner: REVOKE %s FROM the role, unless it is to own the record", some(c.Via))
		}
		switch {
		case !c.Reaches:
			severity, what = Medium, what+"; it lacks USAGE of the schema yet"
		case !c.Logins:
			severity, what = Medium, what+"; nobody logs in as it yet"
		case c.Role == "PUBLIC":
			severity = Critical
		}
		l.Find(severity, "role "+c.Role, what, next)
	}
	return l
}

// Superusers judges who may do everything with the database: such roles pass every trigger. Private is a server that only its
// owner reaches, which has the one superuser that this process is.
func Superusers(login postgres.Login, private, migrates bool) *Look {
	l := &Look{}
	l.Saw(max(len(login.Superusers), 1))
	if login.Superuser && !private {
		l.Find(High, "role "+login.Role, "flowgate logs in as a superuser: whoever gets at it may change every record, triggers or not",
			"make a role of its own that owns the schema, and one for workers: `flowgate migrate --grants ROLE`; name it in DATABASE_URL")
	}
	if login.Owns && !login.Superuser && !migrates {
		l.Find(Low, "role "+login.Role, "a worker logs in as the owner of the tables, who may disable triggers",
			"give workers a role of their own: `flowgate migrate --grants ROLE`, and name that in DATABASE_URL")
	}
	for _, name := range login.Superusers {
		switch {
		case name == login.Role:
		case private:
			l.Find(High, "role "+name, "is a superuser of the private database that flowgate did not make", "DROP ROLE, unless you made it; who did?")
		case name == login.Bootstrap:
			l.Find(Low, "role "+name, "the server's first superuser may log in, and change every record", "close it in pg_hba.conf to administrators, or ALTER ROLE … NOLOGIN")
		default:
			l.Find(Medium, "role "+name, "is a superuser that may log in: it may change every record, triggers or not", "ALTER ROLE … NOSUPERUSER or NOLOGIN, unless an administrator needs it")
		}
	}
	return l
}

// Triggers judges the triggers that keep the record from being changed.
func Triggers(all []postgres.Guard) *Look {
	l := &Look{}
	l.Saw(len(all))
	if len(all) == 0 {
		l.Unseen("no trigger is known that should be there")
	}
	for _, g := range all {
		if g.Fault == "" {
			continue
		}
		next := fmt.Sprintf("as the owner: ALTER TABLE %s ENABLE ALWAYS TRIGGER %s; then look who changed it, and what rows since", g.Table, g.Name)
		if !g.Off {
			next = "as the owner: make it as `flowgate migrate --plan --sql` of an empty database has it; then look who changed it, and what rows since"
		}
		l.Find(High, fmt.Sprintf("trigger %s on %s", g.Name, g.Table), g.Fault+": rows that are only added can be changed", next)
	}
	return l
}

// Record judges the record by its invariants. Requests are not named: they are of all tenants.
func Record(all []postgres.Finding) *Look {
	l := &Look{}
	l.Saw(len(all))
	for _, f := range all {
		if !f.OK {
			l.Find(High, "record: "+f.Name, fmt.Sprintf("%d rows break the rule that %s", f.Count, f.Detail), "`flowgate audit check` names them")
		}
	}
	return l
}

// Transport judges whether what travels to other machines is encrypted, and whether it is known who answers.
func Transport(all []Endpoint) *Look {
	l := &Look{}
	for _, e := range all {
		l.Saw(1)
		switch {
		case e.Local || e.Host != "" && Loopback(e.Host):
		case !e.Encrypted && e.Listens:
			l.Find(High, e.What, "accepts connections of other machines and does not encrypt them", e.Mend)
		case !e.Encrypted:
			l.Find(High, e.What, "goes to "+e.Host+" and need not be encrypted", e.Mend)
		case e.Unverified:
			l.Find(Medium, e.What, "is encrypted, but who answers at "+e.Host+" is not verified", e.Mend)
		}
	}
	if len(all) == 0 {
		l.Nothing("nothing goes to other machines")
	}
	return l
}

// Endpoint is a way by which something travels.
type Endpoint struct {
	// What is it, Mend what encrypts it.
	What, Mend string
	// Host is a name or an address; empty with Listens: every address of this machine.
	Host string
	// Local: no network is between.
	Local bool
	// Listens: connections come in; else they go out.
	Listens bool
	// Encrypted: nothing travels in the clear. Unverified: anybody could answer.
	Encrypted, Unverified bool
}

// Literals judges secrets that stand in the settings file.
func Literals(file string, keys []string, looked int) *Look {
	l := &Look{}
	l.Saw(looked)
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		l.Find(Medium, "setting "+key, "its secret stands in "+file+": whoever reads the file, or a copy or a backup of it, has it",
			"write ${NAME} there, or the key with _file behind it and the path of a file that only its owner reads; and change the secret")
	}
	if looked == 0 {
		l.Nothing("no settings file is in use, or it is empty")
	}
	return l
}

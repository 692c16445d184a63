package corporate

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"flowgate/messages"
)

// EntryKind is what an entry of a directory is about.
type EntryKind string

// The kinds of entries.
const (
	EntryPerson     EntryKind = "person"
	EntryDepartment EntryKind = "department"
	EntryEveryone   EntryKind = "everyone"
	EntryCredential EntryKind = "credential"
)

// EveryoneName is the name of the one entry about everyone, and of the credential that stands for each that has no entry.
const EveryoneName = "*"

// Entry is one entry of a tenant's directory. Without a value it is removed.
type Entry struct {
	Kind       EntryKind            `json:"kind"`
	Name       string               `json:"name"`
	Person     *messages.Person     `json:"person,omitempty"`
	Department *messages.Department `json:"department,omitempty"`
	Everyone   *messages.Everyone   `json:"everyone,omitempty"`
	Credential *Credential          `json:"credential,omitempty"`
}

// Removed tells whether the entry is gone.
func (e Entry) Removed() bool {
	return e.Person == nil && e.Department == nil && e.Everyone == nil && e.Credential == nil
}

// Bounds of a tenant's directory, and of its entries.
const (
	MaxPeople      = 50_000
	MaxDepartments = 1_000
	MaxCredentials = 1_000
	maxEntryName   = 256
	maxWord        = 128
)

// Check tells whether an entry may be kept.
func (e Entry) Check() error {
	if err := checkEntryName(e.Kind, e.Name); err != nil {
		return err
	}
	switch {
	case e.Person != nil:
		return checkPersonEntry(e.Person)
	case e.Department != nil:
		return errors.Join(messages.CheckWord("cost centre", e.Department.CostCentre, maxWord), e.Department.Allowed.Check())
	case e.Everyone != nil:
		return e.Everyone.Allowed.Check()
	case e.Credential != nil:
		c := e.Credential
		return errors.Join(messages.CheckWord("user", c.User, maxEntryName), messages.CheckWord("department", c.Department, maxEntryName),
			messages.CheckWord("purpose", c.Purpose, maxWord), messages.CheckWord("audit reason", c.Reason, messages.MaxTextBytes))
	}
	return nil
}

// CheckChange tells whether a change of a directory says why, and by whom.
func CheckChange(reason, by string) error {
	if reason == "" {
		return errors.New("reason is missing: say it")
	}
	return errors.Join(messages.CheckWord("reason", reason, messages.MaxTextBytes), messages.CheckWord("by", by, maxEntryName))
}

func checkEntryName(kind EntryKind, name string) error {
	switch {
	case name == "" || strings.TrimSpace(name) != name:
		return fmt.Errorf("the name of a %s must not be empty, and have no spaces around it", kind)
	case name == UnknownName || name == EveryoneName && kind != EntryEveryone && kind != EntryCredential:
		return fmt.Errorf("%q cannot be the name of a %s", name, kind)
	}
	return messages.CheckWord("the name of a "+string(kind), name, maxEntryName)
}

func checkPersonEntry(p *messages.Person) error {
	if p.State != messages.PersonActive && p.State != messages.PersonSuspended {
		return fmt.Errorf("state is %.40q, must be active or suspended", string(p.State))
	}
	for _, r := range p.Roles {
		if !slices.Contains(messages.Roles(), r) {
			return fmt.Errorf("%.40q is no role; use producer, operator, approver, auditor or admin", string(r))
		}
	}
	if p.Department == UnknownName {
		return fmt.Errorf("%q cannot be a department", UnknownName)
	}
	return errors.Join(messages.CheckWord("department", p.Department, maxEntryName), messages.CheckWord("cost centre", p.CostCentre, maxWord))
}

// Entry is the entry of a name as the directory has it; one that it has not is removed.
func (d *Directory) Entry(kind EntryKind, name string) Entry {
	e := Entry{Kind: kind, Name: name}
	switch kind {
	case EntryPerson:
		if v, has := d.People[name]; has {
			e.Person = &v
		}
	case EntryDepartment:
		if v, has := d.Departments[name]; has {
			e.Department = &v
		}
	case EntryEveryone:
		if !reflect.DeepEqual(d.Everyone, messages.Everyone{}) {
			v := d.Everyone
			e.Everyone = &v
		}
	case EntryCredential:
		if v, has := d.Credentials[name]; has {
			e.Credential = &v
		}
	}
	return e
}

// Put makes an entry what it is from now on. It MUST NOT be called on a directory that others read.
func (d *Directory) Put(e Entry) {
	switch e.Kind {
	case EntryPerson:
		put(d.People, e.Name, e.Person)
	case EntryDepartment:
		put(d.Departments, e.Name, e.Department)
	case EntryCredential:
		put(d.Credentials, e.Name, e.Credential)
	case EntryEveryone:
		d.Everyone = messages.Everyone{}
		if e.Everyone != nil {
			d.Everyone = *e.Everyone
		}
	}
}

func put[T any](m map[string]T, name string, value *T) {
	if value == nil {
		delete(m, name)
		return
	}
	m[name] = *value
}

// NewDirectory is one that has nothing yet.
func NewDirectory() *Directory {
	return &Directory{People: map[string]messages.Person{}, Departments: map[string]messages.Department{}, Credentials: map[string]Credential{}}
}

// Clone is a copy that may be changed; of nil a new one.
func (d *Directory) Clone() *Directory {
	if d == nil {
		return NewDirectory()
	}
	return &Directory{
		Revision: d.Revision, Everyone: d.Everyone,
		People: maps.Clone(d.People), Departments: maps.Clone(d.Departments), Credentials: maps.Clone(d.Credentials),
	}
}

// Empty tells whether it has nothing: nothing is decided by it then.
func (d *Directory) Empty() bool {
	return d == nil || len(d.People)+len(d.Departments)+len(d.Credentials) == 0 && reflect.DeepEqual(d.Everyone, messages.Everyone{})
}

// Room tells whether it has not grown over its bounds.
func (d *Directory) Room() error {
	for _, bound := range []struct {
		what     string
		has, may int
	}{{"people", len(d.People), MaxPeople}, {"departments", len(d.Departments), MaxDepartments}, {"credentials", len(d.Credentials), MaxCredentials}} {
		if bound.has > bound.may {
			return fmt.Errorf("the directory would have %d %s, may have %d: remove some", bound.has, bound.what, bound.may)
		}
	}
	return nil
}

// Active finds a person who may act with one of the roles.
func (d *Directory) Active(name string, roles ...messages.Role) error {
	p, known := d.People[name]
	switch {
	case !known:
		return fmt.Errorf("%.60q is not in the directory of people", name)
	case p.State != messages.PersonActive:
		return fmt.Errorf("%.60q is suspended", name)
	case !slices.ContainsFunc(roles, func(r messages.Role) bool { return slices.Contains(p.Roles, r) }):
		return fmt.Errorf("%.60q has not the role %s", name, roleText(roles))
	}
	return nil
}

func roleText(roles []messages.Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, " or ")
}

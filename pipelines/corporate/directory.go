package corporate

import (
	"slices"
	"strings"

	"flowgate/messages"
)

// Directory is one state of a tenant's directory of people. Nobody changes it.
type Directory struct {
	Revision int64
	Everyone messages.Everyone
	// People, Departments and Credentials have their names as keys.
	People      map[string]messages.Person
	Departments map[string]messages.Department
	Credentials map[string]Credential
}

// Credential is what is taken where a request that was published with it says nothing.
type Credential struct {
	User       string `json:"user,omitempty"`
	Department string `json:"department,omitempty"`
	Purpose    string `json:"purpose,omitempty"`
	Reason     string `json:"audit_reason,omitempty"`
}

// DirectoryOf is as much of a directory as the record of a decision has: enough to make it again. nil: there was none.
func DirectoryOf(s *messages.CorporateSection) *Directory {
	n := s.Directory
	if n == nil {
		return nil
	}
	d := &Directory{Revision: n.Revision, Everyone: n.Everyone, People: map[string]messages.Person{}, Departments: map[string]messages.Department{}}
	if n.Person != nil {
		d.People[s.UserID] = *n.Person
	}
	if n.Department != nil {
		d.Departments[s.Department] = *n.Department
	}
	return d
}

// note is what the record keeps of a directory.
func (d *Directory) note(user, department string) *messages.DirectoryNote {
	if d == nil {
		return nil
	}
	n := &messages.DirectoryNote{Revision: d.Revision, Everyone: d.Everyone}
	if p, known := d.People[user]; known {
		n.Person = &p
	}
	if of, known := d.Departments[department]; known {
		n.Department = &of
	}
	return n
}

// Fill completes a request by what its credential and the directory say where it says nothing itself. The department is the one
// that it names, else that of the person, else the credential's. f.Defaults tells what the credential filled.
func Fill(r *messages.Request, f *Facts, p Policy) {
	if f.Directory == nil {
		return
	}
	c, has := f.Directory.Credentials[f.Credential]
	if !has {
		c = f.Directory.Credentials[EveryoneName]
	}
	fill := func(field string, into *string, with string) {
		if strings.TrimSpace(*into) == "" && with != "" {
			*into = with
			f.Defaults = append(f.Defaults, field)
		}
	}
	fill("user_id", &r.UserID, c.User)
	if strings.TrimSpace(r.Department) == "" {
		r.Department = f.Directory.People[named(r.UserID, p.Privacy)].Department
	}
	fill("department", &r.Department, c.Department)
	fill("purpose", &r.Purpose, c.Purpose)
	fill("audit_reason", &r.AuditReason, c.Reason)
}

// Recorded tells whether a name stands in the record, and so in requests as the directory compares them, as it is: one with a number of a
// card or person, or a secret, does not.
func Recorded(name string, p Policy) bool { return name == "" || named(name, p.Privacy) == name }

// lists are one list of the agreement's, everyone's and the department's allow-lists, those that are empty left out.
func lists(s *messages.CorporateSection, of func(messages.Allowed) []string) [][]string {
	var all [][]string
	if a := s.Agreement; a != nil && a.Allowed != nil {
		if l := of(*a.Allowed); len(l) > 0 {
			all = append(all, l)
		}
	}
	if s.Directory == nil {
		return all
	}
	if l := of(s.Directory.Everyone.Allowed); len(l) > 0 {
		all = append(all, l)
	}
	if d := s.Directory.Department; d != nil {
		if l := of(d.Allowed); len(l) > 0 {
			all = append(all, l)
		}
	}
	return all
}

// onAll tells whether every list has a word.
func onAll(lists [][]string, word string) bool {
	for _, l := range lists {
		if !slices.Contains(l, word) {
			return false
		}
	}
	return true
}

// common are the words that every list has, in the order of the first; none is false where lists allow nothing together.
func common(lists [][]string) (words []string, some bool) {
	if len(lists) == 0 {
		return nil, true
	}
	for _, word := range lists[0] {
		if onAll(lists[1:], word) {
			words = append(words, word)
		}
	}
	return words, len(words) > 0
}

package messages

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Allowed are the only ones of their kind that may be used; an empty list allows everything.
type Allowed struct {
	// Models are exact ids or aliases.
	Models   []string `json:"models,omitempty"`
	Backends []string `json:"backends,omitempty"`
	Regions  []string `json:"regions,omitempty"`
	Purposes []string `json:"purposes,omitempty"`
	// Data are classes of personal data and secrets that a text may have; NoData allows none.
	Data []string `json:"data,omitempty"`
}

// Empty tells whether everything is allowed.
func (a Allowed) Empty() bool {
	return len(a.Models)+len(a.Backends)+len(a.Regions)+len(a.Purposes)+len(a.Data) == 0
}

// Bounds of allow-lists: words of a list, and bytes of a word.
const (
	maxAllowed = 64
	maxWord    = 128
)

// DataClasses lists the classes of personal data and secrets, as allow-lists name them.
func DataClasses() []string { return []string{"payment", "identity", "contact", "network", "secret"} }

// Check reports every fault of the lists.
func (a Allowed) Check() error {
	var faults []error
	for _, list := range []struct {
		name  string
		words []string
	}{{"models", a.Models}, {"backends", a.Backends}, {"regions", a.Regions}, {"purposes", a.Purposes}, {"data", a.Data}} {
		if len(list.words) > maxAllowed {
			faults = append(faults, fmt.Errorf("%s has %d words, may have %d", list.name, len(list.words), maxAllowed))
		}
		for _, w := range list.words {
			if w == "" {
				faults = append(faults, fmt.Errorf("%s has an empty word", list.name))
			}
			faults = append(faults, CheckWord("a word of "+list.name, w, maxWord))
		}
	}
	for _, class := range a.Data {
		if !slices.Contains(DataClasses(), class) && (class != NoData || len(a.Data) != 1) {
			faults = append(faults, fmt.Errorf("%.40q is no class of data; use payment, identity, contact, network and secret, or none alone", class))
		}
	}
	return errors.Join(faults...)
}

// CheckWord wants one line of at most so many bytes without spaces around it.
func CheckWord(what, text string, most int) error {
	switch {
	case len(text) > most:
		return fmt.Errorf("%s has %d bytes, may have %d", what, len(text), most)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || strings.TrimSpace(text) != text:
		return fmt.Errorf("%s must be one line without spaces around it", what)
	}
	return nil
}

// Visible is what people see of a name: no characters without a shape, none that turn the writing around, and no spaces but the usual one.
func Visible(name string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Zs, unicode.Zl, unicode.Zp) && r != ' ' {
			return -1
		}
		return r
	}, name))
}

// NoData is the list of data classes that has none.
const NoData = "none"

// Role is what a person may do.
type Role string

// The roles.
const (
	RoleProducer Role = "producer"
	RoleOperator Role = "operator"
	RoleApprover Role = "approver"
	RoleAuditor  Role = "auditor"
	RoleAdmin    Role = "admin"
)

// Roles lists the roles.
func Roles() []Role {
	return []Role{RoleProducer, RoleOperator, RoleApprover, RoleAuditor, RoleAdmin}
}

// PersonState is whether a person may act.
type PersonState string

// The states of a person.
const (
	PersonActive    PersonState = "active"
	PersonSuspended PersonState = "suspended"
)

// Person is what a tenant's directory says of somebody.
type Person struct {
	State PersonState `json:"state"`
	// Department is theirs; empty: they may name any.
	Department string `json:"department,omitempty"`
	CostCentre string `json:"cost_centre,omitempty"`
	Roles      []Role `json:"roles"`
}

// Department is what a tenant's directory says of a department.
type Department struct {
	CostCentre string  `json:"cost_centre,omitempty"`
	Allowed    Allowed `json:"allowed"`
}

// Everyone is what a tenant's directory says of whoever asks.
type Everyone struct {
	// KnownPeople refuses who is not in the directory.
	KnownPeople bool    `json:"known_people,omitempty"`
	Allowed     Allowed `json:"allowed"`
}

// DirectoryNote is what the directory of people said of whose request it is, so that the decision can be made again.
type DirectoryNote struct {
	// Revision is that of the directory that was known when the layer decided.
	Revision int64 `json:"revision"`
	// Person and Department are absent where the directory has none of that name.
	Person     *Person     `json:"person,omitempty"`
	Department *Department `json:"department,omitempty"`
	Everyone   Everyone    `json:"everyone"`
}

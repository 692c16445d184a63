package messages

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

package corporate

import (
	"slices"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines"
	"flowgate/pipelines/privacy"
)

// The checks of the directory leave no trace where the tenant has none.

// checkPerson refuses who is suspended, who may not ask, and, where the tenant says so, who is not in the directory.
func checkPerson(d *Decision, _ *Seen, _ Facts, _ Policy) (string, string, *refusal) {
	n := d.Section.Directory
	if n == nil {
		return "", "", nil
	}
	refuse := func(reason messages.Reason) (string, string, *refusal) {
		return fail, "", pipelines.Deny(reason, "user_id", "")
	}
	switch {
	case n.Person == nil && n.Everyone.KnownPeople:
		return refuse(messages.ReasonUserUnknown)
	case n.Person == nil:
		return notApplicable, "not in the directory", nil
	case n.Person.State != messages.PersonActive:
		return refuse(messages.ReasonUserSuspended)
	case !slices.Contains(n.Person.Roles, messages.RoleProducer):
		return refuse(messages.ReasonRoleMissing)
	}
	return pass, "", nil
}

// checkMembership holds people to their own department, and those who have none to the directory's.
func checkMembership(d *Decision, _ *Seen, _ Facts, _ Policy) (string, string, *refusal) {
	n, department := d.Section.Directory, d.Section.Department
	switch {
	case n == nil:
		return "", "", nil
	case n.Person != nil && n.Person.Department != "":
		if department != n.Person.Department {
			return fail, "", pipelines.Deny(messages.ReasonDepartmentMismatch, "department", "")
		}
	case n.Department == nil && n.Everyone.KnownPeople && department != UnknownName:
		return fail, "", pipelines.Deny(messages.ReasonDepartmentUnknown, "department", "")
	}
	return pass, "", nil
}

func checkPurpose(d *Decision, _ *Seen, _ Facts, _ Policy) (string, string, *refusal) {
	allowed := lists(&d.Section, func(a messages.Allowed) []string { return a.Purposes })
	switch {
	case len(allowed) == 0:
		return "", "", nil
	case d.Section.Purpose == "":
		return fail, "", pipelines.Deny(messages.ReasonPurposeMissing, "purpose", "")
	case !onAll(allowed, d.Section.Purpose):
		return fail, "", pipelines.Deny(messages.ReasonPurposeNotAllowed, "purpose", "")
	}
	return pass, "", nil
}

// checkData refuses texts with data of a class that is on no list, whatever the rules on personal data would make of it.
func checkData(d *Decision, _ *Seen, _ Facts, p Policy) (string, string, *refusal) {
	allowed := lists(&d.Section, func(a messages.Allowed) []string { return a.Data })
	switch {
	case len(allowed) == 0:
		return "", "", nil
	case !d.Kind.AsksModel():
		return notApplicable, "no model is asked", nil
	case p.Privacy == nil:
		detail := "nothing looks for data here"
		return fail, detail, pipelines.Deny(messages.ReasonDataNotAllowed, "prompt", detail)
	}
	var refused []string
	for _, found := range d.Section.Findings {
		class := string(privacy.Type(found.Type).Class())
		if !onAll(allowed, class) && !slices.Contains(refused, class) {
			refused = append(refused, class)
		}
	}
	if len(refused) > 0 {
		detail := strings.Join(refused, ", ")
		return fail, detail, pipelines.Deny(messages.ReasonDataNotAllowed, "prompt", detail)
	}
	return pass, "", nil
}

// checkAllowedModel compares exact ids; lists may have aliases.
func checkAllowedModel(d *Decision, _ *Seen, _ Facts, p Policy) (string, string, *refusal) {
	allowed := lists(&d.Section, func(a messages.Allowed) []string { return a.Models })
	if len(allowed) == 0 || !d.Kind.AsksModel() {
		return "", "", nil
	}
	for _, l := range allowed {
		if !slices.ContainsFunc(l, func(name string) bool { return name == d.Section.Model || p.Aliases[name] == d.Section.Model }) {
			return fail, "", pipelines.Deny(messages.ReasonModelNotAllowed, "model", "")
		}
	}
	return pass, "", nil
}

// checkAllowedBackend tells layer 2 whom it may ask, and refuses where lists allow nobody together.
func checkAllowedBackend(d *Decision, _ *Seen, _ Facts, _ Policy) (string, string, *refusal) {
	backends := lists(&d.Section, func(a messages.Allowed) []string { return a.Backends })
	regions := lists(&d.Section, func(a messages.Allowed) []string { return a.Regions })
	if len(backends)+len(regions) == 0 || !d.Kind.AsksModel() {
		return "", "", nil
	}
	var some bool
	const detail = "the allow-lists of tenant, department and agreement have none in common"
	if d.Section.AllowedBackends, some = common(backends); !some {
		return fail, detail, pipelines.Deny(messages.ReasonBackendNotAllowed, "", detail)
	}
	if d.Section.AllowedRegions, some = common(regions); !some {
		return fail, detail, pipelines.Deny(messages.ReasonRegionNotAllowed, "", detail)
	}
	return pass, "layer 2 chooses among them", nil
}

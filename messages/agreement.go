package messages

import "time"

// PartOf is the request whose action asks another one.
type PartOf struct {
	// ID and Epoch are of the request whose action it is, in the same tenant.
	ID    string `json:"id"`
	Epoch int    `json:"epoch"`
	// Proof shows that an action asked, see flow.Seal; the record has none.
	Proof string `json:"proof,omitempty"`
}

// AgreementRef names the agreement that a request runs under, in the version that was checked.
type AgreementRef struct {
	Trigger string `json:"trigger"`
	// Version is the agreement's content version.
	Version string `json:"version"`
	// Revision is how often any agreement had been changed when this one last was: who knows less must not judge it. 0: not known.
	Revision int64 `json:"revision,omitempty"`
	// SLASeconds is the time that an answer may take; 0 means that none is agreed.
	SLASeconds float64 `json:"sla_seconds,omitempty"`
	// ComplianceLevel has controls that the request must meet beside the deployment's.
	ComplianceLevel string `json:"compliance_level,omitempty"`
	// Owner answers for the agreement, Approver approved it.
	Owner    string `json:"owner,omitempty"`
	Approver string `json:"approver,omitempty"`
	// ValidUntil is the first moment at which it is no longer valid; absent where it has no end.
	ValidUntil time.Time `json:"valid_until,omitzero"`
	// Allowed bounds what its requests may use; absent where it bounds nothing.
	Allowed *Allowed `json:"allowed,omitempty"`
}

// AgreementFact is how layer 1 came to the agreement of a request, and where that stood.
type AgreementFact struct {
	// Terms is the version of what is kept of the agreement for deciding again: 12 hexadecimal digits of its SHA-256.
	Terms string `json:"terms"`
	// State is where the agreement stood: approved, suspended, or draft, review and retired where no version was in force.
	State string `json:"state"`
	// By is trigger (the request names it), text (its text does, with a confidence of Confidence), default (it is its tenant's) or
	// execution (an action under it asks).
	By         string  `json:"by"`
	Confidence float64 `json:"confidence,omitempty"`
}

package actions

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"flowgate/messages"
)

// ask asks the chain a question as a part of the order: in the name of who ordered it, under its agreement, whose lists, money, time and
// state bind it as they do any request. It is no call of the agreement by itself. The part's id is made of the order's, so that a run which
// is repeated after a crash asks and pays for none twice.
func (o Order) ask(ctx context.Context, c Chain, part string, r messages.Request) (messages.Result, error) {
	key := messages.Key{Tenant: o.Tenant, ID: o.base() + "-" + part}
	r.Trigger, r.PartOf = o.Agreement.Trigger, o.seal.Part(key, o.Agreement.Trigger, messages.PartOf{ID: o.ID, Epoch: o.Epoch})
	r.UserID, r.Department, r.Purpose = o.UserID, o.Department, o.Purpose
	r.CorrelationID = cmp.Or(o.CorrelationID, o.ID)
	r.AuditReason = fmt.Sprintf("measured by %s, request %s", o.Agreement.Trigger, o.ID)
	body, err := json.Marshal(r)
	if err != nil {
		return messages.Result{}, fmt.Errorf("encoding a question: %w", err)
	}
	result, err := c.Ask(ctx, key, body)
	if err == nil && result.Status == messages.StatusDenied && ofAgreement(result.Reason) {
		err = &RefusedError{result.Reason, fmt.Sprintf("a request of the action was denied (%s)", result.Reason)}
	}
	return result, err
}

// RefusedError is why the agreement lets an order go no further: it ends as denied, and nothing stands in for it.
type RefusedError struct {
	// Reason is the result's.
	Reason messages.Reason
	Why    string
}

func (e *RefusedError) Error() string { return e.Why }

// ofAgreement tells the reasons that say that an agreement is not valid any more, or exhausted.
func ofAgreement(r messages.Reason) bool {
	return slices.Contains([]messages.Reason{
		messages.ReasonAgreementNotYetValid, messages.ReasonAgreementExpired, messages.ReasonAgreementSuspended, messages.ReasonAgreementNotApproved,
		messages.ReasonAgreementNotAllowed, messages.ReasonAgreementUnknown, messages.ReasonAgreementExhausted, messages.ReasonLimitAgreement,
	}, r)
}

// base begins the ids of the requests that an order makes: those of a fallback are others than those of what it stands in for, and nobody
// can know them before and ask under them first.
func (o Order) base() string {
	return "action-" + o.seal.Name("id of a part", o.Tenant, o.ID, strconv.Itoa(o.Epoch), o.Agreement.Action)
}

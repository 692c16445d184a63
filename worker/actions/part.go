package actions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

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
		err = &refusedError{result.Reason}
	}
	return result, err
}

// refusedError is why the agreement lets an order go no further: it ends as denied, and nothing stands in for it.
type refusedError struct{ reason messages.Reason }

func (e *refusedError) Error() string {
	return fmt.Sprintf("a request of the action was denied (%s)", e.reason)
}

// ofAgreement tells the reasons that say that an agreement is not valid any more, or exhausted.
func ofAgreement(r messages.Reason) bool {
	return slices.Contains([]messages.Reason{
		messages.ReasonAgreementNotYetValid, messages.ReasonAgreementExpired, messages.ReasonAgreementSuspended, messages.ReasonAgreementNotApproved,
		messages.ReasonAgreementNotAllowed, messages.ReasonAgreementUnknown, messages.ReasonAgreementExhausted, messages.ReasonLimitAgreement,
	}, r)
}

// base begins the ids of the requests that an order makes: those of a fallback are others than those of what it stands in for.
func (o Order) base() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%s", o.Key, o.Epoch, o.Agreement.Action))
	return "action-" + hex.EncodeToString(sum[:8])
}

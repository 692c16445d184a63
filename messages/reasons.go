package messages

// Status is how a request ended.
type Status string

// The statuses of a result.
const (
	StatusSuccess     Status = "success"
	StatusFailure     Status = "failure"
	StatusPartial     Status = "partial"
	StatusTimeout     Status = "timeout"
	StatusRateLimited Status = "rate_limited"
	StatusDenied      Status = "denied"
)

// Statuses lists the statuses.
func Statuses() []Status {
	return []Status{StatusSuccess, StatusFailure, StatusPartial, StatusTimeout, StatusRateLimited, StatusDenied}
}

// Reason is a code from the one published list that says why a request ended, waits or was refused.
type Reason string

// The reasons. ReasonList explains each.
const (
	ReasonOK                   Reason = "ok"
	ReasonMalformed            Reason = "malformed"
	ReasonUnsupportedVersion   Reason = "unsupported_version"
	ReasonIDMismatch           Reason = "id_mismatch"
	ReasonSubjectInvalid       Reason = "subject_invalid"
	ReasonAuditReasonMissing   Reason = "audit_reason_missing"
	ReasonAuditReasonTooShort  Reason = "audit_reason_too_short"
	ReasonUserMissing          Reason = "user_missing"
	ReasonDepartmentMissing    Reason = "department_missing"
	ReasonUserUnknown          Reason = "user_unknown"
	ReasonUserSuspended        Reason = "user_suspended"
	ReasonRoleMissing          Reason = "role_missing"
	ReasonDepartmentUnknown    Reason = "department_unknown"
	ReasonDepartmentMismatch   Reason = "department_mismatch"
	ReasonPurposeMissing       Reason = "purpose_missing"
	ReasonPurposeNotAllowed    Reason = "purpose_not_allowed"
	ReasonPersonalData         Reason = "personal_data"
	ReasonPersonalDataAnswer   Reason = "personal_data_in_answer"
	ReasonDataNotAllowed       Reason = "data_not_allowed"
	ReasonModelUnknown         Reason = "model_unknown"
	ReasonModelRetired         Reason = "model_retired"
	ReasonModelNotAllowed      Reason = "model_not_allowed"
	ReasonBackendNotAllowed    Reason = "backend_not_allowed"
	ReasonRegionNotAllowed     Reason = "region_not_allowed"
	ReasonPolicyDenied         Reason = "policy_denied"
	ReasonPolicyError          Reason = "policy_error"
	ReasonControlFailed        Reason = "control_failed"
	ReasonControlError         Reason = "control_error"
	ReasonLimitRequest         Reason = "limit_request"
	ReasonLimitDay             Reason = "limit_day"
	ReasonLimitMonth           Reason = "limit_month"
	ReasonLimitUser            Reason = "limit_user"
	ReasonLimitDepartment      Reason = "limit_department"
	ReasonLimitAgreement       Reason = "limit_agreement"
	ReasonLimitRateUser        Reason = "limit_rate_user"
	ReasonLimitRateDepartment  Reason = "limit_rate_department"
	ReasonLimitRateTenant      Reason = "limit_rate_tenant"
	ReasonLimitRateModel       Reason = "limit_rate_model"
	ReasonLimitRateBackend     Reason = "limit_rate_backend"
	ReasonLimitRateRequest     Reason = "limit_rate_request"
	ReasonAgreementUnknown     Reason = "agreement_unknown"
	ReasonAgreementNotYetValid Reason = "agreement_not_yet_valid"
	ReasonAgreementExpired     Reason = "agreement_expired"
	ReasonAgreementAmbiguous   Reason = "agreement_ambiguous"
	ReasonAgreementNotApproved Reason = "agreement_not_approved"
	ReasonAgreementNotAllowed  Reason = "agreement_not_allowed"
	ReasonAgreementSuspended   Reason = "agreement_suspended"
	ReasonAgreementExhausted   Reason = "agreement_exhausted"
	ReasonActionFallback       Reason = "action_fallback"
	ReasonActionFailed         Reason = "action_failed"
	ReasonActionUnknown        Reason = "action_unknown"
	ReasonNotAvailableYet      Reason = "not_available_yet"
	ReasonDeadlinePassed       Reason = "deadline_passed"
	ReasonCancelled            Reason = "cancelled"
	ReasonNoBackend            Reason = "no_backend"
	ReasonBackendAuth          Reason = "backend_auth"
	ReasonBackendQuota         Reason = "backend_quota"
	ReasonBackendInvalid       Reason = "backend_invalid"
	ReasonBackendRefused       Reason = "backend_refused"
	ReasonBackendUnavailable   Reason = "backend_unavailable"
	ReasonInDoubt              Reason = "in_doubt"
	ReasonSLAMissed            Reason = "sla_missed"
	ReasonClaimMissing         Reason = "claim_missing"
	ReasonTooLarge             Reason = "too_large"
	ReasonCrash                Reason = "crash"
	ReasonWaitingMoney         Reason = "waiting_money"
	ReasonWaitingRate          Reason = "waiting_rate"
	ReasonNotBefore            Reason = "not_before"
	ReasonPaused               Reason = "paused"
	ReasonBaseTooOld           Reason = "base_too_old"
	ReasonDuplicateID          Reason = "duplicate_id"
	ReasonReplayRefused        Reason = "replay_refused"
)

// ReasonInfo explains a reason to the people who meet it.
type ReasonInfo struct {
	Reason Reason `json:"reason"`
	// Retry is true where sending the same request again later can help.
	Retry bool `json:"retry"`
	// Text says what happened.
	Text string `json:"text"`
	// Next says what to do about it.
	Next string `json:"next"`
}

// ReasonList is the one published list, in the order in which the chain can meet them.
func ReasonList() []ReasonInfo {
	return []ReasonInfo{
		{ReasonOK, false, "The request was processed.", "Nothing."},
		{ReasonMalformed, false, "The document does not have the form of a request.", "Mend the field that the result names; the JSON Schema is in messages/schemas."},
		{ReasonUnsupportedVersion, false, "The document has a wire version that this deployment does not read.", "Use a version that the result names."},
		{ReasonIDMismatch, false, "Tenant, id or class in the document differ from those in the subject.", "Leave them out of the document, or make them agree."},
		{ReasonSubjectInvalid, false, "Tenant or id in the subject break the grammar.", "Use A-Z, a-z, 0-9, _ and - only."},
		{ReasonAuditReasonMissing, false, "audit_reason is missing or blank.", "Say why the model is asked."},
		{ReasonAuditReasonTooShort, false, "audit_reason is shorter than the settings demand.", "Say it so that an auditor understands it."},
		{ReasonUserMissing, false, "user_id is missing and the settings allow no unknown users.", "Name the user."},
		{ReasonDepartmentMissing, false, "department is missing and the settings allow no unknown departments.", "Name the department."},
		{ReasonUserUnknown, false, "The user is not in the directory of people, and the tenant lets nobody else ask.", "Name a user of the directory, or have this one added."},
		{ReasonUserSuspended, false, "The user is suspended.", "Ask whoever suspended them; `flowgate people show` names them."},
		{ReasonRoleMissing, false, "The user has not the role producer.", "Have the role given to them."},
		{ReasonDepartmentUnknown, false, "The department is not in the directory of people, and the tenant lets no other ask.", "Name a department of the directory, or have this one added."},
		{ReasonDepartmentMismatch, false, "The department is not the user's.", "Leave the department out, or name the user's own."},
		{ReasonPurposeMissing, false, "The request states no purpose, and only stated ones are allowed.", "State a purpose of the allow-list."},
		{ReasonPurposeNotAllowed, false, "The purpose is not on the tenant's or the department's allow-list.", "State an allowed purpose, or ask for this one to be allowed."},
		{ReasonPersonalData, false, "The request has personal data or secrets that no model may see for this purpose.", "Take out what the result names, or state a purpose that may use it."},
		{ReasonPersonalDataAnswer, false, "The answer has personal data or secrets that may not be given to who asks for this purpose.", "Ask otherwise, or state a purpose that may use it."},
		{ReasonDataNotAllowed, false, "The request has data of a class that is not on the tenant's or the department's allow-list.", "Take out what the result names, or ask for its class to be allowed."},
		{ReasonModelUnknown, false, "The model has no price, so its cost cannot be bounded.", "Use a model of the price table, add its price, or have such models held at the dearest (cost_optimization.unknown_models)."},
		{ReasonModelRetired, false, "Every backend that served the model has retired it.", "Use its successor, which the result names, or have aws.bedrock.model_mapping lead to one."},
		{ReasonModelNotAllowed, false, "The model is not on the allow-list.", "Use an allowed model, or ask for this one to be allowed."},
		{ReasonBackendNotAllowed, false, "No backend that serves the model is on the tenant's or the department's allow-list.", "Use a model that an allowed backend serves, or ask for this backend to be allowed."},
		{ReasonRegionNotAllowed, false, "No backend that serves the model is in a region of the tenant's or the department's allow-list.", "Use a model that is served in an allowed region, or ask for this region to be allowed."},
		{ReasonLimitRequest, false, "The request could cost more than one request may.", "Lower max_tokens, shorten the prompt or take a cheaper model."},
		{ReasonPolicyDenied, false, "A rule of the deployment's policy denies the request.", "Change what the rule names, or ask whoever owns the policy."},
		{ReasonPolicyError, true, "A rule of the deployment's policy could not be evaluated, which denies.", "Have the policy mended; its rule is named."},
		{ReasonControlFailed, false, "The request does not pass a gate of the deployment's controls.", "Change what the control names; flowgate controls explain tells what it demands."},
		{ReasonControlError, true, "A control could not be evaluated, which denies.", "Have the control mended; it is named."},
		{ReasonLimitDay, true, "The money of the day is spent.", "Send it again tomorrow, or have the limit raised."},
		{ReasonLimitMonth, true, "The money of the month is spent.", "Send it again next month, or have the limit raised."},
		{ReasonLimitUser, true, "The user's money of the day or month is spent.", "Send it again in the next period, or have the budget raised."},
		{ReasonLimitDepartment, true, "The department's money of the day or month is spent.", "Send it again in the next period, or have the budget raised."},
		{ReasonLimitAgreement, true, "The agreement's money of the day or month is spent.", "Send it again in the next period, or have the budget raised."},
		{ReasonLimitRateUser, true, "The user's requests or tokens of the minute or hour are used up.", "Send it again under a new id at retry_at, or have the limit raised."},
		{ReasonLimitRateDepartment, true, "The department's requests or tokens of the minute or hour are used up.", "Send it again under a new id at retry_at, or have the limit raised."},
		{ReasonLimitRateTenant, true, "The tenant's requests or tokens of the minute or hour are used up.", "Send it again under a new id at retry_at, or have the limit raised."},
		{ReasonLimitRateModel, true, "The model's requests or tokens of the minute or hour are used up.", "Send it again under a new id at retry_at, or have the limit raised."},
		{ReasonLimitRateBackend, true, "The backend's requests or tokens of the minute or hour are used up.", "Send it again under a new id at retry_at, or have the limit raised."},
		{ReasonLimitRateRequest, false, "The request could use more tokens than a limit lets through in a whole minute or hour.", "Lower max_tokens or shorten the prompt, or have the limit raised."},
		{ReasonAgreementUnknown, false, "No agreement has this trigger.", "Name one that `flowgate flow list` has; `flowgate flow match` tells what a text means."},
		{ReasonAgreementNotYetValid, true, "The agreement is not valid yet.", "Send it again when the agreement is valid."},
		{ReasonAgreementExpired, false, "The agreement has expired.", "Have a version with a later end written and approved: `flowgate flow show`, `flowgate flow edit`."},
		{ReasonAgreementAmbiguous, false, "The text may mean several FLOW agreements.", "Name one of the triggers that the result names."},
		{ReasonAgreementNotApproved, false, "No version of the FLOW agreement is approved.", "Have a version approved; `flowgate flow show` tells where it stands."},
		{ReasonAgreementNotAllowed, false, "The FLOW agreement is not for requests of this tenant.", "Name an agreement of the tenant, or have this one extended to it."},
		{ReasonAgreementSuspended, true, "The FLOW agreement is suspended.", "Ask whoever suspended it; `flowgate flow show` names them."},
		{ReasonAgreementExhausted, true, "The FLOW agreement has run as often as it may today.", "Send it again tomorrow, or have the agreement's limit raised."},
		{ReasonActionFallback, true, "The action of the agreement could not be carried out now; its fallback or the newest measured result stands in.", "Look at its age; the result says why it could not."},
		{ReasonActionFailed, true, "The action of the agreement could not be carried out, and no measured result is young enough to stand in.", "Mend what the result names, then replay."},
		{ReasonActionUnknown, false, "The agreement's action is none that this deployment has.", "Use one of `flowgate flow actions`, or write it."},
		{ReasonNotAvailableYet, false, "This version can govern the request but cannot do what it asks.", "Wait for the version that can; nothing was pretended."},
		{ReasonDeadlinePassed, false, "not_after passed before the request was done.", "Send it again with a later not_after under a new id."},
		{ReasonCancelled, false, "The request was cancelled.", "Nothing."},
		{ReasonNoBackend, true, "No backend serves the model.", "Configure a backend that does."},
		{ReasonBackendAuth, true, "The backend refused our credentials.", "Mend the backend's credentials, then replay."},
		{ReasonBackendQuota, true, "The backend's own quota is used up.", "Raise the quota with the provider, then replay."},
		{ReasonBackendInvalid, false, "The backend calls the request invalid.", "Change the request as the attempt's message says, then replay."},
		{ReasonBackendRefused, false, "The model refused to answer.", "Change the request."},
		{ReasonBackendUnavailable, true, "The backend failed on every attempt.", "Replay when the backend is well."},
		{ReasonInDoubt, true, "No call brought an answer that can be used, as often as may be paid for; each may have been billed.", "Check with the provider, then replay."},
		{ReasonSLAMissed, true, "The answer came later than the agreement's SLA allows.", "Replay, or have the SLA changed."},
		{ReasonClaimMissing, true, "The stored body of the request was not found.", "Check the claim store, then replay with the request."},
		{ReasonTooLarge, false, "The request grew larger on its way than a message of the broker may be.", "Ask for a shorter answer or send a shorter request, or raise the broker's max_payload; then replay with the request."},
		{ReasonCrash, true, "Processing the request crashed three times, by a panic or with the whole process.", "Report what the dead letter has, then replay."},
		{ReasonWaitingMoney, true, "Open reservations hold the money that the request needs; it waits.", "Nothing: it goes on when money is free."},
		{ReasonWaitingRate, true, "A limit on requests or tokens is used up; the request waits.", "Nothing: it goes on when the limit has room, or ends as timeout at its not_after."},
		{ReasonNotBefore, true, "The request waits for its not_before.", "Nothing: it goes on by itself."},
		{ReasonPaused, true, "An operator paused something that the request needs; it waits.", "Nothing: it goes on when the operator resumes it, or ends as timeout at its not_after."},
		{ReasonBaseTooOld, true, "A writer slept through a purge; the request is decided once more.", "Nothing: it goes on by itself."},
		{ReasonDuplicateID, false, "A request with this id was accepted before; that one counts.", "Use a new id for a new request."},
		{ReasonReplayRefused, false, "The replay does not follow the newest failure of the request.", "Look at the request's timeline, then replay its newest epoch."},
	}
}

// Explain finds the entry of a reason. Unknown reasons (of a newer version) explain themselves with their code.
func Explain(r Reason) ReasonInfo {
	for _, info := range ReasonList() {
		if info.Reason == r {
			return info
		}
	}
	return ReasonInfo{Reason: r, Text: string(r)}
}

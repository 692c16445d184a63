package compliance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/policy"
	"flowgate/pipelines/privacy"
	"flowgate/pipelines/rule"
)

// Facts are what controls may speak of: what a policy's rules do, and what is known later on a request's way.
type Facts struct {
	policy.Facts

	// PolicyVersion is that of the policy in force, PolicyTicket the ticket that its activation names.
	PolicyVersion, PolicyTicket string
	// AgreementOwner answers for the agreement, AgreementApprover approved it.
	AgreementOwner, AgreementApprover string
	// Unmasked are the classes of personal data and secrets that a backend sees as they are.
	Unmasked []string
	// Backend is who is asked, in Region.
	Backend, Region string
	// Answered: there is an answer; the facts on it are missing else.
	Answered     bool
	FinishReason string
	AnswerLength int64
	// AnswerData are the classes of what was found in the answer, AnswerUnmasked those that it still has.
	AnswerData, AnswerUnmasked []string
	Attempts, InDoubt          int64
	// CostMicroUSD is the true cost up to now, ReservedMicroUSD what was held for it.
	CostMicroUSD, ReservedMicroUSD int64

	register *Document
}

// personal are the classes of personal data: all but secrets.
func personal(classes []string) []string {
	return slices.DeleteFunc(slices.Clone(classes), func(c string) bool { return c == string(privacy.ClassSecret) })
}

func (f *Facts) purpose() Purpose {
	if f.register == nil {
		return Purpose{}
	}
	return f.register.Purposes[f.Purpose]
}

func (f *Facts) listed() bool {
	if f.register == nil {
		return false
	}
	_, listed := f.register.Purposes[f.Purpose]
	return listed && f.Purpose != ""
}

// transfer is the mechanism by which personal data may go to the backend's region: that of the region itself, else that of the
// longest pattern it matches.
func (f *Facts) transfer() string {
	if f.register == nil || f.Region == "" {
		return ""
	}
	if mechanism, named := f.register.Transfers[f.Region]; named {
		return mechanism
	}
	longest, found := "", ""
	for pattern, mechanism := range f.register.Transfers {
		stem, open := strings.CutSuffix(pattern, "*")
		if open && strings.HasPrefix(f.Region, stem) && len(pattern) > len(longest) {
			longest, found = pattern, mechanism
		}
	}
	return found
}

func (f *Facts) associate() bool {
	return f.register != nil && slices.Contains(f.register.Associates, f.Backend)
}

func (f *Facts) retention() Retention {
	if f.register == nil {
		return Retention{}
	}
	return f.register.Retention
}

// Seconds is how long the request has been on its way.
func (f *Facts) seconds() float64 { return f.Now.Sub(f.Submitted).Seconds() }

// maxClasses bounds lists of classes of data.
const maxClasses = 8

// vocabulary declares the facts.
func vocabulary() []rule.Fact[Facts] {
	return append(policy.Vocabulary(func(f *Facts) *policy.Facts { return &f.Facts }),
		rule.Texts("personal", "the classes of personal data that were found: data without secret", maxClasses, func(f *Facts) []string { return personal(f.Data) }),
		rule.Truth("purpose_listed", "whether the purpose is in the register", (*Facts).listed),
		rule.Text("legal_basis", "that of the purpose, by the register", func(f *Facts) string { return f.purpose().LegalBasis }),
		rule.Texts("purpose_data", "the classes of data that the register allows for the purpose", maxClasses, func(f *Facts) []string { return f.purpose().Data }),
		rule.Text("special_categories", "what the register says of them for the purpose", func(f *Facts) string { return f.purpose().SpecialCategories }),
		rule.Text("policy_version", "the policy in force; empty where there is none", func(f *Facts) string { return f.PolicyVersion }),
		rule.Text("policy_ticket", "the ticket that the policy's activation names, such as CHG-4711", func(f *Facts) string { return f.PolicyTicket }),
		rule.Text("agreement_owner", "who answers for the agreement", func(f *Facts) string { return f.AgreementOwner }),
		rule.Text("agreement_approver", "who approved it", func(f *Facts) string { return f.AgreementApprover }),
		rule.Texts("unmasked", "the classes of data and secrets that a backend sees as they are", maxClasses, func(f *Facts) []string { return f.Unmasked }),
		rule.Text("backend", "who is asked; from call on", func(f *Facts) string { return f.Backend }),
		rule.Text("region", "where the backend is; from call on", func(f *Facts) string { return f.Region }),
		rule.Text("transfer", "the mechanism by which personal data may go to that region, by the register", (*Facts).transfer),
		rule.Truth("associate", "whether the backend is one of the register's associates", (*Facts).associate),
		rule.Truth("answered", "whether there is an answer", func(f *Facts) bool { return f.Answered }),
		rule.Text("finish_reason", "the provider's word for why the answer ended", func(f *Facts) string { return f.FinishReason }),
		rule.Number("answer_length", "characters of the answer", func(f *Facts) int64 { return f.AnswerLength }),
		rule.Texts("answer_data", "the classes of what was found in the answer", maxClasses, func(f *Facts) []string { return f.AnswerData }),
		rule.Texts("answer_unmasked", "those of them that the answer still has", maxClasses, func(f *Facts) []string { return f.AnswerUnmasked }),
		rule.Number("attempts", "calls of the epoch", func(f *Facts) int64 { return f.Attempts }),
		rule.Number("in_doubt", "calls that may have been billed and brought no answer", func(f *Facts) int64 { return f.InDoubt }),
		rule.Number("cost_microusd", "the true cost up to now, in micro-dollars", func(f *Facts) int64 { return f.CostMicroUSD }),
		rule.Number("reserved_microusd", "what was held for it; 0 where nothing is limited", func(f *Facts) int64 { return f.ReservedMicroUSD }),
		rule.Real("seconds", "since the request was accepted", (*Facts).seconds),
		rule.Text("retention_class", "that of the record, by the register", func(f *Facts) string { return f.retention().Class }),
		rule.Number("retention_days", "for how long the record is kept, by the register", func(f *Facts) int64 { return f.retention().Days }),
	)
}

// FactList lists what controls may speak of.
func FactList() []rule.Info { return rule.Infos(vocabulary()) }

// absent are numbers of which 0 says that nobody knows.
func absent() []string { return []string{"retention_days", "reason_length", "answer_length"} }

// show appends a fact as evidence; false: it is missing. Who asks is told as named, not by name.
func show(to []byte, name string, f *rule.Bound[Facts]) ([]byte, bool) {
	to = append(append(to, name...), '=')
	switch value := f.Value(name).(type) {
	case string:
		if (name == "user" || name == "department") && value != "" {
			return append(to, "named"...), value != unknownName
		}
		return append(to, clip(value)...), value != ""
	case []string:
		if len(value) == 0 {
			return append(to, "none"...), true
		}
		return append(to, strings.Join(value, "+")...), true
	case int64:
		return strconv.AppendInt(to, value, 10), value != 0 || !slices.Contains(absent(), name)
	case float64:
		return strconv.AppendFloat(to, value, 'f', 3, 64), true
	case bool:
		return strconv.AppendBool(to, value), true
	case time.Time:
		return value.UTC().AppendFormat(to, time.RFC3339), !value.IsZero()
	case map[string]int64:
		return fmt.Appendf(to, "%d types", len(value)), true
	}
	return to, false
}

// unknownName stands for a user or department that nobody named, as in layer 1.
const unknownName = "unknown"

// mostShown is how many bytes of a text are shown as evidence.
const mostShown = 60

func clip(s string) string {
	if len(s) > mostShown {
		return strings.ToValidUTF8(s[:mostShown], "") + "…"
	}
	return s
}

// Classes are the classes of findings, each once, and those of them with one of the actions pass and flag: what is left as it is.
func Classes(findings []messages.Finding) (all, unmasked []string) {
	for _, found := range findings {
		c := string(privacy.Type(found.Type).Class())
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
		left := found.Action == string(privacy.ActionPass) || found.Action == string(privacy.ActionFlag)
		if left && !slices.Contains(unmasked, c) {
			unmasked = append(unmasked, c)
		}
	}
	return all, unmasked
}

// WithAnswer adds what is known of the answer, and of what the backend saw.
func (f Facts) WithAnswer(s *messages.AISection) Facts {
	f.Backend, f.Region, f.FinishReason, f.AnswerLength = s.Backend, s.Region, s.FinishReason, int64(s.AnswerLength)
	f.Answered = s.Backend != ""
	_, f.Unmasked = Classes(s.Findings)
	f.AnswerData, f.AnswerUnmasked = Classes(s.AnswerFindings)
	return f
}

// WithCalls adds what is known of the calls.
func (f Facts) WithCalls(history []messages.Attempt) Facts {
	f.CostMicroUSD, f.Attempts, f.InDoubt = messages.Cost(history), 0, 0
	for i := range history {
		f.Attempts += 1 + int64(history[i].Repeats)
		if history[i].Billing == messages.BillingInDoubt {
			f.InDoubt++
		}
	}
	return f
}

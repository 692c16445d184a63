package configs

import (
	"flowgate/pipelines/privacy"
)

// Privacy says what is done with personal data and secrets in prompts and answers: pass, flag, mask or deny, by class (contact,
// identity, network, payment, secret) or, which counts more, by a type of `flowgate scan`. What is not named is masked.
type Privacy struct {
	// Request is for what goes to a model, Answer for what comes back.
	Request map[string]string `yaml:"request"`
	Answer  map[string]string `yaml:"answer"`
	// Restore are the classes and types whose data an answer gets back in the place of their placeholders.
	Restore []string `yaml:"restore"`
	// Purposes has exceptions by the request's purpose.
	Purposes map[string]PrivacyPurpose `yaml:"purposes"`
	// Regions has exceptions for what goes to a model, by the backend's region; a * at the end stands for anything.
	Regions map[string]map[string]string `yaml:"regions"`
}

// PrivacyPurpose is what a purpose may do otherwise.
type PrivacyPurpose struct {
	Request map[string]string `yaml:"request"`
	Answer  map[string]string `yaml:"answer"`
}

func defaultPrivacy() Privacy {
	const mask, flag = string(privacy.ActionMask), string(privacy.ActionFlag)
	request, answer := make(map[string]string), make(map[string]string)
	for _, c := range privacy.Classes() {
		request[string(c)], answer[string(c)] = mask, mask
	}
	answer[string(privacy.ClassContact)], answer[string(privacy.ClassNetwork)] = flag, flag
	return Privacy{
		Request: request, Answer: answer, Purposes: map[string]PrivacyPurpose{}, Regions: map[string]map[string]string{},
		Restore: []string{string(privacy.ClassContact), string(privacy.ClassIdentity), string(privacy.ClassNetwork)},
	}
}

// PrivacyRules are the rules in force: where security.data.mask_sensitive_data is false, what would be masked is flagged.
func (s Settings) PrivacyRules() privacy.Rules {
	rules := s.Flowgate.Privacy.rules()
	if !s.Security.Data.MaskSensitiveData {
		return rules.Lenient()
	}
	return rules
}

func (p Privacy) rules() privacy.Rules {
	rules := privacy.Rules{
		Request: actions(p.Request), Answer: actions(p.Answer), Restore: p.Restore,
		Purposes: make(map[string]privacy.Exceptions, len(p.Purposes)), Regions: make(map[string]privacy.Actions, len(p.Regions)),
	}
	for name, e := range p.Purposes {
		rules.Purposes[name] = privacy.Exceptions{Request: actions(e.Request), Answer: actions(e.Answer)}
	}
	for name, a := range p.Regions {
		rules.Regions[name] = actions(a)
	}
	return rules
}

func actions(of map[string]string) privacy.Actions {
	all := make(privacy.Actions, len(of))
	for name, action := range of {
		all[name] = privacy.Action(action)
	}
	return all
}

func (p Privacy) validate(out *faults) {
	for _, fault := range p.rules().Faults() {
		out.add("flowgate.privacy."+fault.Where, "%s", fault.Rule)
	}
	out.names("flowgate.privacy.restore", p.Restore)
}

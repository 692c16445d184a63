package doctor

import (
	"fmt"
	"slices"
	"strings"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker/fleet"
)

// CheckState is how one of the five checks ended.
type CheckState string

// The states of a check.
const (
	CheckOK     CheckState = "ok"
	CheckFailed CheckState = "failed"
	// CheckUnknown: what it needs could not be asked.
	CheckUnknown CheckState = "unknown"
	// CheckNotApplicable: there is nothing to check.
	CheckNotApplicable CheckState = "not_applicable"
)

// Check is one of the five checks of the user's guide.
type Check struct {
	Name   string     `json:"name"`
	State  CheckState `json:"state"`
	Detail string     `json:"detail"`
}

// Checks sums facts and findings up as the five checks. One fails exactly where a finding of its own says why.
func Checks(f Facts, findings []Finding) []Check {
	running := 0
	for _, g := range f.Gateways {
		if g.State == fleet.StateRunning || g.State == fleet.StateDegraded {
			running++
		}
	}
	valid := 0
	for _, a := range f.Agreements {
		if a.State == flow.StateApproved && a.Check(f.Now) == "" {
			valid++
		}
	}
	schema := "not asked"
	if f.Schema != nil {
		schema = fmt.Sprintf("version %d of %d", f.Schema.Version, f.Schema.Latest)
	}
	broker := f.Broker.Version
	if broker == "" {
		broker = "not asked"
	}
	checks := []Check{
		{Name: "infrastructure", Detail: fmt.Sprintf("broker %s, schema %s, %d clocks, %d spaces", broker, schema, len(f.Clocks)+1, len(f.Disks))},
		{Name: "gateways", Detail: fmt.Sprintf("%d/%d running, %d processes%s", running, len(messages.Layers()), len(f.Fleet.Answers), standing(f.Gateways))},
		{Name: "agreements", Detail: fmt.Sprintf("%d of %d FLOW agreements are valid", valid, len(f.Agreements))},
		cacheCheck(f.Cache),
		{Name: "configuration", Detail: fmt.Sprintf("%d settings, %d warnings", f.SettingsCount, f.Warnings)},
	}
	for i := range checks {
		if checks[i].State == "" {
			checks[i].State = CheckOK
		}
		if slices.ContainsFunc(findings, func(f Finding) bool { return checkOf(f.Code) == checks[i].Name }) {
			checks[i].State = CheckFailed
		}
	}
	if gateways := &checks[1]; f.Broker.Version == "" || f.Broker.TooOld != "" {
		gateways.State, gateways.Detail = CheckUnknown, "not asked"
	}
	return checks
}

// cacheCheck tells of the response cache. Nothing in it is needed, so nothing of it is a finding.
func cacheCheck(c *CacheFacts) Check {
	check := Check{Name: "cache", State: CheckUnknown, Detail: "not asked"}
	switch {
	case c == nil:
	case c.Off:
		check.State, check.Detail = CheckNotApplicable, "switched off by the settings"
	case c.Fault != "":
		check.Detail = c.Fault
	default:
		check.State = CheckOK
		check.Detail = fmt.Sprintf("%d families, %d files, %d bytes; %.0f%% of %d found", c.Families, c.Files, c.Bytes, 100*c.HitRate, c.Asked)
	}
	return check
}

// standing names the gateways that are not running.
func standing(gateways []fleet.Gateway) string {
	var words []string
	for _, g := range gateways {
		if g.State != fleet.StateRunning {
			words = append(words, fmt.Sprintf("%s is %s", g.Name, g.State))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "; " + strings.Join(words, ", ")
}

// checkOf is the check that a finding belongs to.
func checkOf(code Code) string {
	switch code {
	case Unreachable, BrokerTooOld, MigrationsPending, TopologyDrift, RecorderLag, DiskLow, ClockSkew, AnswerNotBelieved:
		return "infrastructure"
	case NoPullers, StuckConsumer, Paused, OldestAge, ServiceNotHealthy, RequestStopped:
		return "gateways"
	case AgreementExpired, AgreementSeed:
		return "agreements"
	case Misconfigured:
		return "configuration"
	}
	return ""
}

package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"flowgate/pipelines/flow"
	"flowgate/worker/fleet"
	"flowgate/worker/sessions"
)

// Judge tells what is wrong, in the order of Codes. It is pure: the same facts give the same findings.
func Judge(f Facts, m Marks) []Finding {
	j := &judge{facts: f, marks: m, findings: []Finding{}}
	for _, look := range []func(){
		j.silence, j.settings, j.broker, j.schema, j.drift, j.queues, j.pauses, j.records, j.disks, j.clocks, j.agreements, j.seeds, j.services, j.strangers,
	} {
		look()
	}
	order := make(map[Code]int)
	for i, info := range Codes() {
		order[info.Code] = i
	}
	slices.SortStableFunc(j.findings, func(a, b Finding) int { return order[a.Code] - order[b.Code] })
	return j.findings
}

type judge struct {
	facts    Facts
	marks    Marks
	findings []Finding
}

// add makes a finding with the remedy of its code, or a more fitting one.
func (j *judge) add(code Code, about, remedy, format string, args ...any) {
	info := Explain(code)
	if remedy == "" {
		remedy = info.Do
	}
	j.findings = append(j.findings, Finding{Code: code, Severity: info.Severity, About: about, Seen: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (j *judge) silence() {
	for _, s := range j.facts.Unreachable {
		j.add(Unreachable, s.What, "", "%s", s.Why)
	}
}

func (j *judge) settings() {
	if j.facts.Settings != "" {
		j.add(Misconfigured, "settings", "", "%s", j.facts.Settings)
	}
}

func (j *judge) broker() {
	if b := j.facts.Broker; b.TooOld != "" {
		j.add(BrokerTooOld, "broker", "", "it is version %s, flowgate needs %s", b.Version, b.TooOld)
	}
}

func (j *judge) schema() {
	if s := j.facts.Schema; s != nil && len(s.Pending) > 0 {
		j.add(MigrationsPending, "database", "", "it has version %d of %d; missing: %s", s.Version, s.Latest, strings.Join(s.Pending, ", "))
	}
}

// mostDrift bounds how many differences are told.
const mostDrift = 20

func (j *judge) drift() {
	for i, d := range j.facts.Drift {
		if i == mostDrift {
			j.add(TopologyDrift, "topology", "", "and %d more differences", len(j.facts.Drift)-i)
			return
		}
		j.add(TopologyDrift, d.Thing, d.Remedy(), "%s", d)
		if !d.Missing() && !d.Breaks() { // sizes and copies are an administrator's choice
			j.findings[len(j.findings)-1].Severity = Warning
		}
	}
}

func (j *judge) pauses() {
	for _, p := range j.facts.Pauses {
		j.add(Paused, string(p.Kind)+" "+p.Name, fmt.Sprintf("flowgate resume %s %q", p.Kind, p.Name), "%s", p.Why())
	}
}

func (j *judge) records() {
	recorder := func(a fleet.Answer) bool { return slices.Contains(a.Parts, "recorder") }
	if answers := j.facts.Fleet.Answers; len(answers) > 0 && !slices.ContainsFunc(answers, recorder) {
		j.add(RecorderLag, "recorder", "flowgate worker --layer recorder", "none of the %d processes that answer runs the recorder", len(answers))
	}
	for _, r := range j.facts.Records {
		if r.Lag > j.marks.Lag {
			j.add(RecorderLag, r.Stream, "", "the oldest message that is not recorded is %s old, the mark is %s", rounded(r.Lag), j.marks.Lag)
		}
	}
}

func (j *judge) disks() {
	for _, d := range j.facts.Disks {
		share := float64(d.Free) / float64(max(d.Total, 1))
		if share < j.marks.Free && d.Free < j.marks.FreeBytes {
			j.add(DiskLow, d.What, "", "%s of %s are free (%.1f%%)", bytes(d.Free), bytes(d.Total), 100*share)
		}
	}
}

// clocks compares every clock with the middle one, this machine's among them: who is wrong is whom the others contradict.
func (j *judge) clocks() {
	clocks := slices.Concat([]Clock{{Whose: "this machine"}}, j.facts.Clocks)
	ahead := make([]time.Duration, len(clocks))
	for i, c := range clocks {
		ahead[i] = c.Ahead
	}
	slices.Sort(ahead)
	middle := ahead[(len(ahead)-1)/2]
	for _, c := range clocks {
		if off := c.Ahead - middle; off.Abs() > j.marks.Skew+c.Within {
			j.add(ClockSkew, c.Whose, "", "it is %s %s most clocks, give or take %s; the mark is %s", rounded(off.Abs()), direction(off), rounded(c.Within), j.marks.Skew)
		}
	}
}

func direction(off time.Duration) string {
	if off < 0 {
		return "behind"
	}
	return "ahead of"
}

func (j *judge) agreements() {
	for _, a := range j.facts.Agreements {
		if a.StateAt(j.facts.Now) == flow.StateExpired {
			owner := ""
			if a.Owner != "" {
				owner = "; its owner is " + a.Owner
			}
			j.add(AgreementExpired, a.Trigger, "", "it was valid until %s%s", a.ValidUntil.UTC().Format(time.RFC3339), owner)
		}
	}
}

// seeds finds agreements of the file of settings that are not in force as the file has them.
func (j *judge) seeds() {
	for _, s := range j.facts.Seeds {
		at := slices.IndexFunc(j.facts.Agreements, func(e flow.Entry) bool { return e.Trigger == s.Trigger })
		if at < 0 {
			continue // a process seeds it when it starts
		}
		if e := j.facts.Agreements[at]; len(flow.Compare(e.Agreement, s)) > 0 {
			j.add(AgreementSeed, s.Trigger, "", "the file's version %s is not in force; version %s is %s, by %s: %s", s.Version, e.Version, e.StateAt(j.facts.Now), e.Last.By, e.Last.Reason)
		}
	}
}

func (j *judge) services() {
	for _, g := range j.facts.Gateways {
		if g.Processes > 0 && len(g.Services) == 0 {
			j.add(ServiceNotHealthy, string(g.Name), "", "none of its %d processes says how the services are that it uses", g.Processes)
		}
		for _, s := range g.Services {
			if s.Unused || s.State == sessions.StateHealthy {
				continue
			}
			why := s.Error
			if why == "" {
				why = "nobody has a fresh answer"
			}
			about := string(g.Name) + ": " + s.Service
			j.add(ServiceNotHealthy, about, "", "it is %s for at least one of %d processes: %s", s.State, g.Processes, why)
		}
	}
}

func (j *judge) strangers() {
	if n := j.facts.Fleet.SkippedCount; n > 0 {
		j.add(AnswerNotBelieved, "fleet", "", "%d answers, such as: %s", n, j.facts.Fleet.Skipped[0])
	}
}

func rounded(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}

// bytes writes a size with a unit.
func bytes(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	x, i := float64(n), 0
	for x >= 1024 && i < len(units)-1 {
		x /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %s", x, units[i])
}

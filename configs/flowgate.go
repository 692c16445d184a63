package configs

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Flowgate is our own section: how this deployment runs.
type Flowgate struct {
	// Environment is the deployment's name for what it is: development, testing, staging, production, or a name under
	// environments.
	Environment string `yaml:"environment"`
	// StateDir is the folder of everything that this machine keeps; empty is ~/.local/state/flowgate. FLOWGATE_STATE wins
	// over it.
	StateDir string `yaml:"state_dir"`
	// Listen is where the embedded NATS server accepts producers: host:port, port 0 for any free one, empty for none.
	Listen string `yaml:"listen"`
	// HTTP is where /livez, /readyz and /metrics answer: host:port on loopback, port 0 for any free one, empty for none; auto
	// is 127.0.0.1:4280 for up and any free port for a worker. FLOWGATE_HTTP wins over it.
	HTTP string `yaml:"http"`
	// HTTPAllowRemote lets HTTP be an address that other machines reach; nobody is asked for a password there.
	HTTPAllowRemote bool `yaml:"http_allow_remote"`
	// NATSURL is a NATS server to use instead of the embedded one. NATS_URL wins over it.
	NATSURL Secret `yaml:"nats_url" address:""`
	// NATS is how that server is reached.
	NATS NATS `yaml:"nats"`
	// Replicas is how many servers of a cluster keep each message: 1, 3 or 5.
	Replicas int `yaml:"replicas"`
	// DatabaseURL is a Postgres to use instead of the private one. DATABASE_URL wins over it.
	DatabaseURL Secret `yaml:"database_url" address:""`
	// DatabaseSchema is the schema that everything is in.
	DatabaseSchema string `yaml:"database_schema"`
	// Sync says when the embedded server flushes to disk.
	Sync Sync `yaml:"sync"`
	// AckWait is after how much silence of a worker its message goes to another; at least 1s.
	AckWait time.Duration `yaml:"ack_wait"`
	// Grace is how long a drain lets work in hand go on before it hands it back; 0s to 1h.
	Grace time.Duration `yaml:"grace"`
	// Hold is how long a message stays in the WORK stream at least after every reader is past it; at least 1s.
	Hold time.Duration `yaml:"hold"`
	// Timezone is the IANA name of the zone in which days and months of limits begin.
	Timezone string `yaml:"timezone"`
	// MicroBatch is how many messages a cheap layer takes at once; 1 to 1000.
	MicroBatch int `yaml:"micro_batch"`
	// BillableAttempts is how many calls that may have been billed a request may make; 1 to 10. Money is reserved for all.
	BillableAttempts int `yaml:"billable_attempts"`
	// TransientAttempts is how many transient failures end a request where retry says nothing else; 1 to 100.
	TransientAttempts int `yaml:"transient_attempts"`

	// AgreementsFile seeds agreements that nobody has written, in the place of the one that ships; PricesFile overrides prices.
	AgreementsFile string `yaml:"agreements_file"`
	PricesFile     string `yaml:"prices_file"`
	// ActionsFolder has templates of actions of agreements, one a file; empty for none.
	ActionsFolder string `yaml:"actions_folder"`
	// ControlsFile takes the place of the controls of compliance that ship with the product; ComplianceLevel says which of its
	// levels every request has to meet.
	ControlsFile    string `yaml:"controls_file"`
	ComplianceLevel string `yaml:"compliance_level"`

	Concurrency Concurrency `yaml:"concurrency"`
	Marks       Marks       `yaml:"marks"`
	Admission   Admission   `yaml:"admission"`
	Privacy     Privacy     `yaml:"privacy"`
	Backends    Backends    `yaml:"backends"`
	Probes      Probes      `yaml:"probes"`
	Telemetry   Telemetry   `yaml:"telemetry"`
}

// Sync says when a write reaches the disk.
type Sync string

// The ways to sync.
const (
	// SyncAlways flushes before a message counts as accepted: safe against power loss.
	SyncAlways Sync = "always"
	// SyncInterval flushes from time to time: faster, and what was accepted last is lost with the power.
	SyncInterval Sync = "interval"
)

// Concurrency bounds what a process does at once.
type Concurrency struct {
	// AI is how many calls of all classes together are in flight at once in one process, shared 8 to 3 to 1 among rt, std and
	// batch; a class that is alone uses all of them, but for an eighth of the shares of more urgent ones; 1 to 10000.
	AI int `yaml:"ai"`
}

// Marks are over which no more work is taken: submissions are refused, and what is submitted all the same waits.
type Marks struct {
	// RecorderLag is how old the oldest unrecorded message may be before nothing more is admitted; 1s to 24h.
	RecorderLag time.Duration `yaml:"recorder_lag"`
	// DiskFreeMB is how much must be left of the state folder's disk, in MB; 0 to 1000000.
	DiskFreeMB int `yaml:"disk_free_mb"`
	// StreamPercent is how full a stream with a bound, or the storage of the built-in broker, may be; 1 to 100.
	StreamPercent int `yaml:"stream_percent"`
	// Backlog is how many requests of one class may wait to be admitted; 1 to 10000000.
	Backlog int `yaml:"backlog"`
	// NextLayer is how many requests of one class may wait at the next layer before a layer takes no more; 1 to 1000000.
	NextLayer int `yaml:"next_layer"`
}

func (m Marks) validate(out *faults) {
	if m.RecorderLag < time.Second || m.RecorderLag > 24*time.Hour {
		out.add("flowgate.marks.recorder_lag", "must be from 1s to 24h")
	}
	out.between("flowgate.marks.disk_free_mb", m.DiskFreeMB, 0, 1_000_000)
	out.between("flowgate.marks.stream_percent", m.StreamPercent, 1, 100)
	out.between("flowgate.marks.backlog", m.Backlog, 1, 10_000_000)
	out.between("flowgate.marks.next_layer", m.NextLayer, 1, 1_000_000)
}

// Admission is what layer 1 demands.
type Admission struct {
	// MinAuditReason is the least length of an audit reason, in characters; 1 to 1000.
	MinAuditReason int `yaml:"min_audit_reason"`
	// AllowUnknownUser admits requests without user_id, AllowUnknownDepartment those without department, as "unknown".
	AllowUnknownUser       bool `yaml:"allow_unknown_user"`
	AllowUnknownDepartment bool `yaml:"allow_unknown_department"`
	// AllowedModels, where it has any, are the only exact model ids that may be used.
	AllowedModels []string `yaml:"allowed_models"`
	// MatchTexts lets a prompt that names no trigger run under the FLOW agreement that its last text means.
	MatchTexts bool `yaml:"match_texts"`
}

// Probes say how the health of services is asked for.
type Probes struct {
	// Interval is how often each service is asked; 1s to 1h.
	Interval time.Duration `yaml:"interval"`
	// Timeout cuts a check; 100ms to 1m.
	Timeout time.Duration `yaml:"timeout"`
	// Slow is from which latency on a service that answers is degraded; 1ms to 1m.
	Slow time.Duration `yaml:"slow"`
}

func (p Probes) validate(out *faults) {
	for _, d := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
		bounds      string
	}{
		{"interval", p.Interval, time.Second, time.Hour, "from 1s to 1h"},
		{"timeout", p.Timeout, 100 * time.Millisecond, time.Minute, "from 100ms to 1m"},
		{"slow", p.Slow, time.Millisecond, time.Minute, "from 1ms to 1m"},
	} {
		if d.value < d.least || d.value > d.most {
			out.add("flowgate.probes."+d.key, "must be %s", d.bounds)
		}
	}
}

func defaultFlowgate() Flowgate {
	return Flowgate{
		Environment: "development", Listen: "127.0.0.1:4222", HTTP: HTTPAuto, Sync: SyncAlways,
		NATS: defaultNATS(), Replicas: 1, DatabaseSchema: "flowgate",
		AckWait: 30 * time.Second, Grace: 20 * time.Second, Hold: 10 * time.Minute, Timezone: "UTC",
		MicroBatch: 200, BillableAttempts: 2, TransientAttempts: 3, ComplianceLevel: "standard",
		Concurrency: Concurrency{AI: 64},
		Marks:       Marks{RecorderLag: 5 * time.Minute, DiskFreeMB: 512, StreamPercent: 90, Backlog: 500_000, NextLayer: 2000},
		Admission:   Admission{MinAuditReason: 10, AllowUnknownUser: true, AllowUnknownDepartment: true, AllowedModels: []string{}},
		Privacy:     defaultPrivacy(),
		Backends:    defaultBackends(),
		Probes:      Probes{Interval: 30 * time.Second, Timeout: 5 * time.Second, Slow: time.Second},
	}
}

var schemaForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// othersSchemas are schemas that other things are in.
func othersSchemas() []string { return []string{"public", "information_schema"} }

// Production tells whether this deployment is one where a pretended answer would do harm.
func (f Flowgate) Production() bool { return f.Environment == "production" }

// Location is the zone that Timezone names; UTC before Validate has passed.
func (f Flowgate) Location() *time.Location {
	location, err := time.LoadLocation(f.Timezone)
	if err != nil {
		return time.UTC
	}
	return location
}

var environmentForm = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)

func (f Flowgate) validate(out *faults, environments Environments) {
	known := []string{"development", "testing", "staging", "production"}
	if !environmentForm.MatchString(f.Environment) || !slices.Contains(environments, f.Environment) && !slices.Contains(known, f.Environment) {
		out.add("flowgate.environment", "must be %s, or a name under environments", strings.Join(known, ", "))
	}
	if f.Listen != "" {
		_, port, err := net.SplitHostPort(f.Listen)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
			out.add("flowgate.listen", "must be host:port, such as 127.0.0.1:4222, or empty")
		}
	}
	f.validateURLs(out)
	f.validateConsole(out)
	if f.Sync != SyncAlways && f.Sync != SyncInterval {
		out.add("flowgate.sync", "must be %s or %s", SyncAlways, SyncInterval)
	}
	if f.AckWait < time.Second || f.AckWait > time.Hour {
		out.add("flowgate.ack_wait", "must be from 1s to 1h")
	}
	if f.Grace < 0 || f.Grace > time.Hour {
		out.add("flowgate.grace", "must be from 0s to 1h")
	}
	if f.Hold < time.Second || f.Hold > 30*24*time.Hour {
		out.add("flowgate.hold", "must be from 1s to 720h")
	}
	if _, err := time.LoadLocation(f.Timezone); err != nil || f.Timezone == "" || f.Timezone == "Local" {
		out.add("flowgate.timezone", "must be the name of a time zone, such as UTC or Europe/Berlin")
	}
	f.NATS.validate(out)
	if f.Replicas < 1 || f.Replicas > 5 || f.Replicas%2 == 0 {
		out.add("flowgate.replicas", "must be 1, 3 or 5")
	}
	if !schemaForm.MatchString(f.DatabaseSchema) || strings.HasPrefix(f.DatabaseSchema, "pg_") || slices.Contains(othersSchemas(), f.DatabaseSchema) {
		out.add("flowgate.database_schema", "must be a schema of its own: a-z, 0-9 and _, at most 63 of them, no digit first, not public")
	}
	out.between("flowgate.micro_batch", f.MicroBatch, 1, 1000)
	out.between("flowgate.billable_attempts", f.BillableAttempts, 1, 10)
	out.between("flowgate.transient_attempts", f.TransientAttempts, 1, 100)
	out.between("flowgate.concurrency.ai", f.Concurrency.AI, 1, 10_000)
	out.between("flowgate.admission.min_audit_reason", f.Admission.MinAuditReason, 1, 1000)
	out.names("flowgate.admission.allowed_models", f.Admission.AllowedModels)
	f.Marks.validate(out)
	f.Privacy.validate(out)
	f.Backends.validate(out)
	f.Probes.validate(out)
}

// validateURLs never shows a URL, since it may hold a password.
func (f Flowgate) validateURLs(out *faults) {
	for one := range strings.SplitSeq(f.NATSURL.Reveal(), ",") {
		if f.NATSURL.IsSet() && !absolute(strings.TrimSpace(one), "nats", "tls", "ws", "wss") {
			out.add("flowgate.nats_url", "must be nats://host:4222 (or tls, ws, wss), several separated by commas")
			break
		}
	}
	database := f.DatabaseURL.Reveal()
	if database != "" && !strings.Contains(database, "=") && !absolute(database, "postgres", "postgresql") ||
		strings.Contains(database, "://") && !absolute(database, "postgres", "postgresql") {
		out.add("flowgate.database_url", "must be postgres://user@host:5432/database, or key=value pairs")
	}
}

// absolute tells whether a text is a URL with a host (or, as Postgres allows, a query that names one) and one of the schemes.
func absolute(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err == nil && slices.Contains(schemes, u.Scheme) && (u.Host != "" || u.RawQuery != "")
}

// between reports a number out of its bounds.
func (f *faults) between(key string, value, least, most int) {
	if value < least || value > most {
		f.add(key, "must be from %d to %d", least, most)
	}
}

// names reports empty and repeated names of a list.
func (f *faults) names(key string, names []string) {
	seen := map[string]bool{}
	for _, n := range names {
		switch {
		case strings.TrimSpace(n) == "" || strings.TrimSpace(n) != n:
			f.add(key, "must hold names without spaces around them")
		case seen[n]:
			f.add(key, "names %q twice", clip(n))
		}
		seen[n] = true
	}
}

package doctor

// Code names a kind of finding, for people and for alarms.
type Code string

// The codes. Codes explains each.
const (
	Unreachable       Code = "unreachable"
	Misconfigured     Code = "misconfigured"
	BrokerTooOld      Code = "broker_too_old"
	MigrationsPending Code = "migrations_pending"
	TopologyDrift     Code = "topology_drift"
	NoPullers         Code = "no_pullers"
	StuckConsumer     Code = "stuck_consumer"
	Paused            Code = "paused"
	OldestAge         Code = "oldest_age"
	RecorderLag       Code = "recorder_lag"
	DiskLow           Code = "disk_low"
	ClockSkew         Code = "clock_skew"
	AgreementExpired  Code = "agreement_expired"
	AgreementSeed     Code = "agreement_seed"
	ServiceNotHealthy Code = "service_not_healthy"
	AnswerNotBelieved Code = "answer_not_believed"
	RequestStopped    Code = "request_stopped"
)

// Severity says how soon somebody should look.
type Severity string

// The severities.
const (
	// Failing: requests are not accepted, not processed or not recorded.
	Failing Severity = "error"
	// Warning: it works, and will not for long or not for all.
	Warning Severity = "warning"
)

// Info explains a code: a paragraph of the runbook.
type Info struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	// Means says what it is, Look how to see more, Do what helps.
	Means string `json:"means"`
	Look  string `json:"look"`
	Do    string `json:"do"`
}

// Codes is the one list of what the doctor can find, most fundamental first. The runbook is made from it.
func Codes() []Info {
	return []Info{
		{
			Unreachable, Failing, "A part of the deployment could not be asked",
			"Broker, database, control bucket or fleet did not answer in time, so nothing is known of them: that is no sign of health. Requests are kept while the database is away; while the broker is, none is accepted.",
			"The finding names what was asked and the error. `flowgate health` shows since when, as the processes see it.",
			"Start what is down; check NATS_URL and DATABASE_URL, certificates and credentials of this command. Ask again when it answers.",
		},
		{
			Misconfigured, Failing, "The settings cannot be read",
			"File or environment hold a key or a value that flowgate refuses; a process would not start with them.",
			"`flowgate config check` lists every fault with its line.",
			"Mend the lines that it names, then start the processes anew.",
		},
		{
			BrokerTooOld, Failing, "The NATS server is too old",
			"flowgate needs what JetStream can do since the version that the finding names; on an older one processes refuse to start.",
			"`nats server info`, on each server of a cluster.",
			"Upgrade the servers one at a time, then start flowgate.",
		},
		{
			MigrationsPending, Failing, "The database's schema is older than this flowgate",
			"Migrations are missing; governance and recorder of this version may fail on the old schema. Running processes of the older version go on.",
			"`flowgate migrate --plan` lists what would be done.",
			"Run `flowgate migrate` as the role that owns the schema; it goes forward only and needs no downtime.",
		},
		{
			TopologyDrift, Failing, "Streams, buckets or consumers differ from what flowgate needs",
			"Somebody changed or removed them by hand, or the settings changed. Where rules of the protocol are touched, workers refuse to start.",
			"`flowgate topology plan` shows each difference.",
			"Run `flowgate topology apply` with an administrator's credentials. A stream that was removed has lost its messages: `flowgate audit check` tells which requests.",
		},
		{
			NoPullers, Failing, "Nobody takes work from a queue",
			"No process reports that it reads the queue, and nobody was seen waiting at it for several looks in a row. What is accepted is kept, and waits.",
			"`flowgate gateways list` shows which layer is stopped, and how many processes run the others.",
			"Start a process that has the layer: `flowgate worker --layer LAYER`, or `flowgate up`. A frozen process (it answers nothing) is ended with its pid.",
		},
		{
			StuckConsumer, Failing, "A queue does not move although somebody reads it",
			"Messages are there and pulls wait, or the queue's processes answer and take nothing: the consumer was paused or lost its count at the broker, all deliveries are held and never answered, or a process hangs.",
			"`nats consumer info STREAM CONSUMER` (paused? outstanding acks?), and the log of the processes that `flowgate gateways list --json` names.",
			"Resume it: `nats consumer resume STREAM CONSUMER`. If it was not paused, restart the processes of the layer: their deliveries go to others after flowgate.ack_wait, and nothing is lost.",
		},
		{
			Paused, Warning, "An operator paused something",
			"A layer, class, tenant, backend or agreement does not go on until it is resumed. Requests wait; their deadlines go on.",
			"`flowgate gateways list` shows paused layers; the finding says who paused, since when and why.",
			"Run `flowgate resume KIND NAME` when the reason is gone.",
		},
		{
			OldestAge, Warning, "Requests wait longer than they should",
			"The oldest message that nobody has taken up is older than the mark of its class. The layer is too slow for what comes in, or its backend is.",
			"`flowgate gateways stats` shows rates and times of each layer and backend.",
			"Start more workers of the layer, raise flowgate.concurrency.ai, or move work to the class `batch`. Where a backend fails or limits, mend that first.",
		},
		{
			RecorderLag, Failing, "The record is behind",
			"Messages are stored that are not in Postgres yet. Results of open requests are not affected, but money is freed late, and admission stops when it goes on.",
			"`flowgate gateways list --json` and the recorder's log; in Postgres, locks and the load of the server.",
			"Make sure that a process with `--layer recorder` runs and reaches the database, and that no other holds its advisory lock; give Postgres more speed.",
		},
		{
			DiskLow, Failing, "Space is running out",
			"A state folder's disk, JetStream's storage or a stream's bound is nearly full. A full stream refuses submissions; a full disk stops the broker or the database.",
			"`df -h` of the folder that the finding names; `nats stream report`.",
			"Free or add space, or raise the stream's bound. What every reader has passed is purged by itself after flowgate.hold.",
		},
		{
			ClockSkew, Warning, "Clocks disagree",
			"The clock of a process, of the broker, of Postgres or of this machine differs from the others. Order and money do not depend on clocks; deadlines, days of limits and times in the record do.",
			"`timedatectl` or `chronyc tracking` on the machine that the finding names.",
			"Let every machine follow the same time servers.",
		},
		{
			AgreementExpired, Warning, "A FLOW agreement has expired",
			"Requests that name its trigger are denied with `agreement_expired`.",
			"`flowgate flow show TRIGGER` shows until when it was valid, and who owns it.",
			"Have its owner renew it: `flowgate flow show TRIGGER --yaml` writes a file of it, `flowgate flow edit FILE` a version with a later `valid_until`, which another person approves.",
		},
		{
			AgreementSeed, Warning, "The file of agreements is not what is in force",
			"The file of flowgate.agreements_file seeds triggers that nobody has written. This trigger was written since, so the file says nothing of it any more: what somebody changed there has no effect.",
			"`flowgate flow diff FILE` tells field by field what differs.",
			"Where the file is right, run `flowgate flow import FILE` and have it approved; where it is not, bring it up to date with `flowgate flow show TRIGGER --yaml`, or take the trigger out.",
		},
		{
			ServiceNotHealthy, Failing, "A service that a gateway uses is not healthy",
			"At least one process finds it unhealthy, degraded, or has no fresh answer. Unknown counts as not healthy.",
			"`flowgate health SERVICE` shows error, history, latency and where the credentials come from.",
			"Mend the service or its credentials; the processes see it by themselves at the next probe.",
		},
		{
			AnswerNotBelieved, Warning, "Somebody answered for the fleet with what is no report",
			"An answer on flowgate.fleet.report could not be read, was too large, or came twice under one name: a program that is none of ours, two processes with one state folder, or an attack from within the account.",
			"`nats sub flowgate.fleet.report` and the connections of the account (`nats server report connections`).",
			"Take the right to subscribe to flowgate.fleet.report from everybody but flowgate's own processes.",
		},
		{
			RequestStopped, Failing, "A real request did not pass all three layers",
			"The doctor sent a small request of its own, and it was refused, failed, or was not done in time. The finding names the layer where it stopped.",
			"`flowgate audit show ID --tenant doctor` tells its story; the reason is explained in the list of reasons.",
			"Follow the reason. Where it only was not done in time, look at the findings of that layer's queue, or give the doctor a longer `--wait`.",
		},
	}
}

// Explain finds the entry of a code.
func Explain(code Code) Info {
	for _, info := range Codes() {
		if info.Code == code {
			return info
		}
	}
	return Info{Code: code, Severity: Failing, Title: string(code)}
}

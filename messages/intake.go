package messages

// Intake tells whether a deployment takes submissions now. Whoever submits asks before; it is advice: what is published all the
// same is kept, as long as the broker has room, and waits.
type Intake struct {
	V    int  `json:"v"`
	Open bool `json:"open"`
	// Reason is why not; empty where it is open.
	Reason IntakeReason `json:"reason,omitempty"`
	// Detail says it in words, with figures.
	Detail string `json:"detail,omitempty"`
	// RetryAfter is when to come back, in seconds.
	RetryAfter int `json:"retry_after_seconds,omitempty"`
}

// IntakeReason is why a deployment takes no submissions.
type IntakeReason string

// The reasons.
const (
	// IntakeRecorder: the record lags behind: what was decided and spent is not known well enough to decide more.
	IntakeRecorder IntakeReason = "recorder_lag"
	// IntakeDisk: a disk is nearly full.
	IntakeDisk IntakeReason = "disk_full"
	// IntakeStream: a stream, or all that the broker may store, is nearly full.
	IntakeStream IntakeReason = "stream_full"
	// IntakeBacklog: more requests of the class wait to be admitted than should.
	IntakeBacklog IntakeReason = "backlog"
)

// GetIntakeSubject is where a tenant asks whether submissions of a class are taken.
func GetIntakeSubject(tenant string, c Class) string { return prefixIntake + tenant + "." + string(c) }

package broker

import "fmt"

// fieldPaused is set in a consumer that somebody paused with the tools of NATS.
const fieldPaused = "pause_until"

// Difference is one setting of one thing that is not as the topology says.
type Difference struct {
	// Thing is such as "stream FLOWGATE_INGRESS" or "consumer ai-rt-0 of FLOWGATE_WORK_0".
	Thing string `json:"thing"`
	// Field is the setting's name in the JetStream API; empty: the thing is missing.
	Field string `json:"field,omitempty"`
	// Have and Want are the values as JSON; empty: not set.
	Have string `json:"have,omitempty"`
	Want string `json:"want,omitempty"`
}

func (d Difference) String() string {
	if d.Missing() {
		return d.Thing + " is missing"
	}
	return fmt.Sprintf("%s: %s is %s, must be %s", d.Thing, d.Field, orNone(d.Have), orNone(d.Want))
}

// Missing tells that the whole thing is.
func (d Difference) Missing() bool { return d.Field == "" }

// Breaks tells whether the difference touches a rule of the protocol: what the stream keeps and refuses, who is handed what and
// how often. Sizes, copies and descriptions are an administrator's, and a consumer that somebody paused is found elsewhere.
func (d Difference) Breaks() bool {
	if d.Thing == "bucket "+bucketStream(BucketFlights) {
		return false // it is in the servers' memory, and gone with them; without it questions are joined in each process alone
	}
	if d.Thing == "bucket KV_"+BucketCache { // what is lost there is paid for again, no more
		return d.Field == "storage" || d.Field == "max_msgs_per_subject"
	}
	switch d.Field {
	case "description", "max_bytes", "num_replicas", "placement", "compression", "allow_direct", "mem_storage", fieldPaused:
		return false
	}
	return true
}

// Remedy says what an administrator does about it.
func (d Difference) Remedy() string {
	switch d.Field {
	case fieldPaused:
		return "resume it with `nats consumer resume`"
	case "storage", "max_consumers", "first_seq":
		return "it cannot be changed in place: drain it, make a copy with `nats stream backup`, remove it, and run `flowgate topology apply`"
	case "deliver_policy", "opt_start_seq", "ack_policy", "replay_policy", "durable_name":
		return "it cannot be changed in place: remove the consumer with `nats consumer rm` and run `flowgate topology apply`; what it had handed out is handed out again"
	}
	return "run `flowgate topology apply`"
}

func orNone(s string) string {
	if s == "" {
		return "not set"
	}
	return s
}

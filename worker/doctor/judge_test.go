package doctor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flowgate/messages"
	"flowgate/pipelines/flow"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/doctor"
	"flowgate/worker/fleet"
	"flowgate/worker/postgres"
	"flowgate/worker/sessions"
)

func now() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// well are the facts of a healthy deployment: one process, one queue a layer.
func well() doctor.Facts {
	a := fleet.Answer{Report: fleet.Report{
		Worker: "w1", Layers: messages.Layers(), Queues: []string{"corporate-rt", "ai-rt-0", "optimizer-rt-0"}, Parts: []string{"recorder"}, StartedAt: now().Add(-time.Hour),
	}}
	f := doctor.Facts{
		Now: now(), SettingsCount: 60, Broker: doctor.BrokerFacts{Version: "2.15.2"}, Schema: &postgres.Status{Version: 7, Latest: 7},
		Fleet: fleet.Fleet{Answers: []fleet.Answer{a}},
		Disks: []doctor.Space{{What: "state folder /x", Free: 50 << 30, Total: 100 << 30}}, Records: []doctor.Record{{Stream: "FLOWGATE_WORK_0", Lag: time.Second}},
		Clocks: []doctor.Clock{{Whose: "broker", Ahead: time.Millisecond}, {Whose: "Postgres", Ahead: -time.Millisecond}},
		Agreements: []flow.Entry{{
			Agreement: flow.Agreement{Trigger: "[Cost Analysis]", Version: "2", ValidUntil: now().Add(time.Hour)}, State: flow.StateApproved,
			Last: flow.Change{Act: flow.ActApprove, By: "maria", Reason: "ticket 4711"},
		}},
		Seeds: []flow.Agreement{{Trigger: "[Cost Analysis]", Version: "1", ValidUntil: now().Add(time.Hour)}, {Trigger: "[New]"}},
	}
	for i, name := range messages.Layers() {
		f.Gateways = append(f.Gateways, fleet.Gateway{
			Name: name, State: fleet.StateRunning, Processes: 1, Services: []sessions.Health{{Service: "nats", State: sessions.StateHealthy}},
		})
		f.Queues = append(f.Queues, doctor.Queue{
			Consumer: a.Queues[i], Layer: name, Class: messages.ClassRT, Looks: slices.Repeat([]doctor.Look{{Waiting: 2}}, 3), MaxUnanswered: 1000,
		})
	}
	return f
}

func codes(findings []doctor.Finding) string {
	var words []string
	for _, f := range findings {
		words = append(words, string(f.Code))
	}
	return strings.Join(words, " ")
}

// looks are three equal looks at a queue.
func looks(l doctor.Look) []doctor.Look { return slices.Repeat([]doctor.Look{l}, 3) }

func TestJudge(t *testing.T) {
	const ai = 1 // its queue
	for name, c := range map[string]struct {
		change func(*doctor.Facts)
		want   string
		says   string
	}{
		"healthy": {change: func(*doctor.Facts) {}},
		"a reader between two pulls": {change: func(f *doctor.Facts) {
			f.Fleet.Answers = nil
			f.Gateways = nil
			f.Queues[ai].Looks = []doctor.Look{{Waiting: 0}, {Waiting: 0}, {Waiting: 0, Delivered: 5}}
		}, want: "stuck_consumer stuck_consumer", says: "corporate-rt"}, // the others are pulled by somebody who does not answer; this one moved
		"a busy reader without a pull": {change: func(f *doctor.Facts) {
			f.Queues[ai].Looks, f.Queues[ai].Oldest = looks(doctor.Look{Undelivered: 9, Unanswered: 64}), now().Add(-50*time.Second)
		}},
		"nobody reads": {change: func(f *doctor.Facts) {
			f.Fleet.Answers[0].Queues = f.Fleet.Answers[0].Queues[:1]
			f.Queues[ai].Looks = looks(doctor.Look{Undelivered: 7, Unanswered: 3})
		}, want: "no_pullers", says: "7 messages wait, 3 deliveries"},
		"paused at the broker": {change: func(f *doctor.Facts) {
			f.Queues[ai].Looks, f.Queues[ai].Oldest = looks(doctor.Look{Undelivered: 7, Waiting: 2, PausedAtBroker: true}), now()
		}, want: "stuck_consumer", says: "paused at the broker"},
		"pulls wait and nothing comes": {change: func(f *doctor.Facts) {
			f.Queues[ai].Looks, f.Queues[ai].Oldest = looks(doctor.Look{Undelivered: 7, Waiting: 2}), now().Add(-10*time.Second)
		}, want: "stuck_consumer", says: "hands nothing over"},
		"paused by us": {change: func(f *doctor.Facts) {
			f.Queues[ai].Looks, f.Queues[ai].Oldest = looks(doctor.Look{Undelivered: 7}), now().Add(-30*time.Second)
			f.Pauses = []worker.Pause{{Kind: worker.PauseLayer, Name: "ai_processing", Reason: "cost", By: "ops"}}
		}, want: "paused", says: "cost"},
		"its processes take nothing": {change: func(f *doctor.Facts) {
			f.Queues[ai].Looks, f.Queues[ai].Oldest = looks(doctor.Look{Undelivered: 7}), now().Add(-2*time.Minute)
		}, want: "stuck_consumer oldest_age", says: "have ended nothing for"},
		"long calls are no standstill": {change: func(f *doctor.Facts) {
			f.Queues[ai].Looks, f.Queues[ai].Oldest = looks(doctor.Look{Undelivered: 7, Unanswered: 64}), now().Add(-59*time.Second)
		}},
		"all deliveries are held": {change: func(f *doctor.Facts) {
			f.Queues[ai].Looks = looks(doctor.Look{Unanswered: 1000})
		}, want: "stuck_consumer", says: "1000 deliveries"},
		"a frozen process": {change: func(f *doctor.Facts) {
			f.Fleet.Answers[0].Layers = messages.Layers()[:1]
			f.Fleet.Answers[0].Queues = f.Fleet.Answers[0].Queues[:1]
			f.Queues = f.Queues[:2]
		}, want: "stuck_consumer", says: "frozen"},
		"old": {change: func(f *doctor.Facts) {
			f.Queues[ai].Looks = []doctor.Look{{Undelivered: 7, Delivered: 1}, {Undelivered: 7, Delivered: 2}}
			f.Queues[ai].Oldest = now().Add(-61 * time.Second)
		}, want: "oldest_age", says: "waited 1m1s"},
		"the record is behind": {change: func(f *doctor.Facts) { f.Records[0].Lag = time.Minute }, want: "recorder_lag", says: "1m0s old"},
		"nobody records":       {change: func(f *doctor.Facts) { f.Fleet.Answers[0].Parts = nil }, want: "recorder_lag", says: "none of the 1"},
		"a full disk":          {change: func(f *doctor.Facts) { f.Disks[0].Free = 1 << 30 }, want: "disk_low", says: "1.0 GiB of 100.0 GiB"},
		"a large disk":         {change: func(f *doctor.Facts) { f.Disks[0] = doctor.Space{Free: 30 << 30, Total: 1 << 40} }},
		"a wrong clock":        {change: func(f *doctor.Facts) { f.Clocks[1].Ahead = time.Hour }, want: "clock_skew", says: "1h0m0s ahead"},
		"this machine's clock is wrong": {change: func(f *doctor.Facts) {
			f.Clocks[0].Ahead, f.Clocks[1].Ahead = -time.Minute, -time.Minute
		}, want: "clock_skew", says: "this machine"},
		"a slow answer is no skew": {change: func(f *doctor.Facts) { f.Clocks[1] = doctor.Clock{Ahead: 3 * time.Second, Within: 2 * time.Second} }},
		"an old schema": {change: func(f *doctor.Facts) {
			f.Schema = &postgres.Status{Version: 5, Latest: 6, Pending: []string{"006_rights.sql"}}
		}, want: "migrations_pending", says: "006_rights.sql"},
		"an expired agreement": {change: func(f *doctor.Facts) { f.Agreements[0].ValidUntil, f.Seeds = now(), nil }, want: "agreement_expired", says: "until 2026-05-01T12:00:00Z"},
		"a suspended agreement expired": {change: func(f *doctor.Facts) {
			f.Agreements[0].State, f.Agreements[0].ValidUntil, f.Seeds = flow.StateSuspended, now(), nil
		}},
		"a file that is not in force": {
			change: func(f *doctor.Facts) { f.Seeds[0].Limits.CallsDay = 10 },
			want:   "agreement_seed", says: "the file's version 1 is not in force; version 2 is approved, by maria: ticket 4711",
		},
		"a changed stream": {change: func(f *doctor.Facts) {
			f.Drift = []broker.Difference{{Thing: "stream X", Field: "max_bytes", Have: "1", Want: "-1"}}
		}, want: "topology_drift", says: "max_bytes is 1, must be -1"},
		"an old broker": {change: func(f *doctor.Facts) { f.Broker = doctor.BrokerFacts{Version: "2.9.1", TooOld: "2.12"} }, want: "broker_too_old", says: "2.9.1, flowgate needs 2.12"},
		"silence": {change: func(f *doctor.Facts) {
			f.Unreachable = []doctor.Silence{{"database", "no route"}}
		}, want: "unreachable", says: "no route"},
		"an ill service": {change: func(f *doctor.Facts) {
			f.Gateways[0].Services[0] = sessions.Health{Service: "postgres", State: sessions.StateUnhealthy, Error: "full"}
		}, want: "service_not_healthy", says: "full"},
		"an unknown service": {change: func(f *doctor.Facts) { f.Gateways[0].Services[0].State = sessions.StateUnknown }, want: "service_not_healthy", says: "no"},
		"an unused service": {change: func(f *doctor.Facts) {
			f.Gateways[0].Services[0] = sessions.Health{Service: "s3", State: sessions.StateUnknown, Unused: true}
		}},
		"garbage":      {change: func(f *doctor.Facts) { f.Fleet.SkippedCount, f.Fleet.Skipped = 2, []string{"it is no report"} }, want: "answer_not_believed", says: "2 answers"},
		"bad settings": {change: func(f *doctor.Facts) { f.Settings = "line 12" }, want: "misconfigured", says: "line 12"},
	} {
		f := well()
		c.change(&f)
		found := doctor.Judge(f, doctor.DefaultMarks())
		text := ""
		for _, one := range found {
			text += one.About + ": " + one.Seen + "\n"
			if one.Remedy == "" || one.Severity == "" || one.About == "" && one.Code != doctor.DiskLow {
				t.Errorf("%s: %+v lacks something", name, one)
			}
		}
		if codes(found) != c.want || !strings.Contains(text, c.says) {
			t.Errorf("%s: found %q, want %q; it says %s", name, codes(found), c.want, text)
		}
		failed := slices.ContainsFunc(doctor.Checks(f, found), func(c doctor.Check) bool { return c.State == doctor.CheckFailed })
		if failed != (len(found) > 0) {
			t.Errorf("%s: the checks are %+v", name, doctor.Checks(f, found))
		}
	}
}

func TestWhatAnOldBrokerCannotTellIsUnknown(t *testing.T) {
	f := well()
	f.Broker = doctor.BrokerFacts{Version: "2.9.1", TooOld: "2.12"}
	checks := doctor.Checks(f, doctor.Judge(f, doctor.DefaultMarks()))
	i := slices.IndexFunc(checks, func(c doctor.Check) bool { return c.Name == "gateways" })
	if checks[i].State != doctor.CheckUnknown {
		t.Errorf("nobody could ask the gateways, and the check is %+v", checks[i])
	}
}

func TestEveryCodeIsExplainedOnce(t *testing.T) {
	seen := make(map[doctor.Code]bool)
	for _, info := range doctor.Codes() {
		if seen[info.Code] || info.Title == "" || info.Means == "" || info.Look == "" || info.Do == "" || info.Severity == "" {
			t.Errorf("%+v", info)
		}
		seen[info.Code] = true
		probe := []doctor.Finding{{Code: info.Code}}
		checks := doctor.Checks(well(), probe)
		if !slices.ContainsFunc(checks, func(c doctor.Check) bool { return c.State == doctor.CheckFailed }) {
			t.Errorf("%s makes no check fail", info.Code)
		}
	}
}

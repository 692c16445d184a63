package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/broker"
	"flowgate/worker/control"
	"flowgate/worker/doctor"
	"flowgate/worker/fleet"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

// ward is a running deployment on real servers in which faults are planted one after the other.
type ward struct {
	*ground

	js       jetstream.JetStream
	db       *postgres.DB
	dbURL    string
	settings configs.Settings
	marks    doctor.Marks
}

func newWard(t *testing.T) *ward {
	t.Helper()
	g := outside(t)
	w := &ward{ground: g, marks: doctor.DefaultMarks()}
	var natsURL string
	for _, e := range g.env {
		if url, found := strings.CutPrefix(e, "DATABASE_URL="); found {
			w.dbURL = url
		}
		if url, found := strings.CutPrefix(e, "NATS_URL="); found {
			natsURL = url
		}
	}
	conn, err := nats.Connect(natsURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if w.js, err = newJetStream(conn); err != nil {
		t.Fatal(err)
	}
	if w.db, err = postgres.Open(t.Context(), w.dbURL, postgres.DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.db.Close)
	if w.settings, _, err = configs.Load(g.settings, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// examine is what the doctor finds, without a request.
func (w *ward) examine(t *testing.T) []doctor.Finding {
	t.Helper()
	topology, err := topologyOf(w.settings)
	if err != nil {
		t.Fatal(err)
	}
	facts := doctor.Gather(t.Context(), doctor.Sources{
		JS: w.js, DB: w.db, Topology: topology, Folder: w.state, Between: 300 * time.Millisecond,
		Schema: func(ctx context.Context) (postgres.Status, error) {
			return postgres.MigrationStatus(ctx, w.dbURL, postgres.DefaultOptions())
		},
	}, doctor.Facts{Broker: doctor.BrokerFacts{Version: w.js.Conn().ConnectedServerVersion()}})
	return doctor.Judge(facts, w.marks)
}

// finds wants a finding of a code about a thing, and nothing of any other code than the allowed ones. On a busy machine somebody may
// be too slow for one look.
func (w *ward) finds(t *testing.T, code doctor.Code, about, says string, allowed ...doctor.Code) {
	t.Helper()
	var found []doctor.Finding
	defer func() {
		if t.Failed() {
			t.Logf("found %+v", found)
		}
	}()
	eventually(t, fmt.Sprintf("%s about %s that says %q is found, and nothing but %v", code, about, says, allowed), func() bool {
		found = w.examine(t)
		hit := slices.ContainsFunc(found, func(f doctor.Finding) bool {
			return f.Code == code && strings.Contains(f.About, about) && strings.Contains(f.Seen, says) && f.Remedy != ""
		})
		return hit && !slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Code != code && !slices.Contains(allowed, f.Code) })
	})
}

// healthy waits until the doctor finds nothing: what was planted has gone.
func (w *ward) healthy(t *testing.T) {
	t.Helper()
	var found []doctor.Finding
	defer func() {
		if len(found) > 0 {
			t.Logf("still found: %+v", found)
		}
	}()
	eventually(t, "the doctor finds nothing", func() bool {
		found = w.examine(t)
		return len(found) == 0
	})
}

func (w *ward) sql(t *testing.T, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.dbURL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), statement)
	if err = errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func (w *ward) submit(t *testing.T, class messages.Class, id string) {
	t.Helper()
	subject := messages.RequestSubject(class, messages.Key{Tenant: "default", ID: id})
	if _, err := w.js.Publish(t.Context(), subject, []byte(`{"prompt":"x","audit_reason":"a planted fault"}`)); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorFindsPlantedFaults plants each fault on real JetStream and Postgres, one after the other, in one deployment.
func TestDoctorFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	all := w.workers("corporate", "recorder", "ai", "optimizer")
	w.healthy(t)
	var r doctorReport
	s := w.say("doctor", "--json")
	s.read(t, &r)
	if s.code != exitDone || !r.OK || !r.Request.OK || r.Request.Backend != "offline" || len(r.Checks) != 5 || r.Findings == nil {
		t.Errorf("code %d: %s%s", s.code, s.stdout, s.stderr)
	}

	t.Run("stuck consumer", func(t *testing.T) {
		stream := worker.WorkStream(0)
		if _, err := w.js.PauseConsumer(t.Context(), stream, "ai-batch-0", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		w.submit(t, messages.ClassBatch, "stuck-1")
		w.submit(t, messages.ClassStd, "moves-1")
		w.result("moves-1")
		w.finds(t, doctor.StuckConsumer, "ai-batch-0", "paused at the broker", doctor.TopologyDrift)
		if _, err := w.js.ResumeConsumer(t.Context(), stream, "ai-batch-0"); err != nil {
			t.Fatal(err)
		}
		w.result("stuck-1")
	})
	t.Run("frozen process", func(t *testing.T) {
		all[2].signal(syscall.SIGSTOP)
		eventually(t, "its last pulls have ended and nobody reads for it", func() bool {
			return slices.ContainsFunc(w.examine(t), func(f doctor.Finding) bool {
				return f.Code == doctor.NoPullers && f.About == "ai-std-0" && strings.Contains(f.Seen, "no process reads it")
			})
		})
		eventually(t, "a request comes to layer 2 and no further", func() bool {
			asked := doctor.Ask(t.Context(), w.js, time.Second, 10)
			if asked.OK || asked.Finding() == nil {
				t.Fatalf("the request came so far: %+v", asked)
			}
			return asked.StoppedAt == messages.LayerAI
		})
		all[2].signal(syscall.SIGCONT)
		w.healthy(t)
	})
	t.Run("paused layer", func(t *testing.T) {
		pause := control.Pause{Kind: worker.PauseLayer, Name: string(messages.LayerAI), Reason: "the bill", By: "ops", Since: time.Now()}
		if _, _, err := control.Set(t.Context(), w.js, pause); err != nil {
			t.Fatal(err)
		}
		w.finds(t, doctor.Paused, "ai_processing", "the bill")
		w.say("gateways", "list").wants(t, exitDone, "paused", "the bill")
		if _, _, err := control.Clear(t.Context(), w.js, pause.Kind, pause.Name); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("no pullers, and what is too old", func(t *testing.T) {
		all[3].stop()
		w.submit(t, messages.ClassStd, "old-1")
		eventually(t, "it stands before layer 3", func() bool {
			newest, found, err := (&worker.Leader{JS: w.js}).Newest(t.Context(), 0, messages.Key{Tenant: "default", ID: "old-1"})
			return err == nil && found && newest.State == messages.StateOptimizer
		})
		w.finds(t, doctor.NoPullers, "optimizer-std-0", "1 messages wait")
		w.marks.Age = map[messages.Class]time.Duration{messages.ClassStd: time.Millisecond}
		w.finds(t, doctor.OldestAge, "optimizer-std-0", "has waited", doctor.NoPullers)
		w.marks = doctor.DefaultMarks()
		eventually(t, "a request comes to layer 3 and no further", func() bool {
			r = doctorReport{}
			s := w.say("doctor", "--json", "--wait", "1s")
			s.read(t, &r)
			if s.code != exitFailed || r.OK || !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool { return f.Code == doctor.RequestStopped }) {
				t.Fatalf("code %d: %s%s", s.code, s.stdout, s.stderr)
			}
			return r.Request.StoppedAt == messages.LayerOptimizer
		})
		all[3] = w.workers("optimizer")[0]
		w.result("old-1")
	})
	t.Run("recorder lag", func(t *testing.T) {
		all[1].stop()
		w.submit(t, messages.ClassStd, "lag-1")
		w.marks.Lag = time.Millisecond
		eventually(t, "layer 3 has ended it", func() bool {
			newest, found, err := (&worker.Leader{JS: w.js}).Newest(t.Context(), 0, messages.Key{Tenant: "default", ID: "lag-1"})
			return err == nil && found && newest.State == messages.StateDone
		})
		w.finds(t, doctor.RecorderLag, worker.WorkStream(0), "not recorded")
		w.marks = doctor.DefaultMarks()
		all[1] = w.workers("recorder")[0]
		w.healthy(t)
	})
	t.Run("disk, and a stream changed by hand", func(t *testing.T) {
		w.marks.Free, w.marks.FreeBytes = 1.1, 1<<62
		w.finds(t, doctor.DiskLow, "state folder", "are free")
		w.marks = doctor.DefaultMarks()
		stream, err := w.js.Stream(t.Context(), worker.WorkStream(0))
		if err != nil {
			t.Fatal(err)
		}
		kept := stream.CachedInfo().Config
		full := kept
		full.MaxBytes = int64(stream.CachedInfo().State.Bytes) //nolint:gosec // small
		if _, err := w.js.UpdateStream(t.Context(), full); err != nil {
			t.Fatal(err)
		}
		w.finds(t, doctor.DiskLow, "stream "+kept.Name, "0.0 B", doctor.TopologyDrift)
		w.finds(t, doctor.TopologyDrift, kept.Name, "max_bytes", doctor.DiskLow)
		if _, err := w.js.UpdateStream(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("clock skew", func(t *testing.T) {
		sub, err := w.js.Conn().Subscribe(fleet.Subject, func(m *nats.Msg) { // a process whose clock is an hour ahead
			at := time.Now().Add(time.Hour)
			data, err := json.Marshal(fleet.Report{V: 1, Worker: "late", StartedAt: at, Clock: at})
			if err == nil {
				err = m.Respond(data)
			}
			if err != nil {
				t.Errorf("answering: %v", err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		w.finds(t, doctor.ClockSkew, "worker late", "1h0m0s ahead")
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("migrations", func(t *testing.T) {
		w.sql(t, "UPDATE flowgate.schema_version SET version = version - 1")
		w.finds(t, doctor.MigrationsPending, "database", "missing: ")
		w.sql(t, "UPDATE flowgate.schema_version SET version = version + 1")
	})
	t.Run("expired agreement", func(t *testing.T) {
		until := func(entry string) {
			t.Helper()
			w.sql(t, "UPDATE flowgate.agreement SET entry = "+entry+" WHERE trigger = '[Cost Analysis]'")
		}
		until(`entry || '{"owner": "treasury", "valid_until": "2025-12-31T00:00:00Z"}'`)
		w.say("doctor", "--no-request").wants(t, exitFailed, "agreement_expired: [Cost Analysis]", "treasury", "none was sent")
		until(`entry - 'valid_until' || '{"owner": "finance"}'`)
	})
	t.Run("a file of agreements that is not in force", func(t *testing.T) {
		path := w.file("agreements.yaml", []byte("- trigger: \"[Cost Analysis]\"\n  flow_encoding: \"@cost#analysis!measure@spend\"\n  action: cost\n"))
		settings := w.file("seeds.yaml", []byte(quickSettings+"  agreements_file: "+path+"\n"))
		w.say("doctor", "--config", settings, "--no-request").wants(t, exitFailed, "agreement_seed: [Cost Analysis]", "version 2 is approved", "flowgate flow import")
	})
	w.healthy(t)
}

func TestDoctorSaysWhatItCannotAsk(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	var r doctorReport
	s := g.say("doctor", "--json")
	s.read(t, &r)
	if s.code != exitEnvironment || len(r.Findings) != 2 || r.Findings[0].Code != doctor.Unreachable || r.Checks[1].State != doctor.CheckUnknown || r.Request.Sent {
		t.Errorf("code %d: %s", s.code, s.stdout)
	}
	g.say("doctor", "--config", g.file("typo.yaml", []byte("flowgate:\n  lisen: x\n"))).wants(t, exitFailed, "misconfigured", "typo.yaml:2", "listen")
	server := workertest.Server(t)
	url := strings.Replace(server.URL(), "nats://", "nats://"+broker.OperatorUser+":"+workertest.OperatorPassword+"@", 1)
	g.env = append(g.env, "NATS_URL="+url, "DATABASE_URL=postgres://nobody@127.0.0.1:1/none")
	g.say("doctor", "--no-request").wants(t, exitEnvironment, "unreachable: database", "topology_drift", "FLOWGATE_INGRESS is missing")
}

// TestRunbookNamesCommandsThatExist: a remedy that nobody can run is none.
func TestRunbookNamesCommandsThatExist(t *testing.T) {
	t.Parallel()
	quoted := regexp.MustCompile("`flowgate ([^`]+)`")
	texts := make([]string, 0)
	for _, c := range doctor.Codes() {
		texts = append(texts, c.Means, c.Look, c.Do)
	}
	for _, r := range messages.ReasonList() {
		texts = append(texts, r.Text, r.Next)
	}
	for _, m := range quoted.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
		words := strings.Fields(m[1])
		cmd, _, err := newRoot().Find(words)
		if err != nil || !cmd.HasParent() {
			t.Errorf("`flowgate %s`: there is no such command (%v)", m[1], err)
			continue
		}
		for _, w := range words {
			if name, isFlag := strings.CutPrefix(w, "--"); isFlag && cmd.Flag(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
				t.Errorf("`flowgate %s`: %s has no flag %s", m[1], cmd.CommandPath(), w)
			}
		}
	}
}

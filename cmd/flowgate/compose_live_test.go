package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"flowgate/messages"
	"flowgate/worker/broker"
	"flowgate/worker/console"
	"flowgate/worker/link"
	"flowgate/worker/postgres/private"
	"flowgate/worker/results"
	"flowgate/worker/sessions"
	"flowgate/worker/workertest"
)

// composeGround is what docker-compose.yml describes, without an engine: its NATS configuration runs in three servers of this
// process, its roles are made in a real Postgres, its commands run as processes with its environment.
type composeGround struct {
	t         *testing.T
	file      composeFile
	dir       string
	natsURL   string
	s3        *workertest.AWS
	passwords map[string]string
	superuser string
}

// write writes a file of the ground and returns its path.
func (g *composeGround) write(name, text string) string {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

// startNATS runs the configuration with other addresses and folders, and nothing else changed.
func (g *composeGround) startNATS() {
	g.t.Helper()
	g.passwords = map[string]string{}
	var lines, routes strings.Builder
	for _, layer := range layerWords() {
		roles := layer
		if layer == "optimizer" { // as README's commands have it
			roles = "optimizer,actions"
		}
		rights := flowgate(g.t, g.dir, "topology", "plan", "--permissions", "--layer", roles)
		rights.wants(g.t, exitDone)
		g.write("rights_"+layer+".conf", rights.stdout)
	}
	for _, user := range append([]string{"route", "admin", "producer", "sys"}, layerWords()...) {
		g.passwords[user] = rand.Text()
		fmt.Fprintf(&lines, "%s_password: %q\n", user, g.passwords[user])
	}
	const servers = 3
	ports, err := link.FreePorts(3 * servers)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := range servers {
		fmt.Fprintf(&routes, "nats://route:%s@127.0.0.1:%d,", g.passwords["route"], ports[servers+i])
	}
	fmt.Fprintf(&lines, "route_urls: [%s]\n", strings.TrimSuffix(routes.String(), ","))
	g.write("passwords.conf", lines.String())
	var urls []string
	var members []*broker.Member
	for i := range servers {
		text := g.file.Configs["nats"]["content"]
		swap := func(old, by string) {
			if !strings.Contains(text, old) {
				g.t.Fatalf("the NATS configuration has no %s", old)
			}
			text = strings.ReplaceAll(text, old, by)
		}
		swap("listen: 0.0.0.0:4222", fmt.Sprintf("listen: \"127.0.0.1:%d\"", ports[i]))
		swap("listen: 0.0.0.0:6222", fmt.Sprintf("listen: \"127.0.0.1:%d\"", ports[servers+i]))
		swap("http: 127.0.0.1:8222", fmt.Sprintf("http: \"127.0.0.1:%d\"", ports[2*servers+i]))
		swap("store_dir: /data", fmt.Sprintf("store_dir: %q", filepath.Join(g.dir, fmt.Sprint("nats-", i+1))))
		swap("sync_interval: always", "sync_interval: 2m") // for the speed of the test
		member, err := broker.StartMember(g.write(fmt.Sprintf("nats-%d.conf", i+1), fmt.Sprintf("server_name: nats-%d\n%s", i+1, text)), zap.NewNop())
		if err != nil {
			g.t.Fatal(err)
		}
		g.t.Cleanup(member.Shutdown)
		members = append(members, member)
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	g.natsURL = strings.Join(urls, ",")
	ctx, cancel := context.WithTimeout(g.t.Context(), formTime)
	defer cancel()
	for _, m := range members {
		if err := m.Ready(ctx); err != nil {
			g.t.Fatal(err)
		}
	}
}

// startPostgres starts a server and makes the roles as psql does with roles.sql.
func (g *composeGround) startPostgres() {
	g.t.Helper()
	server, err := private.Start(g.t.Context(), private.Options{Dir: filepath.Join(g.dir, "postgres")})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			g.t.Error(err)
		}
	})
	g.superuser = server.URL("postgres")
	for _, role := range []string{"owner", "worker"} {
		u, err := url.Parse(server.URL("flowgate"))
		if err != nil {
			g.t.Fatal(err)
		}
		u.User = url.UserPassword("flowgate_"+role, rand.Text())
		g.write("database_url_"+role, u.String()+"\n")
	}
	set, use := regexp.MustCompile("^\\\\set (\\w+) `(.*)`$"), regexp.MustCompile(`:'(\w+)'`)
	variables := map[string]string{}
	database := "postgres"
	for lines := bufio.NewScanner(strings.NewReader(g.file.Configs["roles"]["content"])); lines.Scan(); {
		line := lines.Text()
		switch assigned := set.FindStringSubmatch(line); {
		case assigned != nil:
			shell := strings.ReplaceAll(assigned[2], "/run/secrets", g.dir)
			out, err := exec.CommandContext(g.t.Context(), "sh", "-c", shell).Output() //nolint:gosec // our own file
			if err != nil {
				g.t.Fatalf("%s: %v", shell, err)
			}
			variables[assigned[1]] = strings.TrimSpace(string(out))
		case strings.HasPrefix(line, `\connect `):
			database = strings.TrimPrefix(line, `\connect `)
		default:
			g.sql(server.URL(database), use.ReplaceAllStringFunc(line, func(name string) string {
				return "'" + variables[strings.Trim(name, ":'")] + "'"
			}))
		}
	}
}

func (g *composeGround) sql(database, statement string) {
	g.t.Helper()
	if err := g.try(database, statement); err != nil {
		g.t.Fatalf("%s: %v", statement, err)
	}
}

func (g *composeGround) try(database, statement string) error {
	conn, err := pgx.Connect(g.t.Context(), database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(g.t.Context()))
	_, err = conn.Exec(g.t.Context(), statement)
	return err
}

// run starts a service's command with its environment; only addresses and places of files differ.
func (g *composeGround) run(service string) *child {
	g.t.Helper()
	s := g.file.Services[service]
	var env []string
	for name, value := range s.Environment {
		switch {
		case name == "NATS_URL":
			value = g.natsURL
		case name == "FLOWGATE_HTTP":
			value = "127.0.0.1:0"
		case name == "AWS_ENDPOINT_URL_S3":
			value = g.s3.URL
		case strings.HasSuffix(name, "_FILE"):
			value = strings.ReplaceAll(value, "/run/secrets", g.dir)
		}
		env = append(env, name+"="+value)
	}
	env = append(env, "FLOWGATE_STATE="+filepath.Join(g.dir, "state"))
	args := []string{"--json"}
	for _, arg := range s.Command {
		args = append(args, strings.ReplaceAll(arg, "/etc/flowgate", g.dir))
	}
	c, err := startChild(service, binary(g.t), environ(env...), args...)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := c.stop(drainGrace); err != nil {
			g.t.Error(err)
		}
	})
	return c
}

// startS3 starts a store that has the bucket and knows the key of the file.
func (g *composeGround) startS3() {
	g.t.Helper()
	secret := rand.Text()
	g.write("s3_credentials", "[default]\naws_access_key_id = flowgate\naws_secret_access_key = "+secret+"\n")
	g.s3 = workertest.NewAWS(g.t, false, func(w http.ResponseWriter, r *http.Request) {
		if strings.Trim(r.URL.Path, "/") != g.file.Services["recorder"].Environment["S3_BUCKET"] {
			workertest.RefuseAWS(w, r, http.StatusNotFound, "NoSuchBucket", "there is no such bucket")
			return
		}
		_, _ = fmt.Fprint(w, "<ListBucketResult></ListBucketResult>")
	})
	g.s3.Know("flowgate", secret, "")
}

// seesStore waits until a worker finds the store healthy, or says that it does not use it.
func (g *composeGround) seesStore(base string, used bool) {
	g.t.Helper()
	eventually(g.t, "the worker has asked its services", func() bool {
		_, body := fetch(g.t, base, "/readyz", "")
		var r console.Readiness
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			g.t.Fatal(err)
		}
		i := slices.IndexFunc(r.Services, func(s console.Service) bool { return s.Name == serviceS3 })
		return len(r.Services) > 0 && (i >= 0) == used && (!used || r.Services[i].State == string(sessions.StateHealthy))
	})
}

func (g *composeGround) connect(user string) *nats.Conn {
	g.t.Helper()
	conn, err := nats.Connect(g.natsURL, nats.UserInfo(user, g.passwords[user]), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		g.t.Fatalf("connecting as %s: %v", user, err)
	}
	g.t.Cleanup(conn.Close)
	return conn
}

func TestComposeDeploymentWorksAndEachUserMayDoItsOwnOnly(t *testing.T) {
	t.Parallel()
	g := &composeGround{t: t, file: readCompose(t), dir: stateFolder(t)}
	g.write("settings.yaml", g.file.Configs["settings"]["content"])
	g.startNATS()
	for _, user := range append([]string{"admin"}, layerWords()...) {
		g.write("nats_"+user, g.passwords[user]+"\n")
	}
	g.startPostgres()
	g.startS3()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, once := range []string{"migrate", "topology"} {
		if err := g.run(once).finish(ctx); err != nil {
			t.Fatal(err)
		}
	}
	var workers []*child
	for _, layer := range layerWords() {
		workers = append(workers, g.run(layer))
	}
	for _, w := range workers {
		var ready struct {
			HTTPURL string `json:"http_url"`
		}
		if err := w.ready(ctx, &ready); err != nil {
			t.Fatal(err)
		}
		g.seesStore(ready.HTTPURL, w.name == string(roleRecorder))
	}
	producer := g.connect("producer")
	for i := range 5 {
		key := messages.Key{Tenant: "default", ID: fmt.Sprint("compose-", i)}
		_, err := producer.RequestWithContext(ctx, messages.RequestSubject(messages.ClassStd, key), []byte(`{"prompt":"Say OK","audit_reason":"a rehearsal of compose"}`))
		if err != nil {
			t.Fatal(err)
		}
		result, err := results.Wait(ctx, producer, key, 0)
		if err != nil || result.Status != messages.StatusSuccess {
			t.Fatalf("%+v: %v", result, err)
		}
	}
	g.measures(ctx, producer)
	g.mayNot(ctx)
}

// measures asks for actions, which layer 3 carries out with rights of its own.
func (g *composeGround) measures(ctx context.Context, producer *nats.Conn) {
	g.t.Helper()
	for id, trigger := range map[string]string{"integration": "[Integration Test]", "performance": "[Performance Test]"} {
		key := messages.Key{Tenant: "default", ID: id}
		request := fmt.Appendf(nil, `{"trigger":%q,"audit_reason":"a rehearsal of compose"}`, trigger)
		if _, err := producer.RequestWithContext(ctx, messages.RequestSubject(messages.ClassStd, key), request); err != nil {
			g.t.Fatal(err)
		}
		result, err := results.Wait(ctx, producer, key, 0)
		if err != nil || result.Execution == nil || result.Execution.Mode != messages.ExecutionReal {
			g.t.Errorf("%s: %+v, %+v: %v", trigger, result, result.Execution, err)
		}
	}
}

// mayNot tries what is above the rights of a worker and of a producer.
func (g *composeGround) mayNot(ctx context.Context) {
	g.t.Helper()
	brief, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	js, err := jetstream.New(g.connect("recorder"))
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := js.CreateStream(brief, jetstream.StreamConfig{Name: "MINE", Subjects: []string{"mine"}}); err == nil {
		g.t.Error("a worker may create streams")
	}
	if err := js.DeleteStream(brief, broker.StreamIngress); err == nil {
		g.t.Error("a worker may delete streams")
	}
	stranger := g.connect("producer")
	if _, err := stranger.RequestWithContext(brief, "$JS.API.STREAM.NAMES", nil); err == nil {
		g.t.Error("a producer reaches the JetStream API")
	}
	database, err := os.ReadFile(filepath.Join(g.dir, "database_url_worker"))
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.try(strings.TrimSpace(string(database)), "CREATE TABLE flowgate.mine (a int)"); err == nil {
		g.t.Error("a worker may make tables")
	}
	if err := g.try(strings.TrimSpace(string(database)), "UPDATE flowgate.schema_version SET version = 1"); err == nil {
		g.t.Error("a worker may change the schema's version")
	}
}

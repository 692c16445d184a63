package sessions

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"flowgate/worker/broker"
	"flowgate/worker/postgres"
	"flowgate/worker/workertest"
)

func TestPostgresTellsVersionAndDatabase(t *testing.T) {
	url := workertest.Database(t)
	db, err := postgres.Open(t.Context(), url, postgres.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	f, err := (PostgresProbe{DB: db, Source: "DATABASE_URL"}).Check(t.Context())
	if err != nil || !strings.HasPrefix(f.Detail, "PostgreSQL ") || !strings.Contains(f.Detail, ", database flowgate_test_") ||
		!strings.Contains(f.Detail, " of 2 connections in use") || f.Source != "DATABASE_URL" {
		t.Errorf("%+v %v", f, err)
	}
	db.Close()
	if f, err := (PostgresProbe{DB: db}).Check(t.Context()); err == nil {
		t.Errorf("a closed database is healthy: %+v", f)
	}
}

// full is a pool whose connections are all lent.
type full struct{}

func (full) Connections() (lent, most int) { return 8, 8 }

func (full) Server(ctx context.Context) (version, database string, err error) {
	<-ctx.Done()
	return "", "", fmt.Errorf("connecting to postgres: %w", ctx.Err())
}

func TestFullPoolIsNamed(t *testing.T) {
	m, err := NewMonitor(MonitorOptions{Timeout: 20 * time.Millisecond, Probes: []Probe{PostgresProbe{DB: full{}}}})
	if err != nil {
		t.Fatal(err)
	}
	if h := of(t, m.Once(t.Context()), "postgres"); h.State != StateUnhealthy || !strings.Contains(h.Error, "gave no answer within 20ms") || !strings.Contains(h.Error, "all 8 connections of the pool are in use") {
		t.Errorf("%+v", h)
	}
}

func TestNATSTellsTheLargestBacklog(t *testing.T) {
	srv := workertest.Server(t)
	conn, js := workertest.Conn(t, srv)
	queue := broker.LayerQueue{Name: "corporate"}
	workertest.Topology(t, js, []broker.LayerQueue{queue})
	p := NATSProbe{Conn: conn, JS: js, Source: "own"}
	for _, class := range []string{"rt", "std", "batch"} {
		p.Consumers = append(p.Consumers, Consumer{queue.Stream(0), "corporate-" + class})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	f, err := p.Check(ctx)
	if err != nil || !strings.HasPrefix(f.Detail, "nats-server 2.") || !strings.HasSuffix(f.Detail, ", no backlog") {
		t.Fatalf("%+v %v", f, err)
	}
	for i := range 3 {
		if _, err := js.Publish(t.Context(), fmt.Sprintf("flowgate.request.std.default.r-%d", i), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if f, err := p.Check(ctx); err != nil || !strings.HasSuffix(f.Detail, "largest backlog 3 (corporate-std)") {
		t.Errorf("%+v %v", f, err)
	}
	p.Consumers = append(p.Consumers, Consumer{queue.Stream(0), "nobody"})
	if _, err := p.Check(ctx); err == nil || !strings.Contains(err.Error(), "consumer nobody") {
		t.Errorf("%v", err)
	}
	srv.Shutdown()
	if _, err := p.Check(ctx); err == nil {
		t.Error("a broker that is gone is healthy")
	}
}

func TestServersWithHTTPAreAskedForNothingThatCosts(t *testing.T) {
	models := `{"data":[{"id":"a"},{"id":"b"}]}`
	for name, step := range map[string]struct {
		status int
		body   string
		detail string
		says   string
	}{
		"in order":            {http.StatusOK, models, "/v1, 2 models", ""},
		"no list of models":   {http.StatusOK, "<html>", "", "does the base URL end with the version"},
		"a wrong key":         {http.StatusUnauthorized, `{"error":{"message":"Incorrect API key provided: pa55word"}}`, "", "refuses the credentials (HTTP 401)"},
		"an ended permission": {http.StatusForbidden, "", "", "refuses the credentials (HTTP 403)"},
		"too many calls":      {http.StatusTooManyRequests, "", "/v1", ""},
		"a broken server":     {http.StatusBadGateway, "", "", "answers HTTP 502"},
		"another place":       {http.StatusMovedPermanently, "", "", "answers HTTP 301"},
	} {
		url := listen(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != "/v1/models" || r.Header.Get("Authorization") != "Bearer pa55word" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(step.status)
			_, _ = fmt.Fprint(w, step.body)
		})
		p, err := NewOpenAI(HTTPAccess{URL: url + "/v1", Bearer: "pa55word", Source: "OPENAI_API_KEY"})
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.Check(t.Context())
		p.Close()
		if (err != nil) != (step.says != "") || err != nil && (!strings.Contains(err.Error(), step.says) || strings.Contains(err.Error(), "pa55word")) || !strings.HasSuffix(f.Detail, step.detail) {
			t.Errorf("%s: %+v %v", name, f, err)
		}
	}
}

func TestAnthropicIsAskedForItsModels(t *testing.T) {
	for name, step := range map[string]struct {
		access       HTTPAccess
		key, bearer  string
		status       int
		body         string
		detail, says string
	}{
		"with a key":    {HTTPAccess{Key: "pa55word"}, "pa55word", "", http.StatusOK, `{"data":[{"id":"a"}]}`, ", 1 models", ""},
		"with a token":  {HTTPAccess{Bearer: "pa55word"}, "", "Bearer pa55word", http.StatusOK, `{"data":[]}`, ", 0 models", ""},
		"without any":   {HTTPAccess{}, "", "", http.StatusOK, `{"data":[]}`, ", 0 models", ""},
		"a wrong key":   {HTTPAccess{Key: "pa55word"}, "pa55word", "", http.StatusUnauthorized, `{"error":{"message":"invalid x-api-key pa55word"}}`, "", "refuses the credentials (HTTP 401)"},
		"another place": {HTTPAccess{Key: "pa55word"}, "pa55word", "", http.StatusOK, "<html>", "", "is the base URL that of a server with Anthropic's protocol, without /v1?"},
	} {
		url := listen(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != "/base/v1/models" || r.Header.Get("Anthropic-Version") != AnthropicVersion ||
				r.Header.Get("X-Api-Key") != step.key || r.Header.Get("Authorization") != step.bearer {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.WriteHeader(step.status)
			_, _ = fmt.Fprint(w, step.body)
		})
		step.access.URL, step.access.Source = url+"/base", "ANTHROPIC_API_KEY"
		p, err := NewAnthropic(step.access)
		if err != nil || p.Name() != "anthropic" {
			t.Fatal(p, err)
		}
		f, err := p.Check(t.Context())
		p.Close()
		if (err != nil) != (step.says != "") || err != nil && (!strings.Contains(err.Error(), step.says) || strings.Contains(err.Error(), "pa55word")) ||
			!strings.HasSuffix(f.Detail, step.detail) || f.Source != "ANTHROPIC_API_KEY" {
			t.Errorf("%s: %+v %v", name, f, err)
		}
	}
	if _, err := NewAnthropic(HTTPAccess{URL: "ftp://x", Key: "k"}); err == nil {
		t.Error("an address of no server is taken")
	}
}

func TestMLflowIsAskedForItsHealth(t *testing.T) {
	url := listen(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.URL.Path != "/base/health" || user != "u" || password != "pa55word" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprint(w, "OK")
	})
	host := strings.TrimPrefix(url, "http://")
	for name, a := range map[string]HTTPAccess{
		"in the URL": {URL: "http://u:pa55word@" + host + "/base/?x=1#y"}, "beside it": {URL: url + "/base", User: "u", Password: "pa55word"},
	} {
		p, err := NewMLflow(a)
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.Check(t.Context())
		p.Close()
		if err != nil || !strings.HasPrefix(f.Detail, url+"/base") || strings.Contains(f.Detail, "pa55word") {
			t.Errorf("%s: %+v %v", name, f, err)
		}
	}
	for _, bad := range []string{"", "mlflow:5000", "ftp://h", "http://"} {
		if _, err := NewMLflow(HTTPAccess{URL: bad}); err == nil {
			t.Errorf("%q is no address", bad)
		}
	}
}

func TestServerThatNeverAnswersIsCut(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	url := "http://" + silent.Addr().String()
	mlflow, err := NewMLflow(HTTPAccess{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Env: oneKey(t).get, S3: S3Options{Bucket: "b", Endpoint: url}, Bedrock: BedrockOptions{Endpoint: url, Model: model}})
	m, err := NewMonitor(MonitorOptions{Timeout: 100 * time.Millisecond, Probes: []Probe{mlflow, S3Probe{s}, BedrockProbe{s}}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, h := range m.Once(t.Context()) {
		if h.State != StateUnhealthy || !strings.HasPrefix(h.Error, "gave no answer within 100ms") {
			t.Errorf("%+v", h)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("three silent servers took %s", took)
	}
}

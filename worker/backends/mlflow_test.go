package backends

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"flowgate/messages"
	"flowgate/pipelines/ai"
	"flowgate/worker"
	"flowgate/worker/provider"
	"flowgate/worker/workertest"
)

var _ worker.Backend = (*MLflow)(nil)

const mlflowKey = "mlflow-token-7b1"

// mlflowAt is a backend for a gateway; change may change its options.
func mlflowAt(t *testing.T, root string, change ...func(*MLflowOptions)) *MLflow {
	t.Helper()
	options := MLflowOptions{TrackingURI: root, Token: mlflowKey}
	for _, c := range change {
		c(&options)
	}
	b, err := NewMLflow(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// gateway is an MLflow that has some routes alone, and what it was asked.
type gateway struct {
	*httptest.Server

	mu     sync.Mutex
	has    []string
	asked  []string
	answer func(w http.ResponseWriter)
}

func newGateway(t *testing.T, has ...string) *gateway {
	t.Helper()
	g := &gateway{has: has}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.asked = append(g.asked, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case !slices.Contains(g.has, r.URL.Path):
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"detail":"Not Found"}`)
		case g.answer != nil:
			g.answer(w)
		case strings.HasSuffix(r.URL.Path, "embeddings-1/mlflow/invocations"):
			_, _ = fmt.Fprint(w, `{"data":[{"index":1,"embedding":[3]},{"index":0,"embedding":[1]}],"model":"e","usage":{"prompt_tokens":2,"total_tokens":2}}`)
		default:
			_, _ = fmt.Fprint(w, `{"id":"c-1","model":"gpt","choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1,"total_tokens":3}}`)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) took() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.asked
	g.asked = nil
	return asked
}

const (
	invocations = "/base/gateway/test-model/mlflow/invocations"
	unified     = "/base/gateway/mlflow/v1/chat/completions"
	legacy      = "/base/endpoints/test-model/invocations"
)

func TestMLflowFindsTheRouteThatIsThere(t *testing.T) {
	for _, test := range []struct {
		has           []string
		first, second []string
	}{
		{[]string{invocations, unified}, []string{invocations}, []string{invocations}},
		{[]string{unified}, []string{invocations, unified}, []string{unified}},
		{[]string{legacy}, []string{invocations, unified, legacy}, []string{legacy}},
	} {
		g := newGateway(t, test.has...)
		b := mlflowAt(t, g.URL+"/base/")
		for _, want := range [][]string{test.first, test.second} {
			got, err := b.Call(t.Context(), workertest.NewCall("route"))
			if err != nil || got.Text != "hi" || got.Usage.Input() != 2 {
				t.Errorf("%v: %+v %v", test.has, got, err)
			}
			if asked := g.took(); !slices.Equal(asked, want) {
				t.Errorf("%v: asked %v, want %v", test.has, asked, want)
			}
		}
	}
}

func TestMLflowLooksAgainWhereNoRouteIsThere(t *testing.T) {
	g := newGateway(t)
	b := mlflowAt(t, g.URL+"/base")
	_, err := b.Call(t.Context(), workertest.NewCall("none"))
	if fault := faultOf(t, err); fault.Class != ai.ClassInvalid || fault.Code != codeNoRoute || !fault.Elsewhere || len(g.took()) != 3 {
		t.Errorf("%+v", fault)
	}
	g.mu.Lock()
	g.has = []string{invocations}
	g.mu.Unlock()
	if _, err := b.Call(t.Context(), workertest.NewCall("now")); err != nil || len(g.took()) != 1 {
		t.Error(err)
	}
	for route, want := range map[MLflowRoute]string{RouteInvocations: invocations, RouteChat: unified, RouteLegacy: legacy} {
		g := newGateway(t)
		_, err := mlflowAt(t, g.URL+"/base", func(o *MLflowOptions) { o.Route = route }).Call(t.Context(), workertest.NewCall("fixed"))
		if fault := faultOf(t, err); fault.Code != codeNoRoute || !slices.Equal(g.took(), []string{want}) {
			t.Errorf("%s: %+v", route, fault)
		}
	}
}

// TestWhatMayHaveBeenBilledIsAskedOnce has answers that look like a missing route and are none.
func TestWhatMayHaveBeenBilledIsAskedOnce(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		class  ai.Class
		code   string
	}{
		{http.StatusOK, "<html>", ai.ClassInDoubt, badJSON},
		{http.StatusOK, `{"detail":"Not Found"}`, ai.ClassInDoubt, badJSON},
		{http.StatusBadGateway, "<html>", ai.ClassTransient, "502"},
		{http.StatusServiceUnavailable, `{"detail":"Not Found"}`, ai.ClassOverloaded, "503"},
		{http.StatusNotFound, `{"detail":{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"GatewayEndpoint not found (endpoint_id='x')"}}`, ai.ClassInvalid, noResource},
		{http.StatusNotFound, `{"detail":"The model gpt-9 does not exist"}`, ai.ClassInvalid, "404"},
	} {
		g := newGateway(t, invocations, unified, legacy)
		g.answer = func(w http.ResponseWriter) {
			w.WriteHeader(test.status)
			_, _ = fmt.Fprint(w, test.body)
		}
		_, err := mlflowAt(t, g.URL+"/base").Call(t.Context(), workertest.NewCall("once"))
		fault := faultOf(t, err)
		if fault.Class != test.class || fault.Code != test.code || fault.Elsewhere != (test.status == http.StatusNotFound) || len(g.took()) != 1 {
			t.Errorf("%d %s: %+v", test.status, test.body, fault)
		}
	}
}

func TestMLflowsErrorsHaveTheirClass(t *testing.T) {
	for _, test := range []struct {
		status    int
		detail    string
		class     ai.Class
		code      string
		elsewhere bool
	}{
		{429, `"Budget limit exceeded. Limit: $5.00 USD per 1 day. Budget resets at 2026-12-01T00:00:00Z. Request rejected."`, ai.ClassQuota, codeBudget, false},
		{429, `"Rate limit reached for wisteria-7741"`, ai.ClassRateLimited, "429", false},
		{422, `[{"loc":["body","messages",0,"content"],"msg":"wisteria-7741","type":"value_error"}]`, ai.ClassInvalid, "422", false},
		{422, `[]`, ai.ClassInvalid, "422", false},
		{400, `{"error_code":"INVALID_PARAMETER_VALUE","message":"wisteria-7741"}`, ai.ClassInvalid, "INVALID_PARAMETER_VALUE", false},
		{400, `{"error_code":"wisteria-7741"}`, ai.ClassInvalid, "400", false},
		{400, `"model 'gpt-9' not found"`, ai.ClassInvalid, "400", true},
		{401, `"You are not authenticated."`, ai.ClassAuth, "401", false},
		{403, `{"error_code":"PERMISSION_DENIED","message":"m"}`, ai.ClassAuth, "PERMISSION_DENIED", false},
		{501, `"The chat route is not implemented"`, ai.ClassTransient, "501", false},
		{500, `null`, ai.ClassTransient, "500", false},
		{500, `7`, ai.ClassTransient, "500", false},
	} {
		g := newGateway(t, invocations)
		g.answer = func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "4")
			w.WriteHeader(test.status)
			_, _ = fmt.Fprintf(w, `{"detail":%s}`, test.detail)
		}
		_, err := mlflowAt(t, g.URL+"/base").Call(t.Context(), workertest.NewCall("error"))
		fault := faultOf(t, err)
		if fault.Class != test.class || fault.Code != test.code || fault.Elsewhere != test.elsewhere || fault.RetryAfter.Seconds() != 4 {
			t.Errorf("%d %s: %+v", test.status, test.detail, fault)
		}
		if strings.Contains(fmt.Sprintf("%+v %v", fault, err), "wisteria") {
			t.Errorf("the message is repeated: %+v", fault)
		}
	}
}

// TestGuardrailOfMLflowIsARefusal may have come before the model or after it: what it cost is not known.
func TestGuardrailOfMLflowIsARefusal(t *testing.T) {
	g := newGateway(t, invocations)
	g.answer = func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"detail":"Guardrail 'no poetry' blocked: it rhymes"}`)
	}
	got, err := mlflowAt(t, g.URL+"/base").Call(t.Context(), workertest.NewCall("guardrail"))
	if err != nil || !got.Refused || !got.UsageUnknown || got.FinishReason != codeGuardrail {
		t.Errorf("%+v %v", got, err)
	}
}

func TestMLflowShowsItsCredentials(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:pa55:word"))
	for want, change := range map[string]func(*MLflowOptions){
		"Bearer " + mlflowKey: func(*MLflowOptions) {},
		basic:                 func(o *MLflowOptions) { o.Token, o.Username, o.Password = "", "ada", "pa55:word" },
		"":                    func(o *MLflowOptions) { o.Token = "" },
		basic + " ": func(o *MLflowOptions) {
			o.Token, o.TrackingURI = "", strings.Replace(o.TrackingURI, "://", "://ada:pa55%3Aword@", 1)
		},
	} {
		var authorization, requestID string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			authorization, requestID = r.Header.Get("Authorization"), r.Header.Get("X-Client-Request-Id")
			w.WriteHeader(http.StatusUnauthorized)
		}))
		_, err := mlflowAt(t, server.URL, change).Call(t.Context(), workertest.NewCall("who"))
		server.Close()
		if authorization != strings.TrimSpace(want) || requestID != "acme/who/0/1" {
			t.Errorf("sent %q as %q, want %q", authorization, requestID, want)
		}
		if said := fmt.Sprintf("%v %+v", err, faultOf(t, err)); strings.Contains(said, "pa55") || strings.Contains(said, mlflowKey) {
			t.Errorf("the error says a secret: %s", said)
		}
	}
}

func TestMLflowSendsTheCallAsTheGatewayTakesIt(t *testing.T) {
	s := pretended(t, provider.Options{Key: mlflowKey})
	call := workertest.NewCall("as-taken")
	p, k := 0.5, 7
	call.TopP, call.TopK, call.Stop, call.Temperature = &p, &k, []string{"END"}, 0
	call.Format = &messages.ResponseFormat{Type: messages.FormatJSONSchema, Name: "n", Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}}}`)}
	for route, model := range map[MLflowRoute]string{RouteInvocations: "", RouteLegacy: "", RouteChat: `"model":"test-model",`} {
		s.Reset()
		got, err := mlflowAt(t, s.Root(), func(o *MLflowOptions) { o.Route = route }).Call(t.Context(), call)
		if err != nil || got.UsageUnknown || got.Model == "" {
			t.Fatalf("%s: %+v %v", route, got, err)
		}
		seen := s.Seen("acme/as-taken/0/1")
		if len(seen) != 1 || seen[0].Protocol != provider.MLflow || seen[0].Model != "test-model" {
			t.Fatalf("%s: %+v", route, seen)
		}
		same(t, seen[0].Body, `{`+model+`"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"Who keeps the wisteria-7741?"}],
			"temperature":0,"top_p":0.5,"top_k":7,"stop":["END"],"max_tokens":200,
			"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":false,"schema":{"type":"object","properties":{"a":{"type":"string"}}}}}}`)
	}
}

func TestMLflowEmbeds(t *testing.T) {
	g := newGateway(t, "/base/gateway/embeddings-1/mlflow/invocations")
	got, err := mlflowAt(t, g.URL+"/base").Call(t.Context(), embed("embeddings-1", "a", "b"))
	if err != nil || len(got.Embeddings) != 2 || got.Embeddings[0][0] != 1 || got.Embeddings[1][0] != 3 || got.Usage.Input() != 2 || got.UsageUnknown {
		t.Errorf("%+v %v", got, err)
	}
	g.answer = func(w http.ResponseWriter) {
		_, _ = fmt.Fprint(w, `{"data":[{"index":1,"embedding":[3]},{"index":0,"embedding":[1,2]}],"model":"e"}`)
	}
	_, err = mlflowAt(t, g.URL+"/base").Call(t.Context(), embed("embeddings-1", "a", "b"))
	if fault := faultOf(t, err); fault.Class != ai.ClassInDoubt || fault.Code != badVectors {
		t.Errorf("vectors of two lengths: %+v", fault)
	}
	s := pretended(t, provider.Options{Key: mlflowKey})
	if _, err := mlflowAt(t, s.Root()).Call(t.Context(), embed("embeddings-1", "a", "b")); err != nil {
		t.Fatal(err)
	}
	same(t, s.Calls()[0].Body, `{"input":["a","b"]}`)
}

func TestMLflowRefusesByName(t *testing.T) {
	tool := func(parameters string) func(*ai.Call) {
		return func(c *ai.Call) {
			c.Tools = []messages.Tool{{Name: "f"}, {Name: "g", Parameters: json.RawMessage(parameters)}}
		}
	}
	seed := int64(1)
	for _, test := range []struct {
		field string
		spoil func(*ai.Call)
	}{
		{"seed", func(c *ai.Call) { c.Seed = &seed }},
		{"dimensions", func(c *ai.Call) { *c = embed("e", "a"); c.Dimensions = 2 }},
		{"model", func(c *ai.Call) { c.Model = "a/../b" }},
		{"model", func(c *ai.Call) { c.Model = ".." }},
		{"messages with a name", func(c *ai.Call) { c.Messages = []messages.Message{{Role: "user", Content: "u", Name: "n"}} }},
		{"tools", tool(`{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"string"}}}}}`)},
		{"tools", tool(`{"type":"object","properties":{"a":{"type":"array","items":{"$ref":"#/$defs/x"}}}}`)},
		{"tools", tool(`{"$defs":{"x":{}},"type":"object"}`)},
		{"tools", tool(`{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}]}}}`)},
		{"tools", tool(`{"type":"object","additionalProperties":{"type":"string"}}`)},
		{"tools", tool(`{"type":"object","properties":{"a":true}}`)},
	} {
		call := workertest.NewCall("by-name")
		test.spoil(&call)
		if fault := mlflowAt(t, "http://127.0.0.1:1").Check(&call); fault == nil || !fault.Elsewhere || !strings.HasPrefix(fault.Detail, test.field+": ") {
			t.Errorf("%s: %+v", test.field, fault)
		}
	}
	call := workertest.NewCall("flat")
	tool(`{"type":"object","title":"t","properties":{"a":{"type":["string","null"],"enum":["x"],"minLength":1},"b":{"type":"array","items":{"type":"array","items":{"type":"number"}}}},"required":["a"],"additionalProperties":false}`)(&call)
	if fault := mlflowAt(t, "http://127.0.0.1:1").Check(&call); fault != nil {
		t.Error(fault)
	}
	call = embed("e", "a")
	if fault := mlflowAt(t, "http://127.0.0.1:1", func(o *MLflowOptions) { o.Route = RouteChat }).Check(&call); fault == nil || !strings.HasPrefix(fault.Detail, "input: ") {
		t.Errorf("%+v", fault)
	}
}

func TestMLflowOptionsAreValidated(t *testing.T) {
	_, err := NewMLflow(MLflowOptions{TrackingURI: "sqlite:///mlflow.db", Token: "a b", Username: "u:v", Route: "best", HTTPOptions: HTTPOptions{Timeout: -1}})
	for _, field := range []string{"tracking_uri", "token", "route", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), "mlflow backend: "+field+": ") {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
	for _, o := range []MLflowOptions{
		{},
		{TrackingURI: "http://mlflow.example"},
		{TrackingURI: "https://mlflow.example", Password: "p"},
		{TrackingURI: "https://mlflow.example", Username: "u:v", Password: "p"},
		{TrackingURI: "https://mlflow.example?a=b"},
		{TrackingURI: "databricks"},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for _, o := range []MLflowOptions{
		{TrackingURI: DefaultMLflowURI},
		{TrackingURI: "https://ada:pa55@mlflow.example/base/", Route: RouteLegacy},
		{TrackingURI: "http://mlflow.example", HTTPOptions: HTTPOptions{AllowInsecure: true}},
	} {
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
	}
}

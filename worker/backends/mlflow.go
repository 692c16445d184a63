package backends

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync/atomic"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// MLflow asks through the AI gateway of MLflow, whose documents are those of OpenAI. Every call carries the header X-Client-Request-Id
// "<tenant>/<id>/<epoch>/<attempt>".
type MLflow struct {
	*line

	openai  *OpenAI // its words, and its SDK
	root    *url.URL
	options MLflowOptions
	// absent are the routes of RouteAuto that are not there.
	absent map[MLflowRoute]*atomic.Bool
}

// NewMLflow makes the MLflow backend. It connects nowhere yet. Close frees its connections.
func NewMLflow(options MLflowOptions) (*MLflow, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	root, err := url.Parse(options.TrackingURI)
	if err != nil {
		return nil, fmt.Errorf("parsing tracking_uri: %w", err)
	}
	root.Path += "/" // what is joined to it is else a path without a slash
	// The services take these options alone, where the SDK's client would add what it finds in the environment.
	ours := []option.RequestOption{option.WithBaseURL(options.TrackingURI), option.WithMaxRetries(0)}
	switch {
	case options.Token != "":
		ours = append(ours, option.WithHeader("Authorization", "Bearer "+options.Token))
	case options.Username != "":
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(options.Username, options.Password)
		ours = append(ours, option.WithHeader("Authorization", r.Header.Get("Authorization")))
	}
	b := &MLflow{
		line: newLine(options.HTTPOptions), root: root, options: options,
		openai: &OpenAI{
			options: OpenAIOptions{MaxTokensField: MaxTokens}, base: root,
			chat: openai.NewChatCompletionService(ours...), embeddings: openai.NewEmbeddingService(ours...),
		},
		absent: map[MLflowRoute]*atomic.Bool{RouteInvocations: {}, RouteChat: {}},
	}
	return b, nil
}

// Name is MLflowName.
func (*MLflow) Name() string { return MLflowName }

// Billable is true: the gateway's own providers cost something.
func (*MLflow) Billable() bool { return true }

// endpoint is the name of an endpoint of the gateway.
var endpoint = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,250}$`)

// Check tells what of a call it cannot do: what the gateway's documents have no room for, it would drop without a word.
func (b *MLflow) Check(call *ai.Call) *ai.Fault {
	if fault := checkCall(call); fault != nil {
		return fault
	}
	if fault := lacks(MLflowName, call, ableTopP, ableTopK, ableStop, ableTools, ableJSONObject, ableJSONSchema, ableImages, ableImageURLs, ableEmbeddings); fault != nil {
		return fault
	}
	if !endpoint.MatchString(call.Model) || call.Model == "." || call.Model == ".." {
		return cannot("model", "an endpoint of MLflow's gateway has a name of letters, digits, _, - and .")
	}
	if call.Kind == messages.KindEmbedding && b.options.Route == RouteChat {
		return cannot(string(ableEmbeddings), "the route chat of MLflow's gateway makes none")
	}
	for i := range call.Tools {
		if !keeps(call.Tools[i].Parameters) {
			return cannot(string(ableTools), fmt.Sprintf("MLflow's gateway drops what tools[%d].parameters says of nested objects and alternatives", i))
		}
	}
	return nil
}

// Call asks once. Where a route is not there, which costs nothing, the next one is asked.
func (b *MLflow) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	if fault := b.Check(&call); fault != nil {
		return ai.Answer{}, fault
	}
	ctx, cancel := context.WithTimeout(ctx, b.line.options.Timeout)
	defer cancel()
	routes := b.routes(&call)
	for _, route := range routes[:len(routes)-1] {
		answer, err := b.ask(ctx, &call, route)
		if !notHere(err) {
			return answer, err
		}
		b.absent[route].Store(true)
	}
	answer, err := b.ask(ctx, &call, routes[len(routes)-1])
	if notHere(err) { // nothing is: the server may be another one tomorrow
		for _, absent := range b.absent {
			absent.Store(false)
		}
	}
	return answer, err
}

// routes are those to try, in order. The legacy one is last: there, an endpoint that is missing looks like a route that is.
func (b *MLflow) routes(call *ai.Call) []MLflowRoute {
	if b.options.Route != RouteAuto {
		return []MLflowRoute{b.options.Route}
	}
	var routes []MLflowRoute
	if !b.absent[RouteInvocations].Load() {
		routes = append(routes, RouteInvocations)
	}
	if call.Kind != messages.KindEmbedding && !b.absent[RouteChat].Load() {
		routes = append(routes, RouteChat)
	}
	return append(routes, RouteLegacy)
}

// notHere tells whether an error says that a route is not there.
func notHere(err error) bool {
	var fault *ai.Fault
	return errors.As(err, &fault) && fault.Code == codeNoRoute
}

// routeless words a fault whose document says that a route is not there, or is none of the gateway's.
func routeless(f *ai.Fault, status int) {
	switch {
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		f.Class, f.Elsewhere, f.Detail = ai.ClassInvalid, true, "MLflow has no gateway at this path, or no endpoint of this name"
	case status < http.StatusMultipleChoices:
		f.Code = badJSON
	default:
		f.Code = strconv.Itoa(status)
	}
}

// url is where a route leads for an endpoint.
func (b *MLflow) url(route MLflowRoute, model string) *url.URL {
	switch route {
	case RouteChat:
		return b.root.JoinPath("gateway/mlflow/v1/chat/completions")
	case RouteLegacy:
		return b.root.JoinPath("endpoints", model, "invocations")
	case RouteAuto, RouteInvocations:
	}
	return b.root.JoinPath("gateway", model, "mlflow/invocations")
}

// ask makes one exchange over a route.
func (b *MLflow) ask(ctx context.Context, call *ai.Call, route MLflowRoute) (ai.Answer, error) {
	p := mlflowChat
	if call.Kind == messages.KindEmbedding {
		p = mlflowEmbeddings
	}
	status := 0
	x := &exchange{protocol: p, maxBytes: b.line.options.MaxResponseBytes}
	client := x.through(ctx, doer(func(req *http.Request) (*http.Response, error) {
		req.URL = b.url(route, call.Model)
		res, err := b.client.Do(req)
		if err == nil {
			status = res.StatusCode
		}
		return res, err
	}))
	options := asked(client, call)
	if route != RouteChat {
		options = append(options, option.WithJSONDel("model")) // it is in the path, and older servers refuse it beside
	}
	var read func() (ai.Answer, *ai.Fault)
	var err error
	// The SDK looks at its context once more after the answer is there, and would drop an answer that was paid for.
	if detached := context.WithoutCancel(ctx); call.Kind == messages.KindEmbedding {
		var response *openai.CreateEmbeddingResponse
		response, err = b.openai.embeddings.New(detached, openai.EmbeddingNewParams{
			Model: call.Model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: call.Input},
		}, options...)
		read = func() (ai.Answer, *ai.Fault) { return embeddingsAnswer(call, response) }
	} else {
		var completion *openai.ChatCompletion
		completion, err = b.openai.chat.New(detached, b.openai.chatParams(call), append(options, mlflowFields(call)...)...)
		read = func() (ai.Answer, *ai.Fault) { return chatAnswer(call, completion), nil }
	}
	if x.fault != nil && x.fault.Code == codeNoRoute {
		routeless(x.fault, status)
	}
	x.maybeBilled = x.maybeBilled || x.filtered == codeGuardrail // it may have read the answer
	return x.answer(call, err, read)
}

// mlflowFields are what MLflow's documents have and OpenAI's have not, or have otherwise: a schema is strict unless it says that it is not.
func mlflowFields(call *ai.Call) (options []option.RequestOption) {
	if call.TopK != nil {
		options = append(options, option.WithJSONSet("top_k", *call.TopK))
	}
	if f := call.Format; f != nil && f.Type == messages.FormatJSONSchema && !strictSchema(f.Schema) {
		options = append(options, option.WithJSONSet("response_format.json_schema.strict", false))
	}
	return options
}

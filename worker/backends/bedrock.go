package backends

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"flowgate/messages"
	"flowgate/pipelines/ai"
)

// Bedrock asks models of Amazon Bedrock: prompts through Converse, embeddings through InvokeModel. Every call carries
// "<tenant>/<id>/<epoch>/<attempt>" as flowgate-request in its metadata, which Bedrock writes into the invocation logs.
//
// Credentials, region and the way to Bedrock are the session's.
type Bedrock struct {
	options BedrockOptions
}

// NewBedrock makes the Bedrock backend. It connects nowhere, and looks for no credentials, before the first call.
func NewBedrock(options BedrockOptions) (*Bedrock, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	return &Bedrock{options: options.withDefaults()}, nil
}

// Name is BedrockName.
func (*Bedrock) Name() string { return BedrockName }

// Billable is true.
func (*Bedrock) Billable() bool { return true }

// Check tells what of a call it cannot do.
func (b *Bedrock) Check(call *ai.Call) *ai.Fault {
	_, fault := b.prepare(call)
	return fault
}

// bedrockCall is a call in Bedrock's words.
type bedrockCall struct {
	protocol *protocol
	send     func(context.Context, *bedrockruntime.Client, func(*bedrockruntime.Options)) error
	read     func(*exchange) (ai.Answer, *ai.Fault)
}

func (b *Bedrock) prepare(call *ai.Call) (*bedrockCall, *ai.Fault) {
	if fault := checkCall(call); fault != nil {
		return nil, fault
	}
	if fault := lacks(BedrockName, call, ableTopP, ableTopK, ableStop, ableTools, ableJSONSchema, ableImages, ableEmbeddings, ableDimensions); fault != nil {
		return nil, fault
	}
	if call.Kind == messages.KindEmbedding {
		return b.embedding(call)
	}
	input, fault := b.converse(call)
	if fault != nil {
		return nil, fault
	}
	return &bedrockCall{
		protocol: converseProtocol,
		send: func(ctx context.Context, client *bedrockruntime.Client, through func(*bedrockruntime.Options)) error {
			_, err := client.Converse(ctx, input, through)
			return err
		},
		read: func(x *exchange) (ai.Answer, *ai.Fault) { return converseAnswer(call, x.body) },
	}, nil
}

// Call asks once.
func (b *Bedrock) Call(ctx context.Context, call ai.Call) (ai.Answer, error) {
	prepared, fault := b.prepare(&call)
	if fault != nil {
		return ai.Answer{}, fault
	}
	ctx, cancel := context.WithTimeout(ctx, b.options.Timeout)
	defer cancel()
	session, err := b.options.Session(ctx)
	if err == nil {
		err = session.Credentials.Ready(ctx)
	}
	if err != nil {
		return ai.Answer{}, unready(ctx, err)
	}
	x := &exchange{protocol: prepared.protocol, maxBytes: b.options.MaxResponseBytes}
	var by signature
	// The SDK looks at its context once more after the answer is there, and would drop an answer that was paid for.
	err = prepared.send(context.WithoutCancel(ctx), session.Client, func(o *bedrockruntime.Options) {
		o.HTTPClient = by.noted(x, x.through(ctx, o.HTTPClient))
	})
	if x.body != nil && x.fault == nil {
		err = nil
	}
	if x.fault != nil && x.fault.Class == ai.ClassAuth {
		by.judge(ctx, session.Credentials, x)
	}
	return x.answer(&call, err, func() (ai.Answer, *ai.Fault) { return prepared.read(x) })
}

// signature is who signed a call, and when.
type signature struct {
	keyID, token string
	at           time.Time
}

// noted keeps the signature of what goes through. The SDK reads no answer but its status and headers, of which it learns by how much the
// clocks differ: the body was read before, counts and arguments of tools exactly as they came.
func (s *signature) noted(x *exchange, next doer) doer {
	return func(req *http.Request) (*http.Response, error) {
		s.keyID = signedBy(req.Header.Get("Authorization"))
		s.token = req.Header.Get("X-Amz-Security-Token")
		s.at, _ = time.Parse(amzDate, req.Header.Get("X-Amz-Date")) // a bearer token has none
		res, err := next(req)
		if err != nil && x.header != nil {
			res, err = &http.Response{StatusCode: http.StatusBadGateway, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: x.header, Request: req}, nil
		}
		if err == nil {
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader([]byte("{}"))), 2
		}
		return res, err
	}
}

// amzDate is the form of X-Amz-Date.
const amzDate = "20060102T150405Z"

// signedBy is the id of the key that signed; empty with a bearer token.
func signedBy(authorization string) string {
	_, credential, _ := strings.Cut(authorization, "Credential=")
	id, _, _ := strings.Cut(credential, "/")
	return id
}

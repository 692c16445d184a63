package provider

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	claudesdk "github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	openairesponses "github.com/openai/openai-go/v3/responses"
)

const (
	testID = "acme/r-1/0/1"
	// pixel is a PNG of one pixel.
	pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+M8AAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)

func bedrock(s *Server, change ...func(*bedrockruntime.Options)) *bedrockruntime.Client {
	key := DefaultAWS()[0]
	return bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.Root()), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(key.ID, key.Secret, key.Token),
	}, change...)
}

func claude(s *Server) claudesdk.Client {
	return claudesdk.NewClient(anthropicoption.WithBaseURL(s.Root()), anthropicoption.WithAPIKey("k"), anthropicoption.WithMaxRetries(0))
}

func gpt(s *Server) openai.Client {
	return openai.NewClient(openaioption.WithBaseURL(s.URL()), openaioption.WithAPIKey("k"), openaioption.WithMaxRetries(0))
}

// rich is a script whose usage has something of everything.
func rich(Ask) Reply {
	return Reply{Outcome: Success, Usage: &Usage{Input: 100, CacheRead: 30, CacheWrite5m: 20, CacheWrite1h: 10, Output: 7, Reasoning: 3}}
}

func TestAnthropicsSDKReadsMessages(t *testing.T) {
	s := start(t, rich)
	client := claude(s)
	m, err := client.Messages.New(t.Context(), claudesdk.MessageNewParams{
		Model: "claude-haiku-4-5", MaxTokens: 50, Temperature: claudesdk.Float(0), System: []claudesdk.TextBlockParam{{Text: "Be terse."}},
		Messages: []claudesdk.MessageParam{claudesdk.NewUserMessage(claudesdk.NewTextBlock("Say OK"), claudesdk.NewImageBlockBase64("image/png", pixel))},
		Metadata: claudesdk.MetadataParam{UserID: claudesdk.String(testID)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.StopReason != claudesdk.StopReasonEndTurn || !strings.Contains(m.Content[0].Text, "claude-haiku-4-5 at temperature 0 within 50 tokens") {
		t.Errorf("%s %q", m.StopReason, m.Content[0].Text)
	}
	u := m.Usage
	if u.InputTokens != 100 || u.CacheReadInputTokens != 30 || u.CacheCreationInputTokens != 30 || u.CacheCreation.Ephemeral1hInputTokens != 10 ||
		u.OutputTokens != 7 || u.OutputTokensDetails.ThinkingTokens != 3 || u.ServiceTier != "standard" {
		t.Errorf("%+v", u)
	}
	c := s.Calls()[0]
	if c.RequestID != testID || c.Key != "acme/r-1" || c.Protocol != Anthropic || !c.Features.System || c.Features.Images != 1 || !c.Features.Temperature {
		t.Errorf("%+v", c.Ask)
	}
}

func TestOpenAIsSDKReadsChatResponsesAndEmbeddings(t *testing.T) {
	s := start(t, rich)
	client := gpt(s)
	header := openaioption.WithHeader("X-Client-Request-Id", testID)
	c, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model: "gpt-5-mini", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say OK")}, MaxCompletionTokens: openai.Int(50),
	}, header)
	if err != nil {
		t.Fatal(err)
	}
	u := c.Usage
	if c.Choices[0].FinishReason != "stop" || u.PromptTokens != 160 || u.PromptTokensDetails.CachedTokens != 30 || u.CompletionTokens != 7 || u.CompletionTokensDetails.ReasoningTokens != 3 {
		t.Errorf("%+v", c)
	}
	r, err := client.Responses.New(t.Context(), openairesponses.ResponseNewParams{
		Model: "gpt-5-mini", Input: openairesponses.ResponseNewParamsInputUnion{OfString: openai.String("Say OK")}, MaxOutputTokens: openai.Int(50),
	}, header)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != "completed" || !strings.Contains(r.OutputText(), "gpt-5-mini") || r.Usage.InputTokens != 160 || r.Usage.OutputTokensDetails.ReasoningTokens != 3 {
		t.Errorf("%+v", r)
	}
	e, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model: "text-embedding-3-small", Dimensions: openai.Int(8), Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}},
	}, header)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Data) != 2 || len(e.Data[1].Embedding) != 8 || e.Usage.PromptTokens != 160 {
		t.Errorf("%+v", e)
	}
	if n := len(s.Seen("acme/r-1")); n != 3 {
		t.Errorf("%d calls are counted, want 3", n)
	}
}

func TestBedrocksSDKReadsConverse(t *testing.T) {
	s := start(t, rich)
	schema := document.NewLazyDocument(map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}})
	out, err := bedrock(s).Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId:  aws.String("us.anthropic.claude-haiku-4-5-20251001-v1:0"),
		Messages: []types.Message{{Role: "user", Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Say OK, use-tool"}}}},
		ToolConfig: &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
			Name: aws.String("weather"), InputSchema: &types.ToolInputSchemaMemberJson{Value: schema},
		}}}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(50), Temperature: aws.Float32(0.7)},
		RequestMetadata: map[string]string{metadataKey: testID},
		ServiceTier:     &types.ServiceTier{Type: "flex"},
	})
	if err != nil {
		t.Fatal(err)
	}
	message, ok := out.Output.(*types.ConverseOutputMemberMessage)
	if !ok || out.StopReason != types.StopReasonToolUse {
		t.Fatalf("%+v", out)
	}
	use, ok := message.Value.Content[0].(*types.ContentBlockMemberToolUse)
	if !ok {
		t.Fatalf("%T", message.Value.Content[0])
	}
	var args struct{ City string }
	if err := use.Value.Input.UnmarshalSmithyDocument(&args); err != nil || args.City == "" {
		t.Errorf("%v %+v", err, args)
	}
	if u := out.Usage; *u.InputTokens != 100 || *u.CacheReadInputTokens != 30 || *u.CacheWriteInputTokens != 30 || len(u.CacheDetails) != 2 || *u.TotalTokens != 167 {
		t.Errorf("%+v", u)
	}
	if c := s.Calls()[0]; c.RequestID != testID || c.Model != "us.anthropic.claude-haiku-4-5-20251001-v1:0" || c.Features.Tools != 1 || out.ServiceTier.Type != "flex" {
		t.Errorf("%+v", c.Ask)
	}
}

func TestBedrocksSDKReadsInvokeModel(t *testing.T) {
	s := start(t, nil)
	for model, body := range map[string]string{
		"anthropic.claude-haiku-4-5-20251001-v1:0": `{"anthropic_version":"bedrock-2023-05-31","max_tokens":50,"messages":[{"role":"user","content":"Say OK"}]}`,
		"amazon.titan-embed-text-v2:0":             `{"inputText":"Say OK","dimensions":256}`,
		"cohere.embed-english-v3":                  `{"texts":["Say OK"],"input_type":"search_document"}`,
	} {
		out, err := bedrock(s).InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{
			ModelId: aws.String(model), Body: []byte(body), ContentType: aws.String("application/json"), RequestMetadata: aws.String(`{"flowgate-request":"` + testID + `"}`),
		})
		if err != nil {
			t.Fatalf("%s: %v", model, err)
		}
		var doc map[string]any
		if err := json.Unmarshal(out.Body, &doc); err != nil || len(doc) < 2 {
			t.Errorf("%s: %v %s", model, err, out.Body)
		}
	}
	if n := len(s.Seen("acme/r-1/0/1")); n != 3 {
		t.Errorf("%d calls are counted, want 3", n)
	}
}

// TestBedrockRefusesWhatIsNotSigned tampers with one thing at a time.
func TestBedrockRefusesWhatIsNotSigned(t *testing.T) {
	key := AWSKey{ID: "AKIATEST", Secret: "right", Token: "session", Expires: time.Now().Add(time.Hour)}
	converse := func(s *Server, id, secret, token string, change ...func(*bedrockruntime.Options)) error {
		change = append([]func(*bedrockruntime.Options){func(o *bedrockruntime.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token)
		}}, change...)
		_, err := bedrock(s, change...).Converse(t.Context(), &bedrockruntime.ConverseInput{
			ModelId: aws.String("m"), Messages: []types.Message{{Role: "user", Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Say OK"}}}},
		})
		return err
	}
	query := func(o *bedrockruntime.Options) {
		o.HTTPClient = tamper(func(r *http.Request) { r.URL.RawQuery = "x=1" })
	}
	later := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
	for name, c := range map[string]struct {
		id, secret, token string
		now               func() time.Time
		change            func(*bedrockruntime.Options)
		code, says        string
	}{
		"right":         {"AKIATEST", "right", "session", nil, nil, "", ""},
		"wrong secret":  {"AKIATEST", "wrong", "session", nil, nil, "InvalidSignatureException", "does not match"},
		"unknown key":   {"AKIAOTHER", "right", "session", nil, nil, "UnrecognizedClientException", "invalid"},
		"wrong token":   {"AKIATEST", "right", "other", nil, nil, "UnrecognizedClientException", "invalid"},
		"no token":      {"AKIATEST", "right", "", nil, nil, "UnrecognizedClientException", "invalid"},
		"token expired": {"AKIATEST", "right", "session", later(2 * time.Hour), nil, "ExpiredTokenException", "expired"},
		"clock behind":  {"AKIATEST", "right", "session", later(6 * time.Minute), nil, "InvalidSignatureException", "Signature expired"},
		"clock ahead":   {"AKIATEST", "right", "session", later(-6 * time.Minute), nil, "InvalidSignatureException", "not yet current"},
		"another query": {"AKIATEST", "right", "session", nil, query, "InvalidSignatureException", "does not match"},
		"another body": {"AKIATEST", "right", "session", nil, func(o *bedrockruntime.Options) {
			o.HTTPClient = tamper(func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), 2 })
		}, "InvalidSignatureException", "does not match"},
		"another header": {"AKIATEST", "right", "session", nil, func(o *bedrockruntime.Options) {
			o.HTTPClient = tamper(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
		}, "InvalidSignatureException", "does not match"},
	} {
		s := begin(t, Options{AWS: []AWSKey{key}, Now: c.now})
		var change []func(*bedrockruntime.Options)
		if c.change != nil {
			change = append(change, c.change)
		}
		err := converse(s, c.id, c.secret, c.token, change...)
		var api smithy.APIError
		if c.code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.As(err, &api) || api.ErrorCode() != c.code || !strings.Contains(api.ErrorMessage(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// tamper is a client that changes what was signed.
func tamper(change func(*http.Request)) bedrockruntime.HTTPClient { return tamperer(change) }

type tamperer func(*http.Request)

func (t tamperer) Do(r *http.Request) (*http.Response, error) {
	t(r)
	return http.DefaultClient.Do(r)
}

package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// HTTPProbe asks a server that answers a GET which costs nothing: MLflow's health, the models of a server with OpenAI's
// protocol.
type HTTPProbe struct {
	service string
	url     string
	shown   string
	source  string
	header  http.Header
	client  *http.Client
	read    func([]byte) (string, error)
}

// HTTPAccess is how a server is reached.
type HTTPAccess struct {
	// URL is where the server is, without a path of ours.
	URL string
	// Bearer, or User and Password, are the credentials, where there are any; Key is Anthropic's. Source names where they come from.
	Bearer, User, Password, Key string
	Source                      string
	// Client makes the calls; nil is one of our own.
	Client *http.Client
}

// NewMLflow asks the tracking server GET /health.
func NewMLflow(a HTTPAccess) (*HTTPProbe, error) {
	return newHTTP("mlflow", "/health", a, func([]byte) (string, error) { return "", nil })
}

// NewOpenAI asks GET /models, which needs the key and costs nothing.
func NewOpenAI(a HTTPAccess) (*HTTPProbe, error) {
	return newHTTP("openai", "/models", a, func(body []byte) (string, error) {
		n, err := countModels(body)
		if err != nil {
			return "", errors.New("the answer is no list of models: does the base URL end with the version, as in /v1?")
		}
		return fmt.Sprintf(", %d models", n), nil
	})
}

// AnthropicVersion is that of Anthropic's protocol.
const AnthropicVersion = "2023-06-01"

// NewAnthropic asks GET /v1/models, which needs the key and costs nothing.
func NewAnthropic(a HTTPAccess) (*HTTPProbe, error) {
	p, err := newHTTP("anthropic", "/v1/models", a, func(body []byte) (string, error) {
		n, err := countModels(body)
		if err != nil {
			return "", errors.New("the answer is no list of models: is the base URL that of a server with Anthropic's protocol, without /v1?")
		}
		return fmt.Sprintf(", %d models", n), nil
	})
	if err != nil {
		return nil, err
	}
	p.header.Set("Anthropic-Version", AnthropicVersion)
	if a.Key != "" {
		p.header.Set("X-Api-Key", a.Key)
	}
	return p, nil
}

func countModels(body []byte) (int, error) {
	var answer struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	err := json.Unmarshal(body, &answer)
	return len(answer.Data), err
}

func newHTTP(service, path string, a HTTPAccess, read func([]byte) (string, error)) (*HTTPProbe, error) {
	u, err := url.Parse(a.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the address of %s must be an http or https URL", service)
	}
	p := &HTTPProbe{service: service, source: a.Source, header: http.Header{}, client: a.Client, read: read}
	switch {
	case a.Bearer != "":
		p.header.Set("Authorization", "Bearer "+a.Bearer)
	case a.User != "":
		p.header.Set("Authorization", basic(a.User, a.Password))
	case u.User != nil:
		password, _ := u.User.Password()
		p.header.Set("Authorization", basic(u.User.Username(), password))
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	p.shown = u.String()
	p.url = strings.TrimSuffix(p.shown, "/") + path
	if p.client == nil {
		p.client = client(nil, dialTimeout)
	}
	return p, nil
}

func basic(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// Name makes it a Probe.
func (p *HTTPProbe) Name() string { return p.service }

// Close lets connections go.
func (p *HTTPProbe) Close() { p.client.CloseIdleConnections() }

// Check makes it a Probe.
func (p *HTTPProbe) Check(ctx context.Context) (Finding, error) {
	f := Finding{Source: p.source}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, http.NoBody)
	if err != nil {
		return f, err
	}
	r.Header = p.header.Clone()
	answer, err := p.client.Do(r)
	if err != nil {
		return f, hinted(err, "SSL_CERT_FILE")
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return f, fmt.Errorf("reading the answer of %s: %w", p.shown, err)
	case answer.StatusCode == http.StatusTooManyRequests:
		f.Detail, f.Degraded = p.shown, "it answers, and limits our rate (HTTP 429)"
		return f, nil
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden:
		return f, fmt.Errorf("%s refuses the credentials (HTTP %d)", p.shown, answer.StatusCode)
	case answer.StatusCode != http.StatusOK:
		return f, fmt.Errorf("GET %s answers HTTP %d", p.url, answer.StatusCode)
	}
	found, err := p.read(body)
	if err != nil {
		return f, err
	}
	f.Detail = p.shown + found
	return f, nil
}

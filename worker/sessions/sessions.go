package sessions

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/auth/bearer"
)

// Options say which services of AWS are used, and how.
type Options struct {
	// Env is the environment: os.LookupEnv outside of tests; nil is an empty one.
	Env func(string) (string, bool)
	// Region is where services are that have no region of their own here.
	Region string
	// Profile and Keys are the settings' credentials, which count where nothing before them gives any.
	Profile string
	Keys    Keys
	S3      S3Options
	Bedrock BedrockOptions
	// Renewed is called when the credentials of Bedrock are others than they were; nil: nobody hears of it. It must not block.
	Renewed func()
}

// S3Options say where objects are kept.
type S3Options struct {
	// Bucket is empty where S3 is not used.
	Bucket string
	// Prefix is what the keys of our objects begin with.
	Prefix string
	Region string
	// Endpoint is a server with S3's protocol; empty is AWS.
	Endpoint string
	// ConnectTimeout bounds making one connection. 0: 30 s.
	ConnectTimeout time.Duration
	// Retries is how often a failed call is repeated; nobody else repeats it.
	Retries int
}

// BedrockOptions say where models are.
type BedrockOptions struct {
	Region   string
	Endpoint string
	// Model is the exact id that the health check names.
	Model string
}

// Sessions hands out the clients of AWS, each made once, with the first credentials that are found. Its methods may be
// called from any goroutine.
type Sessions struct {
	options Options
	finder  *finder
	http    *http.Client // of Bedrock and STS
	s3http  *http.Client
	s3      kept[*S3]
	bedrock kept[*Bedrock]
}

// S3 is a client of S3 and where its credentials come from.
type S3 struct {
	*s3.Client

	Credentials *Credentials
	Region      string
}

// Bedrock is a client of the Bedrock runtime and where its credentials come from. It repeats nothing by itself: attempts are
// counted by who calls.
type Bedrock struct {
	*bedrockruntime.Client

	Credentials *Credentials
	Region      string
}

const (
	// instancePatience is how long a machine may take to say that it is an instance of EC2; it takes a millisecond.
	instancePatience = time.Second
	dialTimeout      = 30 * time.Second
)

// New wires and validates. It asks nobody over the network and runs nothing in the background.
func New(o Options) (*Sessions, error) {
	if o.Env == nil {
		o.Env = func(string) (string, bool) { return "", false }
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("wiring the clients of AWS: %w", err)
	}
	roots, err := authorities(o.Env)
	if err != nil {
		return nil, fmt.Errorf("wiring the clients of AWS: %w", err)
	}
	s := &Sessions{
		options: o, http: client(roots, dialTimeout), s3http: client(roots, cmp.Or(o.S3.ConnectTimeout, dialTimeout)),
		s3: newKept[*S3](), bedrock: newKept[*Bedrock](),
	}
	local := client(nil, instancePatience)
	local.Transport.(*http.Transport).Proxy = nil //nolint:errcheck // client made it
	s.finder = &finder{
		env: o.Env, http: s.http, local: local, containerHost: "http://169.254.170.2", instanceHost: "http://169.254.169.254", patience: instancePatience,
		region: o.Region, profile: o.Profile, keys: o.Keys,
	}
	return s, nil
}

func (o Options) validate() error {
	var faults []error
	if (o.Keys.ID == "") != (o.Keys.Secret == "") {
		faults = append(faults, errHalf)
	}
	for _, e := range []struct{ name, url string }{{"S3", o.S3.Endpoint}, {"Bedrock", o.Bedrock.Endpoint}} {
		if u, err := url.Parse(e.url); e.url != "" && (err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https") {
			faults = append(faults, fmt.Errorf("the endpoint of %s must be an http or https URL without credentials", e.name))
		}
	}
	if o.S3.ConnectTimeout < 0 || o.S3.Retries < 0 {
		faults = append(faults, errors.New("the timeout and the retries of S3 must not be negative"))
	}
	return errors.Join(faults...)
}

// Close lets connections go that nobody uses.
func (s *Sessions) Close() {
	for _, c := range []*http.Client{s.http, s.s3http, s.finder.local} {
		c.CloseIdleConnections()
	}
}

// S3 is the client of S3. The first call looks for credentials, and those after it until some are found.
func (s *Sessions) S3(ctx context.Context) (*S3, error) {
	return s.s3.get(ctx, func(ctx context.Context) (*S3, error) {
		found, region, err := s.open(ctx, s.options.S3.Region, "s3.region", false)
		if err != nil {
			return nil, err
		}
		o := s3.Options{
			Region: region, Credentials: found.keys, HTTPClient: s.s3http,
			Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = s.options.S3.Retries + 1 }),
		}
		if endpoint := cmp.Or(s.options.S3.Endpoint, s.finder.get("AWS_ENDPOINT_URL")); endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = aws.String(endpoint), true
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired // other stores may not know the newer ones
		}
		return &S3{Client: s3.New(o), Credentials: found, Region: region}, nil
	})
}

// Bedrock is the client of the Bedrock runtime; it is made as S3 is. A role wins over AWS_BEARER_TOKEN_BEDROCK, which the
// SDK by itself would take first.
func (s *Sessions) Bedrock(ctx context.Context) (*Bedrock, error) {
	return s.bedrock.get(ctx, func(ctx context.Context) (*Bedrock, error) {
		found, region, err := s.open(ctx, s.options.Bedrock.Region, "aws.bedrock.region", true)
		if err != nil {
			return nil, err
		}
		o := bedrockruntime.Options{Region: region, HTTPClient: s.http, Retryer: aws.NopRetryer{}}
		if endpoint := cmp.Or(s.options.Bedrock.Endpoint, s.finder.get("AWS_ENDPOINT_URL")); endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		made := bedrockruntime.New(o, func(o *bedrockruntime.Options) {
			o.Credentials, o.BearerAuthTokenProvider, o.AuthSchemePreference = found.keys, nil, []string{"sigv4"}
			if found.bearer != "" {
				o.BearerAuthTokenProvider = bearer.StaticTokenProvider{Token: bearer.Token{Value: found.bearer}}
				o.Credentials, o.AuthSchemePreference = nil, []string{"httpBearerAuth"}
			}
		})
		found.onRenewed(s.options.Renewed)
		return &Bedrock{Client: made, Credentials: found, Region: region}, nil
	})
}

// open finds credentials and region.
func (s *Sessions) open(ctx context.Context, setting, key string, bearer bool) (*Credentials, string, error) {
	found, err := search(ctx, s.finder.places(bearer))
	if err != nil {
		return nil, "", err
	}
	region := s.finder.regionOf(ctx, setting)
	if region == "" {
		return nil, "", fmt.Errorf("no region is named; set %s, aws.region or AWS_REGION", key)
	}
	return found, region, nil
}

// authorities are the system's, and those of the file that AWS_CA_BUNDLE names; nil for the system's alone.
func authorities(env func(string) (string, bool)) (*x509.CertPool, error) {
	path, _ := env("AWS_CA_BUNDLE")
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path) //nolint:gosec // the operator named it
	if err != nil {
		return nil, fmt.Errorf("reading AWS_CA_BUNDLE: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading AWS_CA_BUNDLE: %s has no certificate in PEM form", path)
	}
	return pool, nil
}

// client never follows a redirect: it would carry what was signed for one server to another.
func client(roots *x509.CertPool, dial time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: dial, KeepAlive: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 128, IdleConnTimeout: 90 * time.Second,
			MaxResponseHeaderBytes: 1 << 20,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// kept is a value that is made once; what failed is tried again by the next who asks.
type kept[T any] struct {
	turn chan *T // holds nil, or the value, while nobody makes it
}

func newKept[T any]() kept[T] {
	k := kept[T]{turn: make(chan *T, 1)}
	k.turn <- nil
	return k
}

// get waits for its turn no longer than ctx.
func (k kept[T]) get(ctx context.Context, produce func(context.Context) (T, error)) (value T, err error) {
	var made *T
	select {
	case made = <-k.turn:
	case <-ctx.Done():
		return value, ctx.Err()
	}
	defer func() { k.turn <- made }()
	if made == nil {
		if value, err = produce(ctx); err != nil {
			return value, err
		}
		made = &value
	}
	return *made, nil
}

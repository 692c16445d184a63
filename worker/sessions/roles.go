package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// container asks the endpoint that ECS and EKS give to their containers.
func (f *finder) container(ctx context.Context) (*Credentials, error) {
	relative, full := f.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), f.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	endpoint := full
	switch {
	case relative != "":
		endpoint = f.containerHost + relative
	case full == "":
		return nil, absent("not in a container that has one")
	default:
		if err := checkContainerEndpoint(ctx, full); err != nil {
			return nil, err
		}
	}
	provider := endpointcreds.New(endpoint, func(o *endpointcreds.Options) {
		o.HTTPClient, o.Retryer = f.local, aws.NopRetryer{}
		o.AuthorizationToken = f.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if path := f.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				token, err := os.ReadFile(path) //nolint:gosec // the operator named it
				return strings.TrimSpace(string(token)), err
			})
		}
	})
	return renewed(ctx, "IAM role (container)", provider)
}

// checkContainerEndpoint lets credentials travel unencrypted only between this machine and itself, or the addresses that
// ECS and EKS have for it.
func checkContainerEndpoint(ctx context.Context, endpoint string) error {
	const rule = "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to a loopback, ECS or EKS address"
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return errors.New(rule)
	}
	if u.Scheme == "https" {
		return nil
	}
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, u.Hostname())
	if err != nil {
		return fmt.Errorf("%s: %w", rule, err)
	}
	for _, a := range addresses {
		own := a.IP.IsLoopback() || a.IP.String() == "169.254.170.2" || a.IP.String() == "169.254.170.23" || a.IP.String() == "fd00:ec2::23"
		if u.Scheme != "http" || !own {
			return errors.New(rule)
		}
	}
	return nil
}

// webIdentity exchanges the token that Kubernetes puts into a file for the credentials of a role.
func (f *finder) webIdentity(ctx context.Context) (*Credentials, error) {
	file, role := f.get("AWS_WEB_IDENTITY_TOKEN_FILE"), f.get("AWS_ROLE_ARN")
	if file == "" {
		return nil, absent("AWS_WEB_IDENTITY_TOKEN_FILE is not set")
	}
	if role == "" {
		return nil, errors.New("AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not")
	}
	options := sts.Options{Region: f.stsRegion(ctx), HTTPClient: f.http, Retryer: aws.NopRetryer{}, Credentials: aws.AnonymousCredentials{}}
	if endpoint := cmp.Or(f.get("AWS_ENDPOINT_URL_STS"), f.get("AWS_ENDPOINT_URL")); endpoint != "" {
		options.BaseEndpoint = aws.String(endpoint)
	}
	provider := stscreds.NewWebIdentityRoleProvider(sts.New(options), role, stscreds.IdentityTokenFile(file), func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = f.get("AWS_ROLE_SESSION_NAME")
	})
	return renewed(ctx, "IAM role (web identity)", provider)
}

// instance asks the metadata service of EC2, version 2 alone. A machine where it does not answer in time, or knows no role,
// has none; one where it answers with a fault of its own is not passed over.
func (f *finder) instance(ctx context.Context) (*Credentials, error) {
	if strings.EqualFold(f.get("AWS_EC2_METADATA_DISABLED"), "true") {
		return nil, absent("AWS_EC2_METADATA_DISABLED is true")
	}
	named := f.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	endpoint := cmp.Or(named, f.instanceHost)
	if named == "" && strings.EqualFold(f.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"), "ipv6") {
		endpoint = "http://[fd00:ec2::254]"
	}
	if err := f.hasRole(ctx, strings.TrimSuffix(endpoint, "/"), named != ""); err != nil {
		return nil, err
	}
	client := imds.New(imds.Options{
		Endpoint: endpoint, HTTPClient: f.local, Retryer: aws.NopRetryer{}, ClientEnableState: imds.ClientEnabled, EnableFallback: aws.FalseTernary,
	})
	return renewed(ctx, "IAM role (instance metadata)", ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client }))
}

// hasRole asks whether this is an instance and has a role. The SDK's own client hides what the service answered.
func (f *finder) hasRole(ctx context.Context, endpoint string, named bool) error {
	asked, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	token, status, err := f.metadata(asked, http.MethodPut, endpoint+"/latest/api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
	if err == nil && status == http.StatusOK {
		_, status, err = f.metadata(asked, http.MethodGet, endpoint+"/latest/meta-data/iam/security-credentials/", "X-Aws-Ec2-Metadata-Token", token)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && named:
		return fmt.Errorf("AWS_EC2_METADATA_SERVICE_ENDPOINT does not answer: %w", err)
	case err != nil:
		return absent("no instance metadata service answers within %s", f.patience)
	case status == http.StatusOK:
		return nil
	case status < http.StatusInternalServerError && status != http.StatusTooManyRequests:
		return absent("the instance metadata service knows no role (HTTP %d)", status)
	default:
		return fmt.Errorf("the instance metadata service answers with HTTP %d", status)
	}
}

// metadata makes one call to the instance metadata service.
func (f *finder) metadata(ctx context.Context, method, url, header, value string) (answer string, status int, err error) {
	r, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return "", 0, err
	}
	r.Header.Set(header, value)
	got, err := f.local.Do(r)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = got.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(got.Body, 64<<10))
	return string(body), got.StatusCode, err
}

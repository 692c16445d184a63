package sessions

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Keys are long-lived or temporary keys of AWS.
type Keys struct{ ID, Secret, Token string }

func (k Keys) provider() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(k.ID, k.Secret, k.Token)
}

// errHalf is a key without its other half.
var errHalf = errors.New("an access key id and a secret access key go together; one of them is missing")

// finder knows the places where credentials may be, in the order in which they are promised to be looked for: a role of
// this machine, the environment, a profile, the settings.
type finder struct {
	env func(string) (string, bool)
	// http reaches AWS; local what is beside this process: a container's or an instance's endpoint, through no proxy.
	http, local *http.Client
	// containerHost is where a relative container endpoint is.
	containerHost string
	// instanceHost is where the metadata service of EC2 is, unless somebody names another place.
	instanceHost string
	// patience bounds the question whether this machine is an instance of EC2.
	patience time.Duration
	region   string
	profile  string // of the settings
	keys     Keys   // of the settings
}

// places lists them. A bearer token counts for Bedrock alone.
func (f *finder) places(bearer bool) []place {
	all := []place{
		{"IAM role (container)", f.container},
		{"IAM role (web identity)", f.webIdentity},
		{"IAM role (instance metadata)", f.instance},
	}
	if bearer {
		all = append(all, place{"environment (AWS_BEARER_TOKEN_BEDROCK)", f.bearerToken})
	}
	return append(all,
		place{"environment (AWS_ACCESS_KEY_ID)", f.environment},
		place{"AWS profile", f.fromProfile},
		place{"settings (aws.bedrock.credentials)", f.settings},
	)
}

// get is a variable of the environment; one that is empty counts as not set.
func (f *finder) get(name string) string {
	value, _ := f.env(name)
	return value
}

func (f *finder) bearerToken(context.Context) (*Credentials, error) {
	token := f.get("AWS_BEARER_TOKEN_BEDROCK")
	if token == "" {
		return nil, absent("not set")
	}
	return &Credentials{source: "environment (AWS_BEARER_TOKEN_BEDROCK)", bearer: token}, nil
}

func (f *finder) environment(ctx context.Context) (*Credentials, error) {
	keys := Keys{f.get("AWS_ACCESS_KEY_ID"), f.get("AWS_SECRET_ACCESS_KEY"), f.get("AWS_SESSION_TOKEN")}
	if keys.ID == "" && keys.Secret == "" {
		return nil, absent("not set")
	}
	if keys.ID == "" || keys.Secret == "" {
		return nil, errHalf
	}
	return renewed(ctx, "environment (AWS_ACCESS_KEY_ID)", keys.provider())
}

func (f *finder) settings(ctx context.Context) (*Credentials, error) {
	switch {
	case f.keys.ID == "" && f.keys.Secret == "":
		return nil, absent("not set")
	case f.keys.ID == "" || f.keys.Secret == "":
		return nil, errHalf
	}
	return renewed(ctx, "settings (aws.bedrock.credentials)", f.keys.provider())
}

// files are the shared files of AWS.
func (f *finder) files() (config, shared string) {
	config, shared = f.get("AWS_CONFIG_FILE"), f.get("AWS_SHARED_CREDENTIALS_FILE")
	home := f.get("HOME")
	if home == "" {
		home, _ = os.UserHomeDir() // without a home there is no file in it
	}
	if config == "" {
		config = filepath.Join(home, ".aws", "config")
	}
	if shared == "" {
		shared = filepath.Join(home, ".aws", "credentials")
	}
	return config, shared
}

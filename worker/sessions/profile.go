package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// profileAge is after how long the keys of a profile are read again: whoever rotates them edits the file.
const profileAge = 10 * time.Minute

// profileName is the profile to use, and whether somebody named it.
func (f *finder) profileName() (name string, named bool) {
	name = cmp.Or(f.get("AWS_PROFILE"), f.profile)
	return cmp.Or(name, "default"), name != ""
}

// fromProfile takes the profile of AWS_PROFILE, that of the settings, or the one called default.
func (f *finder) fromProfile(ctx context.Context) (*Credentials, error) {
	name, named := f.profileName()
	shared, err := f.readProfile(ctx, name)
	var missing config.SharedConfigProfileNotExistError
	configFile, sharedFile := f.files()
	switch {
	case errors.As(err, &missing) && named:
		return nil, fmt.Errorf("profile %q is neither in %s nor in %s", name, configFile, sharedFile)
	case errors.As(err, &missing):
		return nil, absent("no profile is named, and there is no profile default in %s and %s", configFile, sharedFile)
	case err != nil:
		return nil, err
	case !hasCredentials(shared) && named:
		return nil, fmt.Errorf("profile %q has no credentials", name)
	case !hasCredentials(shared):
		return nil, absent("the profile default has no credentials")
	}
	return renewed(ctx, fmt.Sprintf("AWS profile %q", name), aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return f.profileKeys(ctx, name)
	}))
}

// readProfile reads what the files say of a profile. The SDK takes a file that it may not read for an empty one.
func (f *finder) readProfile(ctx context.Context, name string) (config.SharedConfig, error) {
	configFile, sharedFile := f.files()
	for _, path := range []string{configFile, sharedFile} {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return config.SharedConfig{}, fmt.Errorf("reading the profiles: %w", err)
		}
		info, err := file.Stat()
		_ = file.Close() // it was only looked at
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("is no regular file")
		}
		if err != nil {
			return config.SharedConfig{}, fmt.Errorf("reading the profiles: %s: %w", path, err)
		}
	}
	return config.LoadSharedConfigProfile(ctx, name, func(o *config.LoadSharedConfigOptions) {
		o.ConfigFiles, o.CredentialsFiles = []string{configFile}, []string{sharedFile}
	})
}

func hasCredentials(c config.SharedConfig) bool {
	return c.Credentials.HasKeys() || c.Source != nil || c.CredentialSource != "" || c.CredentialProcess != "" ||
		c.WebIdentityTokenFile != "" || c.SSOSession != nil || c.SSOSessionName != "" || c.SSOStartURL != "" || c.LoginSession != ""
}

// profileKeys resolves a profile as the SDK does: keys, roles to assume, SSO, a process.
func (f *finder) profileKeys(ctx context.Context, name string) (aws.Credentials, error) {
	if _, err := f.readProfile(ctx, name); err != nil {
		return aws.Credentials{}, err
	}
	configFile, sharedFile := f.files()
	resolved, err := config.LoadDefaultConfig(ctx,
		config.WithSharedConfigProfile(name), config.WithSharedConfigFiles([]string{configFile}),
		config.WithSharedCredentialsFiles([]string{sharedFile}), config.WithRegion(f.stsRegion(ctx)),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	)
	if err != nil {
		return aws.Credentials{}, err
	}
	keys, err := resolved.Credentials.Retrieve(ctx)
	if err == nil && !keys.CanExpire {
		keys.CanExpire, keys.Expires = true, time.Now().Add(profileAge)
	}
	return keys, err
}

// regionOf is the region for a service: what the settings say, else the environment's, else the profile's; empty where
// nobody says one.
func (f *finder) regionOf(ctx context.Context, setting string) string {
	if region := cmp.Or(setting, f.get("AWS_REGION"), f.get("AWS_DEFAULT_REGION"), f.region); region != "" {
		return region
	}
	name, _ := f.profileName()
	shared, err := f.readProfile(ctx, name)
	if err != nil {
		return "" // the search for credentials reports it
	}
	return shared.Region
}

// stsRegion is where roles are asked for.
func (f *finder) stsRegion(ctx context.Context) string {
	return cmp.Or(f.regionOf(ctx, ""), "us-east-1")
}

package sessions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// issuer gives credentials of a life, unless it is told to fail.
type issuer struct {
	life  time.Duration
	fault error
	given int
}

func (i *issuer) Retrieve(context.Context) (aws.Credentials, error) {
	if i.fault != nil {
		return aws.Credentials{}, i.fault
	}
	i.given++
	return aws.Credentials{AccessKeyID: "K", SecretAccessKey: "S", CanExpire: i.life > 0, Expires: time.Now().Add(i.life)}, nil
}

func TestCredentialsAreRenewedBeforeTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		c, err := renewed(t.Context(), "a role", i)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i.given == 1 {
			time.Sleep(10 * time.Second)
			if _, err := c.keys.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if after := time.Since(began); after < 54*time.Minute || after > 58*time.Minute {
			t.Errorf("renewed after %s of an hour", after)
		}
		if c.trouble() != "" {
			t.Error(c.trouble())
		}
	})
}

func TestOldCredentialsServeUntilTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		c, err := renewed(t.Context(), "a role", i)
		if err != nil {
			t.Fatal(err)
		}
		ends := time.Now().Add(time.Hour)
		i.fault = errors.New("no route to host")
		troubled := time.Time{}
		for time.Now().Before(ends.Add(-useless)) {
			if _, err := c.keys.Retrieve(t.Context()); err != nil {
				t.Fatalf("%s before the end: %v", time.Until(ends), err)
			}
			if c.trouble() != "" && troubled.IsZero() {
				troubled = time.Now()
				if !strings.Contains(c.trouble(), "could not be renewed at "+clock(troubled)) || !strings.Contains(c.trouble(), "no route to host") ||
					!strings.HasSuffix(c.trouble(), "end at "+clock(ends)) {
					t.Error(c.trouble())
				}
			}
			time.Sleep(10 * time.Second)
		}
		if early := ends.Sub(troubled); early < 2*time.Minute || early > 6*time.Minute {
			t.Errorf("the trouble showed %s before the end", early)
		}
		time.Sleep(time.Minute)
		_, err = c.keys.Retrieve(t.Context())
		if err == nil || !strings.Contains(plain(err).Error(), "credentials from a role ended at "+clock(ends)+" and could not be renewed: no route") {
			t.Errorf("%v", err)
		}
		i.fault = nil
		if _, err := c.keys.Retrieve(t.Context()); err != nil || c.trouble() != "" {
			t.Errorf("%v %s", err, c.trouble())
		}
	})
}

func TestShortLivesAreRenewedAtHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Minute}
		c, err := renewed(t.Context(), "a role", i)
		if err != nil {
			t.Fatal(err)
		}
		for range 600 {
			time.Sleep(time.Second)
			if _, err := c.keys.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if i.given < 19 || i.given > 22 {
			t.Errorf("%d credentials in ten minutes", i.given)
		}
	})
}

func TestCredentialsThatEndedAreNoCredentials(t *testing.T) {
	if _, err := renewed(t.Context(), "a role", &issuer{life: time.Millisecond}); err == nil || !strings.Contains(err.Error(), "gave credentials that ended at") {
		t.Errorf("%v", err)
	}
	if _, err := renewed(t.Context(), "a role", aws.AnonymousCredentials{}); err == nil {
		t.Error("no keys are no credentials")
	}
	i := &issuer{}
	if c, err := renewed(t.Context(), "a file", i); err != nil || c.trouble() != "" {
		t.Errorf("%v", err)
	}
}

// TestKeysOfAProfileAreReadAgain rotates them in the file.
func TestKeysOfAProfileAreReadAgain(t *testing.T) {
	path := file(t, "credentials", "[default]\n"+profileText(Keys{"OLD", "S", ""}))
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Env: bare(t).with("AWS_SHARED_CREDENTIALS_FILE", path).get, Region: "r"})
		c, err := s.S3(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("[default]\n"+profileText(Keys{"NEW", "S", ""})), 0o600); err != nil {
			t.Fatal(err)
		}
		if keys, err := c.Credentials.keys.Retrieve(t.Context()); err != nil || keys.AccessKeyID != "OLD" {
			t.Errorf("%s %v", keys.AccessKeyID, err)
		}
		time.Sleep(profileAge)
		if keys, err := c.Credentials.keys.Retrieve(t.Context()); err != nil || keys.AccessKeyID != "NEW" {
			t.Errorf("%s %v", keys.AccessKeyID, err)
		}
	})
}

// rotating gives other keys whenever it is told to.
type rotating struct {
	n, asked int
	fault    error
}

func (r *rotating) Retrieve(context.Context) (aws.Credentials, error) {
	r.asked++
	if r.fault != nil {
		return aws.Credentials{}, r.fault
	}
	return aws.Credentials{AccessKeyID: fmt.Sprintf("K%d", r.n), SecretAccessKey: "S", SessionToken: "T"}, nil
}

func TestRefusedCredentialsAreAskedForAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &rotating{}
		c, err := renewed(t.Context(), "a role", source)
		if err != nil {
			t.Fatal(err)
		}
		keyID := func() string {
			keys, err := c.keys.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return keys.AccessKeyID
		}
		if c.Renew(t.Context(), "K0", "T") || keyID() != "K0" || source.asked != 2 {
			t.Errorf("the source gives the same, and after %d questions it counts as renewed, or %s is lost", source.asked, keyID())
		}
		source.n = 1
		if c.Renew(t.Context(), "K0", "T") || source.asked != 2 {
			t.Errorf("a source that gave nothing else was asked again at once, %d times", source.asked)
		}
		time.Sleep(forceAgain + time.Second)
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if !c.Renew(t.Context(), "K0", "T") {
					t.Error("other keys are there, and nobody says so")
				}
			})
		}
		all.Wait()
		if asked := source.asked; keyID() != "K1" || asked > 4 {
			t.Errorf("64 calls at once asked the source %d times", asked)
		}
		if !c.Renew(t.Context(), "K1", "older") {
			t.Error("a key with another token is another")
		}
		source.fault = errors.New("no route to host")
		if c.Renew(t.Context(), "K1", "T") || keyID() != "K1" || c.trouble() == "" {
			t.Error("a source that fails took the keys away, or showed no trouble")
		}
		if (&Credentials{bearer: "b"}).Renew(t.Context(), "", "") || (&Credentials{bearer: "b"}).Ready(t.Context()) != nil {
			t.Error("a bearer token has nothing to renew, and is ready")
		}
	})
}

func TestReadinessOfCredentialsIsOneOfTheirSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		c, err := renewed(t.Context(), "a role", i)
		if err != nil || c.Ready(t.Context()) != nil {
			t.Fatal(err)
		}
		i.fault = errors.New("no route to host")
		time.Sleep(2 * time.Hour)
		if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials from a role ended") {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Ready(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestOtherCredentialsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, told := "one", 0
		c, err := renewed(t.Context(), "a role", aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: "S", CanExpire: true, Expires: time.Now().Add(time.Hour)}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		c.onRenewed(func() { told++ })
		for _, step := range []struct {
			id   string
			told int
		}{{"one", 0}, {"two", 1}, {"two", 1}, {"three", 2}} {
			id = step.id
			time.Sleep(time.Hour)
			if err := c.Ready(t.Context()); err != nil || told != step.told {
				t.Errorf("%s: told %d times, want %d (%v)", id, told, step.told, err)
			}
		}
		id = "four"
		if !c.Renew(t.Context(), "three", "") || told != 3 {
			t.Errorf("renewed by force: told %d times", told)
		}
	})
}

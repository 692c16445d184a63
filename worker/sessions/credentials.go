package sessions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
)

// Credentials are what one source gave for calls to AWS. They are fresh for as long as the source gives new ones.
type Credentials struct {
	source  string
	keys    aws.CredentialsProvider // nil with a bearer token
	bearer  string
	renewal *renewal // of keys
}

// Source names where they came from.
func (c *Credentials) Source() string { return c.source }

// Ends is when the newest of them end, as the source says; zero: they do not, or nobody says. They are renewed before that.
func (c *Credentials) Ends() time.Time {
	if c.renewal == nil {
		return time.Time{}
	}
	c.renewal.mu.Lock()
	defer c.renewal.mu.Unlock()
	return c.renewal.expires
}

// Ready looks for keys that hold, within ctx, so that a call can be signed. The error is for a person and holds no secret.
func (c *Credentials) Ready(ctx context.Context) error {
	if c.keys == nil {
		return nil
	}
	if _, err := c.keys.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errors.New(Printable(plain(err)))
	}
	return nil
}

// Renew asks the source at once for other keys, because the service refused those with an id and a token. It tells whether the next
// call will be signed with others: false with a bearer token, and where the source has none or gives the same. Many may ask together.
func (c *Credentials) Renew(ctx context.Context, id, token string) bool {
	return c.renewal != nil && c.renewal.renew(ctx, id, token)
}

// onRenewed has somebody hear of each renewal that gives others.
func (c *Credentials) onRenewed(tell func()) {
	if c.renewal == nil || tell == nil {
		return
	}
	c.renewal.mu.Lock()
	defer c.renewal.mu.Unlock()
	c.renewal.tell = tell
}

// trouble is what keeps the credentials from being renewed; empty while all is well.
func (c *Credentials) trouble() string {
	if c == nil || c.renewal == nil {
		return ""
	}
	return c.renewal.trouble()
}

// place is somewhere credentials may be.
type place struct {
	name string
	// look gives the credentials of this place. An absentError sends the search on to the next place; every other error ends
	// it, because what somebody set up must not be passed over for something weaker.
	look func(context.Context) (*Credentials, error)
}

// absentError says why a place has no credentials.
type absentError struct{ why string }

func (e absentError) Error() string { return e.why }

func absent(format string, args ...any) error { return absentError{fmt.Sprintf(format, args...)} }

// NoCredentialsError lists the places where credentials were looked for, and why there were none. It wraps ErrUnknown.
type NoCredentialsError struct {
	Looked []Looked
}

// Looked is a place without credentials.
type Looked struct{ Place, Why string }

func (e *NoCredentialsError) Error() string {
	parts := make([]string, 0, len(e.Looked))
	for _, l := range e.Looked {
		parts = append(parts, l.Place+": "+l.Why)
	}
	return "no AWS credentials: " + strings.Join(parts, "; ")
}

func (e *NoCredentialsError) Unwrap() error { return ErrUnknown }

// search looks through places in order.
func search(ctx context.Context, places []place) (*Credentials, error) {
	none := &NoCredentialsError{}
	for _, p := range places {
		found, err := p.look(ctx)
		var nothing absentError
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("looking for AWS credentials in %s: %w", p.name, ctx.Err())
		case !errors.As(err, &nothing):
			return nil, fmt.Errorf("AWS credentials from %s: %w", p.name, plain(err))
		}
		none.Looked = append(none.Looked, Looked{p.name, nothing.why})
	}
	return nil, none
}

// plain reduces an error of AWS to code, message and status. What AWS appends to some messages is left out: of a wrong
// signature it repeats all headers, session token included.
func plain(err error) error {
	var ended *endedError
	var api smithy.APIError
	switch {
	case errors.As(err, &ended):
		return ended
	case !errors.As(err, &api):
		return err
	}
	message, _, _ := strings.Cut(api.ErrorMessage(), "\n")
	text := strings.Trim(api.ErrorCode()+": "+message, ": ")
	if status := httpStatus(err); status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", status)
	}
	return errors.New(strings.TrimSpace(text))
}

// httpStatus is the status of an answer of AWS; 0 where there was none.
func httpStatus(err error) int {
	var answered interface{ HTTPStatusCode() int }
	if errors.As(err, &answered) {
		return answered.HTTPStatusCode()
	}
	return 0
}

// clock writes a time for a person.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

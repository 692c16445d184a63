package sessions

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	// renewEarly is how long before their end credentials are renewed, less up to half of it by chance, so that the processes
	// of a deployment do not renew together. Those with a shorter life are renewed after half of it.
	renewEarly = 5 * time.Minute
	// renewAgain is after how long a renewal that failed is tried again while the old credentials still hold.
	renewAgain = time.Minute
	// forceAgain is for how long a source that gave nothing else is not asked by force again.
	forceAgain = 10 * time.Second
	// renewTimeout bounds one renewal. Whoever waits for it may give up earlier.
	renewTimeout = 10 * time.Second
	// useless is how much life credentials need to be worth a call.
	useless = 2 * time.Second
)

// renewal asks a source for credentials again and again, keeps those that still hold when it gives none, and remembers the
// trouble. It stands between a source and an aws.CredentialsCache.
type renewal struct {
	source   string
	provider aws.CredentialsProvider
	now      func() time.Time

	cache *aws.CredentialsCache // in front of it
	turn  chan struct{}         // holds a token while nobody renews by force

	mu      sync.Mutex
	expires time.Time // of the newest credentials; zero when they do not
	failed  time.Time // of the last renewal, zero when it went well
	fault   error
	again   time.Time // when the source may be asked by force once more
	id      string    // of the newest keys, with their token
	token   string
	tell    func() // that they are others; may be nil
}

// renewed makes the credentials of a source that is asked anew whenever its last ones are about to end. The source is
// asked once here, so that what is broken is known now.
func renewed(ctx context.Context, source string, provider aws.CredentialsProvider) (*Credentials, error) {
	r := &renewal{source: source, provider: provider, now: time.Now, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	r.cache = aws.NewCredentialsCache(r, func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = renewEarly
		o.ExpiryWindowJitterFrac = 0.5
	})
	if _, err := r.cache.Retrieve(ctx); err != nil {
		return nil, err
	}
	return &Credentials{source: source, keys: r.cache, renewal: r}, nil
}

// renew asks the source though the keys that it gave, with an id and a token, may seem to hold. They stay in use until it gives others.
func (r *renewal) renew(ctx context.Context, id, token string) bool {
	select {
	case <-r.turn:
		defer func() { r.turn <- struct{}{} }()
	case <-ctx.Done():
		return false
	}
	other := func(keys aws.Credentials, err error) bool {
		return err == nil && (keys.AccessKeyID != id || keys.SessionToken != token)
	}
	if other(r.cache.Retrieve(ctx)) { // somebody was faster
		return true
	}
	r.mu.Lock()
	just := r.again.After(r.now())
	r.mu.Unlock()
	if just || !other(r.Retrieve(ctx)) {
		r.mu.Lock()
		if !just {
			r.again = r.now().Add(forceAgain)
		}
		r.mu.Unlock()
		return false
	}
	r.cache.Invalidate()
	return true
}

// Retrieve makes it a provider of keys.
func (r *renewal) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	keys, err := r.provider.Retrieve(ctx)
	if err == nil && !keys.HasKeys() {
		err = fmt.Errorf("%s gave an empty key", r.source)
	}
	if err == nil && keys.CanExpire && keys.Expires.Before(r.now().Add(useless)) {
		err = fmt.Errorf("%s gave credentials that ended at %s", r.source, clock(keys.Expires))
	}
	if tell := r.note(keys, err); tell != nil {
		tell()
	}
	if err != nil {
		return aws.Credentials{}, err
	}
	return keys, nil
}

// note takes in what the source gave. It returns whom to tell that the keys are others than before; nil: nobody, or they are not.
func (r *renewal) note(keys aws.Credentials, err error) (tell func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed, r.fault = r.now(), err
		return nil
	}
	r.failed, r.fault, r.expires = time.Time{}, nil, time.Time{}
	if keys.CanExpire {
		r.expires = keys.Expires
	}
	if r.id != "" && (keys.AccessKeyID != r.id || keys.SessionToken != r.token) {
		tell = r.tell
	}
	r.id, r.token = keys.AccessKeyID, keys.SessionToken
	return tell
}

// HandleFailToRefresh keeps the old keys for as long as they really hold. A cache calls it.
func (r *renewal) HandleFailToRefresh(_ context.Context, old aws.Credentials, err error) (aws.Credentials, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.expires.Sub(r.now())
	if !old.HasKeys() {
		return aws.Credentials{}, err
	}
	if left < useless {
		return aws.Credentials{}, &endedError{r.source, r.expires, err}
	}
	old.Expires = r.now().Add(min(2*renewAgain, left)) // AdjustExpiresBy halves it
	return old, nil
}

// AdjustExpiresBy moves the end that the cache sees forward, by no more than half of what is left. A cache calls it.
func (r *renewal) AdjustExpiresBy(keys aws.Credentials, by time.Duration) (aws.Credentials, error) {
	if keys.CanExpire {
		keys.Expires = keys.Expires.Add(max(by, -keys.Expires.Sub(r.now())/2))
	}
	return keys, nil
}

// endedError is of credentials that ended and could not be renewed.
type endedError struct {
	source string
	at     time.Time
	err    error
}

func (e *endedError) Error() string {
	return fmt.Sprintf("credentials from %s ended at %s and could not be renewed: %v", e.source, clock(e.at), plain(e.err))
}

func (e *endedError) Unwrap() error { return e.err }

func (r *renewal) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault == nil {
		return ""
	}
	return fmt.Sprintf("credentials from %s could not be renewed at %s (%s); those in use end at %s",
		r.source, clock(r.failed), Printable(plain(r.fault)), clock(r.expires))
}

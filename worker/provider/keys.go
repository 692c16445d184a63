package provider

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// AWSKey may sign calls of Bedrock.
type AWSKey struct {
	ID, Secret string
	// Token is the session token that must come along; empty: none may.
	Token string
	// Expires is when the token is taken no longer; zero: never.
	Expires time.Time
}

// DefaultAWS are the credentials that are taken where no others are given.
func DefaultAWS() []AWSKey {
	return []AWSKey{{ID: "AKIAFAKEPROVIDER", Secret: "fake-secret-of-no-account"}}
}

// keyring is what is taken as credentials.
type keyring struct {
	mu  sync.RWMutex
	key string
	aws []AWSKey
}

func (k *keyring) set(key string, aws []AWSKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key, k.aws = key, slices.Clone(aws)
}

// takes tells whether a key is the one.
func (k *keyring) takes(given string) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.key == "" || subtle.ConstantTimeCompare([]byte(k.key), []byte(given)) == 1
}

func (k *keyring) find(id string) (AWSKey, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	i := slices.IndexFunc(k.aws, func(a AWSKey) bool { return a.ID == id })
	if i < 0 {
		return AWSKey{}, false
	}
	return k.aws[i], true
}

// bearer is the token of a call.
func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

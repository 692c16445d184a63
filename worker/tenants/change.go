package tenants

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"flowgate/messages"
)

// Key is a fresh key: the public half is for the book, the seed for who holds the credential, and kept nowhere else.
type Key struct{ Public, Seed string }

// NewKey makes a key at random.
func NewKey() (Key, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return Key{}, fmt.Errorf("making a key: %w", err)
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return Key{}, fmt.Errorf("making a key: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return Key{}, fmt.Errorf("making a key: %w", err)
	}
	return Key{Public: public, Seed: string(seed)}, nil
}

func checkKey(public string) error {
	if !nkeys.IsValidPublicUserKey(public) {
		return errors.New("a public key must be that of an nkey of a user")
	}
	return nil
}

// CheckName wants a credential's name to be of the grammar of tenants.
func CheckName(credential string) error {
	if messages.CheckTenant(credential) != nil {
		return &messages.FieldError{Field: "credential", Rule: "must be 1 to 63 of a-z, 0-9, _ and -"}
	}
	return nil
}

// Add adds a credential, and the tenant where it is its first.
func (b *Book) Add(tenant, credential, public string, now time.Time) error {
	t := b.Tenant(tenant)
	switch {
	case t == nil && len(b.Tenants) >= MaxTenants, t != nil && len(t.Credentials) >= MaxCredentials:
		return fmt.Errorf("adding %s.%s: %w", tenant, credential, ErrFull)
	case t == nil:
		b.Tenants = append(b.Tenants, Tenant{Name: tenant, CreatedAt: now})
		t = &b.Tenants[len(b.Tenants)-1]
	case t.Credential(credential) != nil:
		return fmt.Errorf("credential %s of tenant %s: %w: give it a new secret with `flowgate tenants rotate %s --credential %s`, or add another name",
			credential, tenant, ErrTaken, tenant, credential)
	}
	t.Credentials = append(t.Credentials, Credential{Name: credential, PublicKey: public, CreatedAt: now})
	return nil
}

// Rotate gives a credential another key; the one before is refused from then on. A suspended one stays so.
func (b *Book) Rotate(tenant, credential, public string, now time.Time) error {
	t, err := b.find(tenant)
	if err != nil {
		return err
	}
	c := t.Credential(credential)
	if c == nil {
		return unknown(t, credential)
	}
	c.PublicKey, c.RotatedAt = public, now
	return nil
}

// Suspend refuses a tenant, or one credential of it, until it is resumed. One that is suspended already gets the new reason.
func (b *Book) Suspend(tenant, credential string, why Suspension) error {
	if len(why.Reason) > maxWords || len(why.By) > maxWords {
		return &messages.FieldError{Field: "reason", Rule: fmt.Sprintf("reason and name must be of at most %d bytes each", maxWords)}
	}
	return b.suspension(tenant, credential, &why)
}

// Resume ends a suspension; where there is none it changes nothing.
func (b *Book) Resume(tenant, credential string) error { return b.suspension(tenant, credential, nil) }

func (b *Book) suspension(tenant, credential string, to *Suspension) error {
	t, err := b.find(tenant)
	if err != nil {
		return err
	}
	if credential == "" {
		t.Suspended = to
		return nil
	}
	c := t.Credential(credential)
	if c == nil {
		return unknown(t, credential)
	}
	c.Suspended = to
	return nil
}

func (b *Book) find(tenant string) (*Tenant, error) {
	if t := b.Tenant(tenant); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("tenant %s: %w (`flowgate tenants list` shows them)", tenant, ErrUnknown)
}

func unknown(t *Tenant, credential string) error {
	var names []string
	for _, c := range t.Credentials {
		names = append(names, c.Name)
	}
	return fmt.Errorf("credential %s of tenant %s: %w, it has %s", credential, t.Name, ErrUnknown, strings.Join(names, ", "))
}

// Package tenants is who may connect to the broker beside flowgate itself: a book of tenants and their credentials, which is
// one file in the state folder. It holds public keys and no secret, is there before any server runs, and is the source of the
// walls of the built-in broker and of the configuration of others.
//
// Read next: change.go, then file.go.
package tenants

import (
	"errors"
	"time"

	"flowgate/messages"
	"flowgate/worker/broker"
)

// Bounds of a book.
const (
	MaxTenants     = 1000
	MaxCredentials = 32 // of one tenant
	maxWords       = 200
)

// Faults in what a change asks for.
var (
	ErrUnknown = errors.New("there is none of that name")
	ErrTaken   = errors.New("it exists already")
	ErrFull    = errors.New("there are as many as can be")
)

// Book is every tenant that has credentials. Without any, everybody who reaches the listener is a producer of every tenant.
type Book struct {
	V int `json:"v"`
	// Version counts the changes.
	Version uint64 `json:"version"`
	// Anonymous is the tenant whose producers need no credential; empty: nobody comes in without one, once there are tenants.
	Anonymous string   `json:"anonymous,omitempty"`
	Tenants   []Tenant `json:"tenants"`
}

// Tenant is one tenant and its credentials, in the order in which they were added.
type Tenant struct {
	Name        string       `json:"name"`
	CreatedAt   time.Time    `json:"created_at"`
	Suspended   *Suspension  `json:"suspended,omitempty"`
	Credentials []Credential `json:"credentials"`
}

// Credential is a name and the public half of its key; the seed is its owner's alone.
type Credential struct {
	Name      string      `json:"name"`
	PublicKey string      `json:"public_key"`
	CreatedAt time.Time   `json:"created_at"`
	RotatedAt time.Time   `json:"rotated_at,omitzero"`
	Suspended *Suspension `json:"suspended,omitempty"`
}

// Suspension says since when nobody comes in, and why.
type Suspension struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
}

// Tenant finds a tenant by its name; nil: there is none.
func (b *Book) Tenant(name string) *Tenant {
	for i := range b.Tenants {
		if b.Tenants[i].Name == name {
			return &b.Tenants[i]
		}
	}
	return nil
}

// Credential finds a credential by its name; nil: there is none.
func (t *Tenant) Credential(name string) *Credential {
	for i := range t.Credentials {
		if t.Credentials[i].Name == name {
			return &t.Credentials[i]
		}
	}
	return nil
}

// Walls are what the broker lets in by the book.
func (b *Book) Walls() broker.Walls {
	w := broker.Walls{Anonymous: b.Anonymous}
	if t := b.Tenant(b.Anonymous); t != nil && t.Suspended != nil {
		w.Anonymous = ""
	}
	for _, t := range b.Tenants {
		wall := broker.Tenant{Name: t.Name}
		for _, c := range t.Credentials {
			if t.Suspended == nil && c.Suspended == nil {
				wall.Keys = append(wall.Keys, broker.Key{Name: t.Name + "." + c.Name, Public: c.PublicKey})
			}
		}
		w.Tenants = append(w.Tenants, wall)
	}
	return w
}

// validate says what is wrong with a book that was read.
func (b *Book) validate() error {
	if b.V < 1 || b.V > messages.Version {
		return errors.New("it is of another version of flowgate")
	}
	if len(b.Tenants) > MaxTenants {
		return ErrFull
	}
	seen := map[string]bool{}
	for _, t := range b.Tenants {
		if err := messages.CheckTenant(t.Name); err != nil {
			return err
		}
		if seen[t.Name] {
			return errors.New("a tenant stands in it twice")
		}
		seen[t.Name] = true
		for _, c := range t.Credentials {
			if err := checkKey(c.PublicKey); err != nil {
				return err
			}
			if seen[c.PublicKey] {
				return errors.New("a public key stands in it twice")
			}
			seen[c.PublicKey] = true
		}
	}
	if b.Anonymous != "" {
		return messages.CheckTenant(b.Anonymous)
	}
	return nil
}

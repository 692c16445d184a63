package broker

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// userProducer is whom the server takes an anonymous connection for.
const userProducer = "producer"

// doorkeeper tells the embedded server who is let in. A server of one's own that is told by a new configuration, in place of
// this, has no JetStream API for a moment each time.
type doorkeeper struct {
	operator Credentials
	// flowgate is the operator's account.
	flowgate *server.User
	doors    atomic.Pointer[doors]
}

// doors are who else is let in, and as whom.
type doors struct {
	byKey     map[string]*server.User
	anonymous *server.User // nil: nobody
}

var _ server.Authentication = (*doorkeeper)(nil)

// Check is the server's question about one connection that wants in.
func (d *doorkeeper) Check(c server.ClientAuthentication) bool {
	said, open := c.GetOpts(), d.doors.Load()
	var user *server.User
	switch {
	case said.JWT != "" || said.Token != "":
	case said.Nkey != "":
		if user = open.byKey[said.Nkey]; user != nil && !signed(said.Nkey, said.Sig, c.GetNonce()) {
			user = nil
		}
	case said.Username == "" && said.Password == "":
		user = open.anonymous
	case said.Username == OperatorUser && subtle.ConstantTimeCompare([]byte(said.Password), []byte(d.operator.Password)) == 1:
		user = d.flowgate
	}
	if user == nil {
		return false
	}
	c.RegisterUser(user)
	return true
}

// signed tells whether a nonce was signed by who has the seed of a public key.
func signed(public, signature string, nonce []byte) bool {
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		if raw, err = base64.StdEncoding.DecodeString(signature); err != nil {
			return false
		}
	}
	key, err := nkeys.FromPublicKey(public)
	return err == nil && len(nonce) > 0 && key.Verify(nonce, raw) == nil
}

// open builds the accounts of walls and lets in whom they name.
func (d *doorkeeper) open(ns *server.Server, w Walls) error {
	next := &doors{byKey: map[string]*server.User{}}
	for _, a := range w.accounts() {
		to, err := a.build(ns)
		if err != nil {
			return err
		}
		publish, subscribe := a.permissions()
		user := func(name string) *server.User {
			return &server.User{Username: name, Account: to, Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe},
			}}
		}
		for _, key := range a.keys {
			if !nkeys.IsValidPublicUserKey(key.Public) {
				return fmt.Errorf("the key of %s is no public nkey of a user", key.Name)
			}
			if next.byKey[key.Public] != nil {
				return fmt.Errorf("the key of %s is somebody else's too", key.Name)
			}
			next.byKey[key.Public] = user(key.Name)
		}
		if a.anonymous {
			next.anonymous = user(userProducer)
		}
	}
	d.doors.Store(next)
	return nil
}

// strangers are the connections of whom the doors are closed for, or who have another account now. A connection that the
// former doors let in a moment ago is among them: the server knows its name before it asks.
func (d *doorkeeper) strangers(ns *server.Server) ([]uint64, error) {
	all, err := ns.Connz(&server.ConnzOptions{Username: true, Limit: everyConnection})
	if err != nil {
		return nil, fmt.Errorf("listing connections: %w", err)
	}
	open := d.doors.Load()
	var ids []uint64
	for _, c := range all.Conns {
		user := open.byKey[c.AuthorizedUser]
		switch c.AuthorizedUser {
		case OperatorUser:
			user = d.flowgate
		case "", userProducer:
			user = open.anonymous
		}
		if user == nil || c.Account != user.Account.Name && c.Account != "" {
			ids = append(ids, c.Cid)
		}
	}
	return ids, nil
}

// everyConnection is more than a server takes.
const everyConnection = 1 << 20

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"flowgate/configs"
	"flowgate/messages"
	"flowgate/worker/actions"
	"flowgate/worker/broker"
	"flowgate/worker/security"
	"flowgate/worker/tenants"
)

// audited is this process as the action Security Test looks at it: by the settings with which it runs, and the files as they are now.
type audited struct {
	*node

	env configs.Lookup
	// secretFiles are the files that secrets were read from, by key.
	secretFiles map[string]string
}

// audit reads once more where the settings come from. What cannot be read is looked at without.
func (n *node) audit(env configs.Lookup) *audited {
	a := &audited{node: n, env: env}
	if loaded, err := configs.Read(n.config, env); err == nil {
		a.secretFiles = loaded.SecretFiles()
	}
	return a
}

// recordPatience bounds the check of the record, which reads every row.
const recordPatience = 50 * time.Second

// looks are the checks of Security Test, in the order in which they are told.
func (a *audited) looks() []actions.Looking {
	return []actions.Looking{
		{Name: "database_roles", Look: a.lookAtRoles},
		{Name: "database_superusers", Look: a.lookAtSuperusers},
		{Name: "append_only_triggers", Look: a.lookAtTriggers},
		{Name: "broker_credentials", Look: a.lookAtDoors},
		{Name: "transport", Look: a.lookAtTransport},
		{Name: "file_modes", Look: a.lookAtFiles},
		{Name: "settings_secrets", Look: a.lookAtSettings},
		{Name: "credential_expiry", Look: a.lookAtExpiry},
		{Name: "log_verification", Within: recordPatience, Look: a.lookAtRecord},
	}
}

// notTold refuses an order: no older result stands in for what its tenant may not know.
func notTold(why string) error {
	return &actions.RefusedError{Reason: messages.ReasonAgreementNotAllowed, Why: why}
}

// errWalled says why a tenant is not told.
var errWalled = notTold("it tells of the whole deployment, and this tenant's producers may stand outside of it: name the tenant in the agreement's `tenants` if it may know")

// tells refuses a tenant whose producers are others than this deployment's operators, unless the agreement names it.
func (a *audited) tells(o actions.Order) error {
	if len(o.Agreement.Tenants) > 0 { // the layers have looked that it is among them
		return nil
	}
	book, err := tenants.Load(a.root)
	if err != nil {
		return notTold("the book of tenants cannot be read, so nobody is told")
	}
	unknown := a.broker == nil && len(book.Tenants) == 0 // the book of a server of somebody else's may lie on another machine
	if book.Tenant(o.Tenant) != nil || len(book.Tenants) > 0 && book.Anonymous == o.Tenant || unknown && o.Tenant != anonymousTenant {
		return errWalled
	}
	return nil
}

// unseen is a look at what could not be looked at. Errors of the database and the broker name hosts and roles, no secrets.
func unseen(err error) *security.Look {
	l := &security.Look{}
	l.Unseen("%s", err)
	return l
}

func (a *audited) lookAtRoles(ctx context.Context, _ time.Time) *security.Look {
	login, err := a.db.Login(ctx)
	if err != nil {
		return unseen(err)
	}
	changers, err := a.db.Changers(ctx)
	if err != nil {
		return unseen(err)
	}
	return security.Roles(changers, login.Roles)
}

func (a *audited) lookAtSuperusers(ctx context.Context, _ time.Time) *security.Look {
	login, err := a.db.Login(ctx)
	if err != nil {
		return unseen(err)
	}
	return security.Superusers(login, a.postgresPID != 0, a.own)
}

func (a *audited) lookAtTriggers(ctx context.Context, _ time.Time) *security.Look {
	guards, err := a.db.Guards(ctx)
	if err != nil {
		return unseen(err)
	}
	return security.Triggers(guards)
}

func (a *audited) lookAtDoors(context.Context, time.Time) *security.Look {
	book, err := tenants.Load(a.root)
	if err != nil {
		return unseen(err)
	}
	file := a.settings.Flowgate.NATS.ServerConfig
	switch {
	case a.broker != nil:
		doors, err := a.broker.Doors()
		if err != nil {
			return unseen(err)
		}
		return security.Doors(doors, a.keepers(book), "the running broker")
	case file == "":
		return unseen(errors.New("the NATS server is not flowgate's own: name its configuration file in flowgate.nats.server_config"))
	}
	doors, err := broker.ReadDoors(file)
	if err != nil {
		return unseen(fmt.Errorf("the configuration of the NATS server %s: %w", file, err))
	}
	return security.Doors(doors, a.keepers(book), file)
}

// keepers are whom the book lets in, and flowgate itself.
func (a *audited) keepers(book tenants.Book) security.Keepers {
	k := security.Keepers{Walls: book.Walls(), Own: a.settings.Flowgate.NATS.User}
	if a.broker != nil {
		k.Own = broker.OperatorUser
	} else if at, err := url.Parse(a.conn.ConnectedUrl()); err == nil && at.User != nil {
		k.Own = at.User.Username()
	} else if public := publicKey(a.settings.Flowgate.NATS.NKeyFile); public != "" {
		k.Own = public
	}
	for _, t := range book.Tenants {
		for _, c := range t.Credentials {
			if t.Suspended != nil || c.Suspended != nil {
				k.Shut = append(k.Shut, broker.Key{Name: t.Name + "." + c.Name, Public: c.PublicKey})
			}
		}
	}
	return k
}

func (a *audited) lookAtSettings(context.Context, time.Time) *security.Look {
	if a.config == "" {
		return security.Literals("", nil, 0)
	}
	keys, looked, err := configs.LiteralSecrets(a.config)
	if err != nil {
		return unseen(fmt.Errorf("the settings file %s cannot be read", a.config))
	}
	return security.Literals(a.config, keys, looked)
}

func (a *audited) lookAtRecord(ctx context.Context, _ time.Time) *security.Look {
	findings, err := auditCheck(ctx, &client{js: a.js, db: a.db})
	if err != nil && ctx.Err() != nil {
		return unseen(fmt.Errorf("the record could not be checked within %s: `flowgate audit check` takes its time", recordPatience))
	}
	if err != nil {
		return unseen(err)
	}
	return security.Record(findings)
}

func (a *audited) lookAtFiles(ctx context.Context, _ time.Time) *security.Look {
	return security.Files(ctx, a.files(), []string{a.root})
}

// files are those that this process was told of, or has made.
func (a *audited) files() []security.File {
	n := a.settings.Flowgate.NATS
	keys, _, err := configs.LiteralSecrets(a.config)
	all := []security.File{{What: "settings file", Path: a.config, Secret: err == nil && len(keys) > 0, Mounted: true}}
	secret := func(what, path string) {
		all = append(all, security.File{What: what, Path: path, Secret: true, Mounted: true})
	}
	for key, path := range a.secretFiles {
		secret("secret file of "+key, path)
	}
	secret("credentials file", n.CredentialsFile)
	secret("nkey file", n.NKeyFile)
	secret("key file", n.KeyFile)
	secret("configuration of the NATS server", n.ServerConfig)
	for _, path := range databaseFiles(a.dbURL) {
		secret("file of the database's address", path)
	}
	if path := awsKeyFile(a.env); path != "" {
		secret("shared credentials file of AWS", path)
	}
	return append(all, security.File{What: "state folder", Path: a.root})
}

// awsKeyFile is the file of AWS's keys; empty where there is none.
func awsKeyFile(env configs.Lookup) string {
	path, _ := env("AWS_SHARED_CREDENTIALS_FILE")
	if home, _ := env("HOME"); path == "" && home != "" {
		path = home + "/.aws/credentials"
	}
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

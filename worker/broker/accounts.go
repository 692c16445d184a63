package broker

import (
	"errors"

	"github.com/nats-io/nats-server/v2/server"
)

// Names of the accounts and of the user whom the server takes an anonymous connection for.
const (
	accountFlowgate  = "FLOWGATE"
	accountProducers = "PRODUCERS"
	userProducer     = "producer"
)

// accounts holds the wall: permissions inside one account are none, since the server writes its acknowledgement to
// whatever reply subject it is given. Producers have an account of their own, whose subjects, inboxes too, are not
// flowgate's; what crosses is imported by name, and a reply comes back through it alone.
const accounts = `
accounts {
  FLOWGATE {
    jetstream: enabled
    exports: [
      { service: "flowgate.request.*.*.*", accounts: [PRODUCERS] }
      { service: "flowgate.get.result.*.*", response_type: stream, accounts: [PRODUCERS] }
      { service: "flowgate.get.intake.*.*", accounts: [PRODUCERS] }
      { stream: "flowgate.result.*.*", accounts: [PRODUCERS] }
    ]
  }
  PRODUCERS {
    imports: [
      { service: { account: FLOWGATE, subject: "flowgate.request.*.*.*" } }
      { service: { account: FLOWGATE, subject: "flowgate.get.result.*.*" } }
      { service: { account: FLOWGATE, subject: "flowgate.get.intake.*.*" } }
      { stream: { account: FLOWGATE, subject: "flowgate.result.*.*" } }
    ]
  }
}
`

// addUsers puts the operator into flowgate's account and makes anonymous connections producers. Permissions say again
// what the imports say, so that a producer who tries more is told so.
func addUsers(opts *server.Options, operator Credentials) error {
	byName := map[string]*server.Account{}
	for _, a := range opts.Accounts {
		byName[a.Name] = a
	}
	flowgate, producers := byName[accountFlowgate], byName[accountProducers]
	if flowgate == nil || producers == nil {
		return errors.New("reading the broker's accounts: an account is missing")
	}
	opts.Users = []*server.User{
		{Username: OperatorUser, Password: operator.Password, Account: flowgate},
		{Username: userProducer, Account: producers, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"flowgate.request.>", "flowgate.get.result.>", "flowgate.get.intake.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"flowgate.result.>", "_INBOX.>"}},
		}},
	}
	opts.NoAuthUser = userProducer
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"flowgate/pipelines/flow"
	"flowgate/worker/control"
	"flowgate/worker/postgres"
)

// seeder is who puts the agreements of the settings' file in force.
const seeder = "settings"

// seedAgreements puts agreements of the settings' file in force that nobody has written yet, and tells every process how all of them
// stand. A process without a database leaves it to the others.
func (n *node) seedAgreements(ctx context.Context) error {
	if n.db == nil {
		return nil
	}
	for _, a := range n.seeds {
		_, err := n.db.EditAgreements(ctx, func(all []flow.Entry, now time.Time) ([]flow.Entry, error) {
			return flow.Seed(all, a, flow.Change{Act: flow.ActSeed, By: seeder, Reason: "the deployment's own file", At: now.UTC()})
		})
		if err != nil {
			return environmentError{fmt.Errorf("seeding the agreement %s: %w", a.Trigger, err)}
		}
	}
	if err := publishAgreements(ctx, n.db, n.js); err != nil {
		return environmentError{err}
	}
	return nil
}

// publishAgreements is the chore that tells every process of agreements whose change was recorded and not told: whoever changed them may
// have died in between.
func (n *node) publishAgreements() func(context.Context) error {
	told := int64(-1)
	return func(ctx context.Context) error {
		revision, err := n.db.AgreementRevision(ctx)
		if err != nil || revision == told {
			return err
		}
		if err := publishAgreements(ctx, n.db, n.js); err != nil {
			return err
		}
		told = revision
		return nil
	}
}

// publishAgreements writes every agreement, as it stands in the database, to the control bucket.
func publishAgreements(ctx context.Context, db *postgres.DB, js jetstream.JetStream) error {
	all, err := db.Agreements(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, e := range flow.Governing(all) {
		faults = append(faults, control.PublishAgreement(ctx, js, e))
	}
	return errors.Join(faults...)
}

// told are the agreements as this process knows them; nil where nobody has told of any yet, although there are some.
func (n *node) told() (*flow.Book, error) {
	book, err := n.control.Agreements()
	if err == nil && len(n.seeds) > 0 && len(book.Triggers()) == 0 {
		return nil, nil
	}
	return book, err
}

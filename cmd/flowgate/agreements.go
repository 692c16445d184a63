package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

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
	_, err := n.db.EditAgreements(ctx, func(all []flow.Entry, now time.Time) (changed []flow.Entry, err error) {
		for _, a := range n.seeds {
			c := flow.Change{Act: flow.ActSeed, By: seeder, Reason: "the deployment's own file", At: now.UTC()}
			some, err := flow.Seed(slices.Concat(all, changed), a, c)
			if err != nil { // the others hold, and whoever has written agreements since has the say
				n.log.Warn("an agreement of the settings' file is not put in force", zap.String("trigger", a.Trigger), zap.Error(err))
			}
			changed = append(changed, some...)
		}
		return changed, nil
	})
	if err != nil {
		return environmentError{fmt.Errorf("seeding agreements: %w", err)}
	}
	if err := publishAgreements(ctx, n.db, n.js); err != nil {
		return environmentError{err}
	}
	return nil
}

// publishAgreements is the chore that tells every process of agreements whose change was recorded and not told: whoever changed them may
// have died in between, the bucket may have been made anew, or the database may be an older one than the bucket has heard of.
func (n *node) publishAgreements() func(context.Context) error {
	told := int64(-1)
	return func(ctx context.Context) error {
		revision, err := n.db.AgreementRevision(ctx)
		if err != nil {
			return err
		}
		complete, newest := n.control.Told()
		if newest > revision {
			if revision, err = n.db.RaiseAgreements(ctx, newest); err != nil {
				return err
			}
		}
		if complete && revision == told {
			return nil
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
	revision, err := db.AgreementRevision(ctx) // before the rest: what is written meanwhile is not taken for gone
	if err != nil {
		return err
	}
	all, err := db.Agreements(ctx)
	if err != nil {
		return err
	}
	return control.PublishAgreements(ctx, js, flow.Governing(all), revision)
}

// told are the agreements as this process knows them; nil where not all have been told yet.
func (n *node) told() (*flow.Book, error) {
	if complete, _ := n.control.Told(); !complete {
		return nil, nil
	}
	return n.control.Agreements()
}

package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flowgate/pipelines/flow"
)

// Seal is the deployment's: its migration made it.
func (db *DB) Seal(ctx context.Context) (flow.Seal, error) {
	all, err := collect(ctx, db, pgx.RowTo[[]byte], "SELECT secret FROM seal")
	switch {
	case err != nil:
		return flow.Seal{}, fmt.Errorf("reading the seal of actions: %w", err)
	case len(all) != 1 || len(all[0]) != flow.SealBytes:
		return flow.Seal{}, fmt.Errorf("reading the seal of actions: there is none of %d bytes", flow.SealBytes)
	}
	return flow.Seal(all[0]), nil
}

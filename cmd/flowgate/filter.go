package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"flowgate/worker/postgres"
)

// filterFlags narrow a listing.
type filterFlags struct {
	status, reason, user, since string
	limit                       int
}

func (f *filterFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.status, "status", "", "only this status")
	cmd.Flags().StringVar(&f.reason, "reason", "", "only this reason code")
	cmd.Flags().StringVar(&f.user, "user", "", "only this user")
	cmd.Flags().StringVar(&f.since, "since", "", "only newer ones: a `time` (RFC 3339) or an age such as 24h")
	cmd.Flags().IntVar(&f.limit, "limit", 100, "at most this many rows")
}

func (f *filterFlags) filter(g *globals) (postgres.Filter, error) {
	if f.limit < 1 {
		return postgres.Filter{}, usageError{fmt.Errorf("flag --limit must be at least 1")}
	}
	filter := postgres.Filter{Tenant: g.tenant, Status: f.status, Reason: f.reason, User: f.user, Limit: f.limit}
	if f.since == "" {
		return filter, nil
	}
	if age, err := time.ParseDuration(f.since); err == nil {
		filter.Since = time.Now().Add(-age)
		return filter, nil
	}
	at, err := time.Parse(time.RFC3339, f.since)
	if err != nil {
		return filter, usageError{fmt.Errorf("flag --since must be an age such as 24h or a time such as 2026-01-31T12:00:00Z")}
	}
	filter.Since = at
	return filter, nil
}

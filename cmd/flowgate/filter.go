package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
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
	if f.status != "" && !slices.Contains(messages.Statuses(), messages.Status(f.status)) {
		return postgres.Filter{}, usageError{fmt.Errorf("flag --status must be one of %s", listed(messages.Statuses()))}
	}
	if known := reasons(); f.reason != "" && !slices.Contains(known, messages.Reason(f.reason)) {
		return postgres.Filter{}, usageError{fmt.Errorf("flag --reason must be one of %s", listed(known))}
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

func reasons() []messages.Reason {
	list := messages.ReasonList()
	codes := make([]messages.Reason, len(list))
	for i, info := range list {
		codes[i] = info.Reason
	}
	return codes
}

func listed[S ~string](words []S) string {
	plain := make([]string, len(words))
	for i, w := range words {
		plain[i] = string(w)
	}
	return strings.Join(plain, ", ")
}

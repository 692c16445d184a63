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
	var err error
	filter.Since, err = ago("since", f.since)
	return filter, err
}

// window makes a filter one over many requests.
func (f *filterFlags) window(cmd *cobra.Command) {
	limit := cmd.Flags().Lookup("limit")
	limit.Usage, limit.DefValue, f.limit = "at most this many requests, the newest", "10000", 10_000
}

// ago reads a time of a flag: a time, or an age.
func ago(flag, text string) (time.Time, error) {
	if age, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-age), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usageError{fmt.Errorf("flag --%s must be an age such as 24h or a time such as 2026-01-31T12:00:00Z", flag)}
	}
	return at, nil
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

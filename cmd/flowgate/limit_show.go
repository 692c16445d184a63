package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
	"flowgate/worker/control"
	"flowgate/worker/postgres"
)

// limitWindow is a minute or an hour of a limit, as it stands.
type limitWindow struct {
	Kind   corporate.RateKind `json:"kind"`
	Name   string             `json:"name"`
	Window corporate.Window   `json:"window"`
	// Requests and Tokens are the limits (0: none), RequestsUsed and TokensUsed what counts now.
	Requests     int64            `json:"requests"`
	RequestsUsed int64            `json:"requests_used"`
	Tokens       int64            `json:"tokens"`
	TokensUsed   int64            `json:"tokens_used"`
	Excess       corporate.Excess `json:"excess,omitempty"`
	// Waiting is how many requests wait for it.
	Waiting int64 `json:"waiting"`
	// RoomAt is when there is room again, for one request and one token; absent where there is.
	RoomAt *time.Time `json:"room_at,omitempty"`
	// FreeAt is when all of it is free, if nobody asks; absent where it is.
	FreeAt *time.Time `json:"free_at,omitempty"`
}

func newLimitShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "show [KIND [NAME]]", Short: "Show limits, what of them is used now, and when it is free", Args: cobra.RangeArgs(0, 2),
		Long: "Shows every limit that was set, the settings' own, and each who has asked under a limit of everybody. ROOM is when the next request\n" +
			"has room, FREE when all of it is free if nobody asks.",
		Example: "  flowgate limit show\n  flowgate limit show user anna --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			windows, err := g.limitWindows(cmd, args)
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), windows)
			}
			rows := make([][]string, len(windows))
			for i, w := range windows {
				rows[i] = []string{
					string(w.Kind), w.Name, string(w.Window), usedText(w.RequestsUsed, w.Requests), usedText(w.TokensUsed, w.Tokens),
					fmt.Sprint(w.Waiting), whenText(w.RoomAt), whenText(w.FreeAt),
				}
			}
			return table(cmd.OutOrStdout(), "KIND NAME WINDOW REQUESTS TOKENS WAITING ROOM FREE", rows)
		},
	}
}

func usedText(used, limit int64) string {
	if limit == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", used, limit)
}

func whenText(t *time.Time) string {
	if t == nil {
		return "now"
	}
	return t.UTC().Format(time.RFC3339)
}

func (g *globals) limitWindows(cmd *cobra.Command, args []string) ([]limitWindow, error) {
	kind, name := corporate.RateKind(""), ""
	if len(args) > 0 {
		if kind = corporate.RateKind(args[0]); !kind.Known() {
			return nil, usageError{fmt.Errorf("%.40q is no kind of limit; use user, department, tenant, model or backend", args[0])}
		}
	}
	if len(args) > 1 {
		k, err := g.limitKey(args)
		if err != nil {
			return nil, usageError{err}
		}
		if name = k.Name; kind == corporate.RateTenant {
			name = g.tenant
		}
	}
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	c, err := reach(cmd.Context(), g, true)
	if err != nil {
		return nil, err
	}
	defer c.close()
	limits, err := control.ListLimits(cmd.Context(), c.js, g.tenant)
	if err != nil {
		return nil, bucketError(err)
	}
	prefixes := []string{"rate:" + g.tenant + "/", "rate:" + messages.SystemTenant + "/" + string(corporate.RateBackend) + "/"}
	counted, now, err := c.db.Counted(cmd.Context(), prefixes, mostCounted)
	if err != nil {
		return nil, err
	}
	var own corporate.RateLimits
	own.RequestsMinute, own.RequestsHour = settings.Security.Access.RateLimit.InForce()
	all := limitWindowsOf(g.tenant, limits, own, counted, now)
	return slices.DeleteFunc(all, func(w limitWindow) bool { return kind != "" && w.Kind != kind || name != "" && w.Name != name }), nil
}

// mostCounted bounds how many windows are looked at.
const mostCounted = 20_000

// limitWindowsOf joins limits and what was counted.
func limitWindowsOf(tenant string, limits []control.Limit, settings corporate.RateLimits, counted []postgres.Counted, now time.Time) []limitWindow {
	type whose struct {
		kind corporate.RateKind
		name string
	}
	of := map[whose]corporate.RateLimits{}
	if settings != (corporate.RateLimits{}) {
		of[whose{corporate.RateTenant, control.Everybody}] = settings
	}
	for _, l := range limits {
		own := l.Limits()
		if l.Kind == corporate.RateTenant {
			own = own.Over(settings)
		}
		of[whose{l.Kind, l.Name}] = own
	}
	all := []limitWindow{}
	add := func(who whose, w corporate.Window, c postgres.Counted) {
		l, has := of[who]
		if !has {
			l = of[whose{who.kind, control.Everybody}]
		}
		requests, tokens := l.In(w)
		if requests == 0 && tokens == 0 {
			return
		}
		shown := limitWindow{Kind: who.kind, Name: who.name, Window: w, Requests: requests, Tokens: tokens, Excess: l.Excess, Waiting: c.Waiting}
		if who.kind == corporate.RateTenant {
			shown.Name = tenant
		}
		shown.reckon(c, now)
		all = append(all, shown)
	}
	found := map[whose]map[corporate.Window]postgres.Counted{}
	for _, c := range counted {
		kind, name, w, ok := corporate.ParseRateName(c.Name)
		if !ok {
			continue
		}
		if kind == corporate.RateTenant {
			name = control.Everybody
		}
		if found[whose{kind, name}] == nil {
			found[whose{kind, name}] = map[corporate.Window]postgres.Counted{}
		}
		found[whose{kind, name}][w] = c
	}
	for who := range of {
		if found[who] == nil {
			found[who] = nil
		}
	}
	for who, windows := range found {
		for _, w := range corporate.Windows() {
			add(who, w, windows[w])
		}
	}
	slices.SortFunc(all, func(a, b limitWindow) int {
		kinds, windows := corporate.RateKinds(), corporate.Windows()
		if a.Kind != b.Kind {
			return slices.Index(kinds, a.Kind) - slices.Index(kinds, b.Kind)
		}
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return slices.Index(windows, a.Window) - slices.Index(windows, b.Window)
	})
	return all
}

// reckon fills in what is used, and when it is free.
func (w *limitWindow) reckon(c postgres.Counted, now time.Time) {
	span := w.Window.Span()
	later := func(at *time.Time, wait time.Duration) *time.Time {
		if then := now.Add(wait); wait > 0 && (at == nil || then.After(*at)) {
			return &then
		}
		return at
	}
	for _, m := range []struct {
		limit   int64
		used    *int64
		counter corporate.Counter
	}{
		{w.Requests, &w.RequestsUsed, corporate.Counter{Index: c.Index, Now: c.Requests, Before: c.RequestsBefore}},
		{w.Tokens, &w.TokensUsed, corporate.Counter{Index: c.Index, Now: c.Tokens, Before: c.TokensBefore}},
	} {
		*m.used = m.counter.Used(now, span)
		if m.limit == 0 {
			continue
		}
		if *m.used+1 > m.limit {
			w.RoomAt = later(w.RoomAt, m.counter.Wait(now, span, 1, m.limit))
		}
		if *m.used > 0 {
			w.FreeAt = later(w.FreeAt, m.counter.Wait(now, span, m.limit, m.limit))
		}
	}
}

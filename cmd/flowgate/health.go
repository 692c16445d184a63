package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/worker/fleet"
	"flowgate/worker/sessions"
)

func newHealth(g *globals) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "health [SERVICE…]", Short: "Show how the services are that flowgate depends on", Args: cobra.ArbitraryArgs, ValidArgs: serviceNames(),
		Long: "Shows what the running processes know of " + strings.Join(serviceNames(), ", ") + ": each asks them in the\n" +
			"background (flowgate.probes). Where no process answers, this command asks the services of the settings itself.\n" +
			"A service that is not configured is unused and does no harm. Exit code 0: every used service is healthy; 1: one is\n" +
			"degraded, unhealthy or unknown; 3: there is nothing to ask.",
		Example: "  flowgate health\n  flowgate health --json s3 bedrock\n  flowgate health --watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if !slices.Contains(serviceNames(), name) {
					return usageError{fmt.Errorf("unknown service %q: must be of %s", name, strings.Join(serviceNames(), ", "))}
				}
			}
			asker, err := newAsker(cmd.Context(), g, args)
			if err != nil {
				return err
			}
			defer asker.close()
			if watch {
				return asker.watch(cmd.Context(), cmd.OutOrStdout(), g.json)
			}
			seen, err := asker.ask(cmd.Context())
			if err != nil {
				return err
			}
			return seen.show(cmd.OutOrStdout(), g.json)
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on: redraw on a terminal, print changes elsewhere; Ctrl-C ends")
	return cmd
}

// view is what one process sees of the services.
type view struct {
	Worker string            `json:"worker,omitempty"`
	Host   string            `json:"host,omitempty"`
	Health []sessions.Health `json:"health"`
}

// sight is what was seen when it was asked.
type sight struct {
	// OK tells that every used service is healthy.
	OK    bool           `json:"ok"`
	State sessions.State `json:"state"`
	// Asked is processes, or settings where this command asked by itself; Why says why no process was asked.
	Asked string `json:"asked"`
	Why   string `json:"why,omitempty"`
	Views []view `json:"processes"`
}

// asker asks the fleet, else the services themselves.
type asker struct {
	only     []string
	settings configs.Settings
	client   *client // nil where no broker was reached
	direct   *direct // nil where processes answer
	why      string
}

func newAsker(ctx context.Context, g *globals, only []string) (*asker, error) {
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	a := &asker{only: only, settings: settings}
	if a.client, err = reach(ctx, g, false); err != nil {
		var environment environmentError
		if ctx.Err() != nil || !errors.As(err, &environment) {
			return nil, err
		}
		a.why = sessions.Printable(err)
	}
	return a, nil
}

func (a *asker) close() {
	if a.client != nil {
		a.client.close()
	}
	if a.direct != nil {
		a.direct.close()
	}
}

// ask asks the processes; where none answers, the services. An error is one of this machine: there is nothing to ask.
func (a *asker) ask(ctx context.Context) (sight, error) {
	if a.client != nil {
		found, err := fleet.Ask(ctx, a.client.conn)
		if err == nil && len(found.Answers) > 0 {
			return a.ofFleet(found), nil
		}
		a.why = "no process answers at this broker"
	}
	if a.direct == nil {
		made, err := newDirect(a.settings, a.client, os.LookupEnv)
		if err != nil {
			return sight{}, err
		}
		a.direct = made
	}
	all := a.chosen(a.direct.monitor.Once(ctx))
	if ctx.Err() != nil {
		return sight{}, ctx.Err()
	}
	if len(a.only) == 0 && !slices.ContainsFunc(all, func(h sessions.Health) bool { return !h.Unused }) {
		return sight{}, environmentError{fmt.Errorf("there is nothing to ask: %s, and settings name no service", a.why)}
	}
	return newSight("settings", a.why, []view{{Health: all}}), nil
}

func (a *asker) ofFleet(f fleet.Fleet) sight {
	var views []view
	for _, answer := range f.Answers {
		health := a.chosen(answer.Health)
		if len(answer.Health) == 0 {
			health = []sessions.Health{{Service: "all", State: sessions.StateUnknown, Error: "the process tells nothing of its services"}}
		}
		views = append(views, view{Worker: answer.Worker, Host: answer.Host, Health: health})
	}
	return newSight("processes", "", views)
}

func newSight(asked, why string, views []view) sight {
	var all []sessions.Health
	for _, v := range views {
		all = append(all, v.Health...)
	}
	ill := func(h sessions.Health) bool { return !h.Unused && h.State != sessions.StateHealthy }
	return sight{OK: !slices.ContainsFunc(all, ill), State: sessions.Worst(all), Asked: asked, Why: why, Views: views}
}

// chosen are the services that were asked for, in the order in which they are shown.
func (a *asker) chosen(all []sessions.Health) []sessions.Health {
	var some []sessions.Health
	for _, h := range all {
		if len(a.only) == 0 || slices.Contains(a.only, h.Service) {
			some = append(some, h)
		}
	}
	rank := func(h sessions.Health) int { return slices.Index(serviceNames(), h.Service) }
	slices.SortStableFunc(some, func(x, y sessions.Health) int { return rank(x) - rank(y) })
	return some
}

// show prints what was seen, and fails unless every used service is healthy.
func (s sight) show(w io.Writer, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(w, s)
	} else {
		err = s.table(w)
	}
	return verdict(err, s.OK)
}

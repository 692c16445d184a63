package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/worker/fleet"
	"flowgate/worker/sessions"
	"flowgate/worker/statistics"
)

func newBackends(g *globals) *cobra.Command {
	var check, models bool
	cmd := &cobra.Command{
		Use: "backends [NAME…]", Short: "Show the backends of models in their order: used or why not, breaker, pace, calls, errors", ValidArgs: configs.BackendNames(),
		Long: "Shows " + strings.Join(configs.BackendNames(), ", ") + " as the running processes see them; where none answers, as settings and\n" +
			"environment have them. NAME shows everything about some. --check asks each that is used for real, without a bill: GET /models\n" +
			"of Anthropic and OpenAI, a call without messages of Bedrock, the health of MLflow. Exit code 1: --check found one that fails.",
		Example: "  flowgate backends\n  flowgate backends bedrock --check\n  flowgate backends --models\n  flowgate backends --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if !slices.Contains(configs.BackendNames(), name) {
					return usageError{fmt.Errorf("unknown backend %q: must be of %s", name, strings.Join(configs.BackendNames(), ", "))}
				}
			}
			seen, err := lookAtBackends(cmd.Context(), g, args)
			if err != nil {
				return err
			}
			if models {
				return seen.showModels(cmd.OutOrStdout(), g.json)
			}
			if check {
				if err := seen.check(cmd.Context()); err != nil {
					return err
				}
			}
			return seen.show(cmd.OutOrStdout(), g.json, len(args) > 0)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "ask each backend that is used whether it answers")
	cmd.Flags().BoolVar(&models, "models", false, "list the models with a price: aliases, who serves them in order, price, retirement")
	return cmd
}

// backendsView is what is known of all backends.
type backendsView struct {
	// Asked is processes, or settings where none answers; Why says why not.
	Asked     string        `json:"asked"`
	Why       string        `json:"why,omitempty"`
	Processes int           `json:"processes"`
	Backends  []backendView `json:"backends"`
	// Warnings are of settings by which requests can go nowhere.
	Warnings []configs.Warning `json:"warnings,omitempty"`

	settings configs.Settings
	health   []sessions.Health // as the processes see it
}

// backendView is one backend over all processes.
type backendView struct {
	fleet.Backend

	// State is skipped, available, blocked (by the provider, for a while), held (by a breaker), partly (some models), or what a check
	// found that failed; Stops say what is not asked now, and until when.
	State string `json:"state"`
	Stops []stop `json:"stops,omitempty"`
	// Used tells whether a process uses it, or would by the settings.
	Used bool `json:"used"`
	// Processes is how many use it, of those that have layer 2.
	Processes int `json:"processes"`
	// Calls are those of the last five minutes, in all processes; LastErrorCode is the provider's.
	Calls         *statsLine `json:"calls,omitempty"`
	LastErrorCode string     `json:"last_error_code,omitempty"`
	// Check is what asking it found; absent where nobody asked.
	Check *checkView `json:"check,omitempty"`
}

// lookAtBackends asks the processes; where none with layer 2 answers, settings and environment.
func lookAtBackends(ctx context.Context, g *globals, only []string) (*backendsView, error) {
	settings, err := g.load()
	if err != nil {
		return nil, err
	}
	prices, err := configs.PricesOf(settings)
	if err != nil {
		return nil, usageError{err}
	}
	v := &backendsView{Asked: "processes", settings: settings}
	fleetNow, err := v.ask(ctx, g)
	if err != nil {
		return nil, err
	}
	v.gather(fleetNow)
	if v.Processes == 0 {
		v.Asked = "settings"
		v.Backends = viewsOf(detect(settings, os.LookupEnv), prices, time.Now())
	}
	if warning := v.unservedDefault(prices, time.Now()); warning != "" {
		v.Warnings = append(v.Warnings, configs.Warning{Key: defaultModelKey, Text: warning})
	}
	if len(only) > 0 {
		v.Backends = slices.DeleteFunc(v.Backends, func(b backendView) bool { return !slices.Contains(only, b.Name) })
	}
	return v, nil
}

// ask asks the fleet; a machine that has none to ask is no error.
func (v *backendsView) ask(ctx context.Context, g *globals) (fleet.Fleet, error) {
	c, err := reach(ctx, g, false)
	var environment environmentError
	switch {
	case err == nil:
	case errors.As(err, &environment) && ctx.Err() == nil:
		v.Why = sessions.Printable(err)
		return fleet.Fleet{}, nil
	default:
		return fleet.Fleet{}, err
	}
	defer c.close()
	found, err := fleet.Ask(ctx, c.conn)
	if err != nil {
		return found, environmentError{err}
	}
	v.Why = "no process with layer 2 answers at this broker"
	return found, nil
}

// gather puts the processes' answers together, in the order of the first.
func (v *backendsView) gather(f fleet.Fleet) {
	counted := f.Statistics()
	for i := range f.Answers {
		if len(f.Answers[i].BackendStates) == 0 {
			continue
		}
		v.Processes++
		v.health = append(v.health, f.Answers[i].Health...)
		for _, told := range f.Answers[i].BackendStates {
			at := slices.IndexFunc(v.Backends, func(b backendView) bool { return b.Name == told.Name })
			if at < 0 {
				v.Backends, at = append(v.Backends, backendView{Backend: told}), len(v.Backends)
			} else {
				v.Backends[at].merge(told)
			}
			if told.Skipped == "" {
				v.Backends[at].Used = true
				v.Backends[at].Processes++
			}
		}
	}
	if v.Processes > 0 {
		v.Why = ""
	}
	for i := range v.Backends {
		v.Backends[i].count(counted, v.health)
	}
}

// count takes what the processes counted of the backend, and where they found its credentials.
func (b *backendView) count(counted statistics.Snapshot, health []sessions.Health) {
	for i := range counted.Backends {
		if line := &counted.Backends[i]; line.Name == b.Name {
			calls := statsOf(line, statistics.FiveMinutes, true)
			b.Calls, b.LastErrorCode = &calls, line.LastErrorCode
		}
	}
	for _, h := range health {
		if h.Service == b.Name && !h.Unused && h.Source != "" {
			b.Source = h.Source
		}
	}
}

// merge adds what another process tells: who uses it knows it, and of several the worst standing counts.
func (b *backendView) merge(told fleet.Backend) {
	if b.Skipped != "" && told.Skipped == "" {
		b.Backend = told
		return
	}
	if told.Skipped != "" {
		return
	}
	if breakerRank(told.Breaker) > breakerRank(b.Breaker) {
		b.Breaker = told.Breaker
	}
	if told.HeldUntil.After(b.HeldUntil) {
		b.HeldUntil, b.HeldBy = told.HeldUntil, told.HeldBy
	}
	for _, m := range told.ModelBreakers {
		if !slices.ContainsFunc(b.ModelBreakers, func(o fleet.ModelBreaker) bool { return o.Model == m.Model }) {
			b.ModelBreakers = append(b.ModelBreakers, m)
		}
	}
	for _, p := range told.Paces {
		at := slices.IndexFunc(b.Paces, func(q fleet.Pace) bool { return q.Model == p.Model })
		if at < 0 {
			b.Paces = append(b.Paces, p)
			continue
		}
		q := &b.Paces[at]
		q.Waiting, q.Away = q.Waiting+p.Waiting, q.Away+p.Away
		q.PerSecond = max(q.PerSecond, p.PerSecond)
		if p.BlockedUntil.After(q.BlockedUntil) {
			q.BlockedUntil = p.BlockedUntil
		}
	}
}

// breakerRank orders the states of a breaker, best first.
func breakerRank(state string) int {
	return slices.Index([]string{"", "closed", "half_open", "held", "open", "unhealthy"}, state)
}

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"flowgate/configs"
)

// serve starts a process, says when it is ready, and runs it until it is interrupted or breaks; then it drains.
func serve(cmd *cobra.Command, g *globals, l launch) error {
	began := time.Now()
	tune(l.settings.Performance.Memory)
	l.verbose = g.verbose
	if g.warnings > 0 && !g.verbose {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "flowgate: the settings have %d warning(s): `flowgate config check %s` lists them\n", g.warnings, g.config) // a hint
	}
	n, err := startNode(cmd.Context(), l)
	if err != nil && cmd.Context().Err() != nil {
		return fmt.Errorf("interrupted while starting, nothing is left running: %w", err)
	}
	if err != nil {
		return err
	}
	if warning := n.unservedDefault(); warning != "" {
		n.log.Warn("the default model is served by no backend", zap.String("setting", defaultModelKey), zap.String("why", warning))
	}
	if err = n.sayReady(cmd, g, time.Since(began)); err == nil {
		select {
		case <-cmd.Context().Done():
		case err = <-n.broken:
		}
	}
	if stopped := n.stop(); err == nil {
		err = stopped
	}
	return err
}

// sayBackends names the backends in the order in which they are tried, and says of each other one in one line why it is not used.
func (n *node) sayBackends() string {
	if len(n.found) == 0 { // another process has layer 2
		return ""
	}
	var said strings.Builder
	fmt.Fprintf(&said, "  backends  %s\n", cmp.Or(strings.Join(n.serving, ", "), "none: nothing can answer"))
	for _, f := range n.found {
		if why := f.skipped(); why != "" {
			fmt.Fprintf(&said, "            %s: %s\n", f.Name, why)
		}
	}
	if slices.Equal(n.serving, []string{configs.OfflineName}) {
		said.WriteString("  The offline backend is no model: it says so in every answer.\n")
	}
	if warning := n.unservedDefault(); warning != "" {
		fmt.Fprintf(&said, "  warning   %s: %s\n", defaultModelKey, warning)
	}
	return said.String()
}

// unservedDefault says that requests which name no model can go nowhere; empty: they can, or this process has no layer 2.
func (n *node) unservedDefault() string {
	v := backendsView{settings: n.settings, Backends: viewsOf(n.found, n.prices, time.Now())}
	return v.unservedDefault(n.prices, time.Now())
}

// sayReady prints that the process works, and where.
func (n *node) sayReady(cmd *cobra.Command, g *globals, took time.Duration) error {
	url := n.conn.ConnectedUrlRedacted()
	if n.broker != nil {
		url = n.broker.URL()
	}
	if g.json {
		said := map[string]any{
			"ready": true, "nats_url": url, "state": n.folder.Dir(), "worker": n.folder.WorkerID(), "backends": n.serving,
			"start_seconds": took.Seconds(), "layers": n.roles.strings(), "http_url": n.httpURL(),
		}
		if warning := n.unservedDefault(); warning != "" {
			said["warnings"] = []configs.Warning{{Key: defaultModelKey, Text: warning}}
		}
		return printJSON(cmd.OutOrStdout(), said)
	}
	out := cmd.OutOrStdout()
	title := "flowgate is up"
	if !n.own {
		title = "flowgate worker is ready: " + strings.Join(n.roles.strings(), ", ")
	}
	_, err := fmt.Fprintf(out, "%s (%.1f s)\n  broker    %s\n  state     %s\n", title, took.Seconds(), url, n.folder.Dir())
	if err == nil && n.console != nil {
		_, err = fmt.Fprintf(out, "  http      %s (/livez, /readyz, /metrics)\n", n.httpURL())
	}
	if err == nil {
		_, err = io.WriteString(out, n.sayBackends())
	}
	if err == nil {
		_, err = fmt.Fprintln(out, "Ctrl-C drains and stops.")
	}
	return err
}

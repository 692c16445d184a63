package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/worker/state"
)

// probeTime bounds a probe, and probeBytes what is read of the answer.
const (
	probeTime  = 5 * time.Second
	probeBytes = 64 << 10
)

func newProbe(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "probe", Short: "Ask the process of this machine whether it is ready, for containers without a shell", Args: cobra.NoArgs,
		Long: "Asks /readyz at the address flowgate.http (FLOWGATE_HTTP wins); where that names no port, at the one of the process that runs\n" +
			"in the state folder. Prints what is missing, and ends with 0 if the process is ready, 1 if it is not, 3 if nobody answers.",
		Example: "  FLOWGATE_HTTP=127.0.0.1:4280 flowgate probe",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := g.load()
			if err != nil {
				return err
			}
			url, err := g.readyURL(settings)
			if err != nil {
				return err
			}
			ready, said, err := askReady(cmd.Context(), url)
			if err != nil {
				return environmentError{err}
			}
			if g.json {
				err = printJSON(cmd.OutOrStdout(), map[string]any{"ready": ready, "said": said})
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			}
			return verdict(err, ready)
		},
	}
}

// readyURL is where the process of this machine tells whether it is ready. A port of its own choice stands in its state folder.
func (g *globals) readyURL(settings configs.Settings) (string, error) {
	const path = "/readyz"
	address := settings.Flowgate.HTTP
	if _, port, err := net.SplitHostPort(address); err == nil && port != "0" {
		return "http://" + address + path, nil
	}
	if dir, err := g.dir(settings); err == nil && address != "" {
		info, err := state.Read(dir)
		if errors.Is(err, state.ErrNotRunning) {
			info, err = state.ReadWorkers(dir)
		}
		if err == nil && info.HTTPURL != "" {
			return info.HTTPURL + path, nil
		}
	}
	if address == configs.HTTPAuto {
		return "http://" + upHTTP + path, nil
	}
	return "", usageError{errors.New("flowgate.http names no port to ask, and no process in the state folder tells its own: set it, or FLOWGATE_HTTP, to an address such as " + upHTTP)}
}

// askReady asks one address once.
func askReady(ctx context.Context, url string) (ready bool, said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, "", fmt.Errorf("asking %s: %w", url, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine
	answer, err := client.Do(request)
	if err != nil {
		return false, "", fmt.Errorf("asking whether the process is ready: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, probeBytes))
	if err != nil {
		return false, "", fmt.Errorf("reading whether the process is ready: %w", err)
	}
	return answer.StatusCode == http.StatusOK, strings.TrimSpace(string(body)), nil
}

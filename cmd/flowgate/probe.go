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
)

// probeTime bounds a probe, and probeBytes what is read of the answer.
const (
	probeTime  = 5 * time.Second
	probeBytes = 64 << 10
)

func newProbe(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "probe", Short: "Ask the process of this machine whether it is ready, for containers without a shell", Args: cobra.NoArgs,
		Long: "Asks /readyz at the address flowgate.http (FLOWGATE_HTTP wins), prints what is missing, and ends with 0 if the process is\n" +
			"ready, 1 if it is not, 3 if nobody answers.",
		Example: "  FLOWGATE_HTTP=127.0.0.1:4280 flowgate probe",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := g.load()
			if err != nil {
				return err
			}
			address := settings.Flowgate.HTTP
			if address == configs.HTTPAuto {
				address = upHTTP
			}
			if _, port, err := net.SplitHostPort(address); err != nil || port == "0" {
				return usageError{errors.New("flowgate.http names no port to ask: set it, or FLOWGATE_HTTP, to an address such as " + upHTTP)}
			}
			ready, said, err := askReady(cmd.Context(), "http://"+address+"/readyz")
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

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"flowgate/worker/sessions"
)

// watching is how a board is drawn.
type watching struct {
	every, timeout time.Duration
	once           bool
}

func newBoard(g *globals) *cobra.Command {
	var w watching
	cmd := &cobra.Command{
		Use: "board", Short: "Show how everything stands: services, gateways, agreements, queues, money, and why", Args: cobra.NoArgs,
		Long: "Asks broker, database and every process at once, each for --timeout at most, and shows services, gateways, backends,\n" +
			"agreements with their executions of the last hour, queues, dead letters, money and pauses. The state is healthy, degraded,\n" +
			"unhealthy or unknown, with each reason; what cannot be asked is unknown, and unknown is never healthy. On a terminal it is\n" +
			"drawn again every --every until Ctrl-C, elsewhere once. --json prints one document, with --every one a line.\n" +
			"Exit code of what is printed once: 0: healthy; 1: it is not; 3: the broker cannot be reached.",
		Example: "  flowgate board\n  flowgate board --once\n  flowgate board --json --every 10s",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if w.every < 200*time.Millisecond || w.every > time.Hour || w.timeout < 100*time.Millisecond || w.timeout > time.Minute {
				return usageError{errors.New("flag --every must be from 200ms to 1h, --timeout from 100ms to 1m")}
			}
			return w.run(cmd, g)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&w.once, "once", false, "print it once, also on a terminal")
	f.DurationVar(&w.every, "every", watchEvery, "how often it is drawn again")
	f.DurationVar(&w.timeout, "timeout", 3*time.Second, "how long each part may take to answer")
	return cmd
}

// run draws until it is interrupted, or once.
func (w *watching) run(cmd *cobra.Command, g *globals) error {
	settings, err := g.load()
	if err != nil {
		return err
	}
	r := &reporter{g: g, settings: settings, timeout: w.timeout}
	defer r.close()
	out := cmd.OutOrStdout()
	terminal := out == io.Writer(os.Stdout) && isTerminal(os.Stdout) && !g.json
	once := w.once || !terminal && !cmd.Flags().Changed("every")
	for ctx := cmd.Context(); ; {
		began := time.Now()
		b := r.look(ctx)
		switch {
		case ctx.Err() != nil && !once:
			return nil // an interrupt ends it as it should
		case ctx.Err() != nil:
			return ctx.Err()
		case terminal && !once:
			err = b.draw(os.Stdout)
		case g.json && !once:
			err = json.NewEncoder(out).Encode(b)
		case g.json:
			err = printJSON(out, b)
		default:
			err = b.write(newPage(out))
		}
		if once || err != nil {
			return b.verdict(err)
		}
		if !sleep(ctx, max(w.every-time.Since(began), 100*time.Millisecond)) {
			return nil
		}
	}
}

// verdict ends a command that has printed a board once.
func (b *board) verdict(printing error) error {
	if printing == nil && b.away != "" {
		return environmentError{fmt.Errorf("the broker cannot be reached: %s", b.away)}
	}
	return verdict(printing, b.State == sessions.StateHealthy)
}

// draw prints a board over the one before, as much of it as the terminal has lines.
func (b *board) draw(f *os.File) error {
	var text bytes.Buffer
	p := newPage(f)
	p.w = &text
	if err := b.write(p); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	if most := terminalHeight(f); most > 1 && len(lines) >= most {
		lines = append(lines[:most-2], "…")
	}
	_, err := io.WriteString(f, "\x1b[H"+strings.Join(lines, "\x1b[K\n")+"\x1b[K\n\x1b[J")
	return err
}

// terminalHeight is how many lines the terminal has which f is; 0: it is none.
func terminalHeight(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ) //nolint:gosec // a file descriptor is small
	if err != nil {
		return 0
	}
	return int(size.Row)
}

// bounded is ctx with the time that each part has.
func (r *reporter) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.timeout)
}

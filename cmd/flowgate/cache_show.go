package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"flowgate/worker/broker"
	"flowgate/worker/cache"
)

// cacheStats is what stats shows.
type cacheStats struct {
	// Enabled tells whether settings let answers be cached.
	Enabled bool `json:"enabled"`
	cache.Surveyed

	// Shared is the level that workers share; null where it was not reached.
	Shared *broker.CacheStand `json:"shared"`
}

func newCacheStats(g *globals) *cobra.Command {
	var family string
	cmd := &cobra.Command{
		Use: "stats", Short: "Show files, hit rate, and money and time saved, by family", Args: cobra.NoArgs,
		Long: "Shows for each family of models the files and their size, how often an answer was found and how often not, and what the calls had\n" +
			"cost and taken that were not made again. All processes of the state folder are counted together, those that have ended too; of those\n" +
			"that run, what they have counted until two seconds ago.",
		Example: "  flowgate cache stats\n  flowgate cache stats --family claude --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := g.cacheTarget(family)
			if err != nil {
				return err
			}
			s := cacheStats{Enabled: cacheRules(t.settings).Enabled}
			if s.Surveyed, err = cache.Survey(t.dir, time.Now()); err != nil {
				return environmentError{err}
			}
			if t.family != "" {
				s.only(t.family)
			}
			if bucket, done, err := t.shared(cmd.Context(), g); err == nil {
				defer done()
				if stand, err := bucket.Stand(cmd.Context()); err == nil {
					s.Shared = &stand
				}
			}
			return g.showCache(cmd, s)
		},
	}
	cmd.Flags().StringVar(&family, "family", "", "only this `family` of models, such as claude")
	return cmd
}

// only leaves one family.
func (s *cacheStats) only(family string) {
	s.Families = slices.DeleteFunc(s.Families, func(f cache.FamilyStats) bool { return f.Family != family })
	s.Total = cache.FamilyStats{}
	if len(s.Families) > 0 {
		s.Total = s.Families[0]
		s.Total.Family = ""
	}
}

func (g *globals) showCache(cmd *cobra.Command, s cacheStats) error {
	out := cmd.OutOrStdout()
	if g.json {
		return printJSON(out, s)
	}
	total := s.Total
	total.Family = "all"
	rows := make([][]string, 0, len(s.Families)+1)
	for _, f := range append(slices.Clone(s.Families), total) {
		rows = append(rows, []string{
			f.Family, strconv.Itoa(f.Files), sizeText(f.SizeBytes), strconv.FormatInt(f.Hits, 10), strconv.FormatInt(f.Misses, 10), rateText(f),
			dollars(f.SavedMicroUSD), fmt.Sprintf("%.1f s", f.SavedSeconds), clock(f.Oldest), clock(f.Newest),
		})
	}
	if err := table(out, "FAMILY FILES SIZE HITS MISSES HIT_RATE SAVED TIME_SAVED OLDEST NEWEST", rows); err != nil {
		return err
	}
	shared := "not reached"
	if s.Shared != nil {
		shared = fmt.Sprintf("%d answers, %s", s.Shared.Entries, sizeText(int64(s.Shared.Bytes))) //nolint:gosec // a stream is smaller
	}
	state := "on"
	if !s.Enabled {
		state = "off"
	}
	_, err := fmt.Fprintf(out, "cache is %s; files in %s; shared: %s\n", state, s.Dir, shared)
	return err
}

func rateText(f cache.FamilyStats) string {
	if f.Hits+f.Misses == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*f.HitRate)
}

// mostEntriesShown bounds what show lists.
const mostEntriesShown = 10_000

func newCacheShow(g *globals) *cobra.Command {
	var family string
	var limit int
	var content bool
	cmd := &cobra.Command{
		Use: "show", Short: "List cached answers, last used first", Args: cobra.NoArgs,
		Long: "Lists what is in the files: key, model, age, size, and the hits that are remembered of it. Texts are shown with --content alone: with\n" +
			"placeholders in the place of masked data, as the model saw and wrote them.",
		Example: "  flowgate cache show --limit 5\n  flowgate cache show --family claude --content --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := g.cacheTarget(family)
			if err == nil && (limit < 1 || limit > mostEntriesShown) {
				err = usageError{fmt.Errorf("flag --limit is %d, must be from 1 to %d", limit, mostEntriesShown)}
			}
			if err != nil {
				return err
			}
			now := time.Now()
			entries, err := cache.List(t.dir, t.family, t.settings.Cache.EncryptionKey.Reveal(), limit, now)
			if err != nil {
				return environmentError{err}
			}
			if !content {
				for i := range entries {
					entries[i].Request, entries[i].Response = nil, nil
				}
			}
			return g.showEntries(cmd, entries, now)
		},
	}
	cmd.Flags().StringVar(&family, "family", "", "only this `family` of models, such as claude")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many, a `number`")
	cmd.Flags().BoolVar(&content, "content", false, "show what was asked and answered")
	return cmd
}

func (g *globals) showEntries(cmd *cobra.Command, entries []cache.Shown, now time.Time) error {
	out := cmd.OutOrStdout()
	if g.json {
		return printJSON(out, entries)
	}
	rows := make([][]string, len(entries))
	for i, e := range entries {
		model, age := e.Model, "-"
		if !e.Readable {
			model = "(not readable: another encryption key, or broken)"
		}
		if !e.Created.IsZero() {
			age = now.Sub(e.Created).Round(time.Second).String()
		}
		rows[i] = []string{e.Key, e.Family, model, age, clock(e.Expires), sizeText(e.SizeBytes), strconv.FormatInt(e.Hits, 10)}
	}
	if err := table(out, "KEY FAMILY MODEL AGE EXPIRES SIZE HITS", rows); err != nil {
		return err
	}
	for _, e := range entries {
		if len(e.Response) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(out, "\n%s\n  asked     %s\n  answered  %s\n", e.Key, printable(string(e.Request)), printable(string(e.Response))); err != nil {
			return err
		}
	}
	return nil
}

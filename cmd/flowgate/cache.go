package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/ai"
	"flowgate/worker/broker"
	"flowgate/worker/cache"
	"flowgate/worker/s3"
)

func newCache(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cache", Short: "Show what the response cache holds and saved, and remove from it",
		Long: "Answers that were paid for are kept in files of this machine, <folder>/<family>/<sha256>.json.gz, and in a level that the workers\n" +
			"of all machines share, and are given again to the same question of the same tenant. These commands look at the files of the state\n" +
			"folder whether anything runs or not; the shared level they reach where something runs, or where NATS_URL names the broker.",
		Example: "  flowgate cache stats\n  flowgate cache show --family claude --limit 5\n  flowgate cache clear --family titan --yes\n  flowgate cache prune",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCacheStats(g), newCacheShow(g), newCacheClear(g), newCachePrune(g))
	return cmd
}

// cacheTarget is the cache that a command is about.
type cacheTarget struct {
	settings    configs.Settings
	dir, family string
}

func (g *globals) cacheTarget(family string) (t cacheTarget, err error) {
	if t.settings, err = g.load(); err != nil {
		return t, err
	}
	t.family = family
	if family != "" && !cache.FamilyName(family) {
		return t, usageError{fmt.Errorf("%.40q is no family: it is a name of a-z, 0-9, . _ and -, such as claude; `flowgate cache stats` lists them", family)}
	}
	root, err := g.dir(t.settings)
	if err != nil {
		return t, environmentError{err}
	}
	if t.dir, err = cacheFolder(t.settings, root); err != nil {
		return t, err
	}
	if err := usableFolder(t.dir); err != nil {
		return t, environmentError{err}
	}
	return t, t.knows()
}

// knows tells whether anything of the family can be cached: settings name it, or the folder has something of it.
func (t cacheTarget) knows() error {
	if t.family == "" {
		return nil
	}
	names, err := cache.FamiliesIn(t.dir)
	if err != nil {
		return environmentError{err}
	}
	names = append(append(names, ai.DefaultFamily), slices.Collect(maps.Keys(t.settings.Cache.Models))...)
	slices.Sort(names)
	if names = slices.Compact(names); slices.Contains(names, t.family) {
		return nil
	}
	return usageError{fmt.Errorf("flag --family is %s, must be one that the setting cache.models or the folder has: %s", t.family, strings.Join(names, ", "))}
}

// shared is the level that workers share; the error says why it is not reached.
func (t cacheTarget) shared(ctx context.Context, g *globals) (*broker.CacheBucket, func(), error) {
	c, err := reach(ctx, g, false)
	if err != nil {
		return nil, nil, err
	}
	done := c.close
	var objects broker.Objects
	if t.settings.S3.Bucket != "" {
		all, err := newServices(t.settings, os.LookupEnv)
		if err != nil {
			c.close()
			return nil, nil, err
		}
		objects = s3.Objects{Sessions: all.aws, Bucket: t.settings.S3.Bucket, Prefix: t.settings.S3.Prefix}
		done = func() { all.close(); c.close() }
	}
	return broker.NewCacheBucket(c.js, objects), done, nil
}

// cacheRemoved is what a command removed.
type cacheRemoved struct {
	Dir     string `json:"dir"`
	Family  string `json:"family,omitempty"`
	Files   int    `json:"files"`
	Bytes   int64  `json:"size_bytes"`
	Shared  uint64 `json:"shared"`
	Objects int    `json:"objects,omitempty"`
	// SharedError says why the level that workers share was not reached.
	SharedError string `json:"shared_error,omitempty"`
}

func newCacheClear(g *globals) *cobra.Command {
	var family string
	var yes bool
	cmd := &cobra.Command{
		Use: "clear", Short: "Remove what is cached: files, and what is shared", Args: cobra.NoArgs,
		Long: "Removes the files of this machine and what is in the shared level. Processes that run forget it within two seconds, and nothing that\n" +
			"was made before is used again in this state folder, also where the shared level cannot be reached. Workers of other machines keep\n" +
			"their own files. What the cache has saved so far stays counted.",
		Example: "  flowgate cache clear --yes\n  flowgate cache clear --family claude --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := g.cacheTarget(family)
			if err != nil {
				return err
			}
			if !yes && isTerminal(os.Stdin) && !confirmed(cmd, "Remove "+t.what()+" from "+t.dir+" and the shared level?") {
				return usageError{fmt.Errorf("nothing was removed: say y, or --yes")}
			}
			r := cacheRemoved{Dir: t.dir, Family: t.family}
			if r.Files, r.Bytes, err = cache.Clear(cmd.Context(), t.dir, t.family, time.Now()); err != nil {
				return environmentError{err}
			}
			bucket, done, err := t.shared(cmd.Context(), g)
			if err == nil {
				defer done()
				r.Shared, err = bucket.Clear(cmd.Context(), t.family)
			}
			if err != nil {
				r.SharedError = err.Error()
			}
			return g.tellRemoved(cmd, r, "removed")
		},
	}
	cmd.Flags().StringVar(&family, "family", "", "only this `family` of models, such as claude")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (t cacheTarget) what() string {
	if t.family == "" {
		return "all answers"
	}
	return "the answers of " + t.family
}

// confirmed asks somebody at a terminal.
func confirmed(cmd *cobra.Command, question string) bool {
	fmt.Fprint(cmd.ErrOrStderr(), question+" [y/N] ")
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	return err == nil && strings.EqualFold(strings.TrimSpace(line), "y")
}

func newCachePrune(g *globals) *cobra.Command {
	var family string
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove files whose time is over, and what is no entry", Args: cobra.NoArgs,
		Long: "Removes what counts no more: files whose time is over, files that are broken, what killed writers left, and objects in S3 that are\n" +
			"older than any answer may be. What is expired is never given, pruned or not; the broker removes its own.",
		Example: "  flowgate cache prune\n  flowgate cache prune --family titan --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := g.cacheTarget(family)
			if err != nil {
				return err
			}
			r := cacheRemoved{Dir: t.dir, Family: t.family}
			now := time.Now()
			if r.Files, r.Bytes, err = cache.Prune(cmd.Context(), t.dir, t.family, now); err != nil {
				return environmentError{err}
			}
			if t.settings.S3.Bucket != "" {
				t.pruneObjects(cmd.Context(), g, &r, now)
			}
			return g.tellRemoved(cmd, r, "pruned")
		},
	}
	cmd.Flags().StringVar(&family, "family", "", "only this `family` of models, such as claude")
	return cmd
}

func (t cacheTarget) pruneObjects(ctx context.Context, g *globals, r *cacheRemoved, now time.Time) {
	bucket, done, err := t.shared(ctx, g)
	if err != nil {
		r.SharedError = err.Error()
		return
	}
	defer done()
	folder := ""
	if t.family != "" {
		folder = t.family + "/"
	}
	if r.Objects, err = bucket.PruneObjects(ctx, folder, now.Add(-t.settings.Cache.LongestTTL())); err != nil {
		r.SharedError = err.Error()
	}
}

func (g *globals) tellRemoved(cmd *cobra.Command, r cacheRemoved, word string) error {
	if g.json {
		return printJSON(cmd.OutOrStdout(), r)
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %d file(s), %s, in %s; %d shared\n", word, r.Files, sizeText(r.Bytes), r.Dir, r.Shared+uint64(max(r.Objects, 0))); err != nil {
		return err
	}
	if r.SharedError != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "flowgate: the shared level was not reached:", r.SharedError)
	}
	return nil
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

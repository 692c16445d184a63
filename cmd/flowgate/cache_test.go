package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"flowgate/messages"
	"flowgate/worker/cache"
	"flowgate/worker/workertest"
)

// seeded puts an answer of a family into the cache of a state folder.
func seeded(t *testing.T, g *ground, family string, n int, expires time.Duration) string {
	t.Helper()
	dir := filepath.Join(g.state, ".bedrock_cache")
	c, err := cache.New(cache.Options{Dir: dir, Default: cache.Family{MaxBytes: 1 << 20, Compress: true}})
	if err != nil {
		t.Fatal(err)
	}
	key, now := fmt.Sprintf("%064x", n), time.Now()
	c.Put(t.Context(), cache.Entry{
		Key: key, Family: family, Created: now, Expires: now.Add(expires), Model: family + "-1", Backend: "bedrock",
		Request: json.RawMessage(`{"asked":"sesame"}`), Response: json.RawMessage(`{"text":"open"}`), CostMicroUSD: 330, Seconds: 1.5,
	})
	return filepath.Join(dir, family, key+".json.gz")
}

func TestCacheIsLookedAtAndClearedWhereNothingRuns(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	g.say("cache", "stats").wants(t, exitDone, "FAMILY", "all", "cache is on", "shared: not reached")
	var stats cacheStats
	g.say("cache", "stats", "--json").read(t, &stats)
	if len(stats.Families) != 0 || !stats.Enabled || stats.Shared != nil {
		t.Errorf("%+v", stats)
	}
	claude, titan := seeded(t, g, "claude", 1, time.Hour), seeded(t, g, "titan", 2, time.Hour)
	g.say("cache", "stats", "--json").read(t, &stats)
	if len(stats.Families) != 2 || stats.Families[0].Family != "claude" || stats.Families[0].Files != 1 || stats.Families[0].SizeBytes == 0 || stats.Total.Files != 2 || stats.Total.Oldest.IsZero() {
		t.Errorf("%+v", stats)
	}
	shown := g.say("cache", "show")
	shown.wants(t, exitDone, "claude-1", "titan-1", fmt.Sprintf("%064x", 1))
	var entries []cache.Shown
	g.say("cache", "show", "--family", "claude", "--json").read(t, &entries)
	if len(entries) != 1 || entries[0].Model != "claude-1" || strings.Contains(shown.stdout, "sesame") || len(entries[0].Response) > 0 {
		t.Errorf("%+v\n%s", entries, shown.stdout)
	}
	g.say("cache", "show", "--content").wants(t, exitDone, `asked     {"asked":"sesame"}`, `answered  {"text":"open"}`)
	seeded(t, g, "titan", 2, 50*time.Millisecond)
	eventually(t, "its time is over", func() bool {
		var r cacheRemoved
		g.say("cache", "prune", "--json").read(t, &r)
		return r.Files == 1
	})
	if _, err := os.Stat(titan); err == nil {
		t.Error("what was pruned is there")
	}
	g.say("cache", "clear", "--family", "titan").wants(t, exitDone, "removed 0 file(s)")
	g.say("cache", "clear", "--yes").wants(t, exitDone, "removed 1 file(s)", "the shared level was not reached")
	if _, err := os.Stat(claude); err == nil {
		t.Error("what was cleared is there")
	}
	g.say("cache", "stats", "--family", "../etc").wants(t, exitUsage, "is no family")
	g.say("cache", "clear", "--family", "nosuch", "--yes").wants(t, exitUsage, "flag --family is nosuch, must be one that the setting cache.models or the folder has: claude, default, llama, titan")
	g.say("cache", "show", "--limit", "0").wants(t, exitUsage, "--limit")
	g.say("cache", "lose").wants(t, exitUsage)
}

func TestSecondQuestionCostsNothingUntilTheCacheIsCleared(t *testing.T) {
	t.Parallel()
	model := workertest.NewOpenAI(t)
	model.Script("", func(workertest.OpenAICall) workertest.OpenAIReply {
		return workertest.ReplyCompletion("Paris", "stop", workertest.OpenAIUsage{Prompt: 10, Completion: 20})
	})
	g := newGround(t, quickSettings, "OPENAI_BASE_URL="+model.URL, "OPENAI_API_KEY=k")
	g.up().ready()
	ask := func(id, text string, more ...string) messages.Result {
		t.Helper()
		var r messages.Result
		g.say(append([]string{"submit", "--id", id, "--reason", "a test of the cache", "--wait", "--json", text}, more...)...).read(t, &r)
		return r
	}
	first := ask("first", "The capital of France, please, ann@example.com")
	again := ask("again", "The capital of France, please, bob@example.com") // who asks is masked
	if first.Metadata.CacheHit || first.Metadata.CostMicroUSD == 0 || !again.Metadata.CacheHit || again.Metadata.CostMicroUSD != 0 || again.Answer != "Paris" {
		t.Errorf("%+v\n%+v", first.Metadata, again.Metadata)
	}
	if n := len(model.Seen("")); n != 1 {
		t.Errorf("%d calls", n)
	}
	var stats cacheStats
	eventually(t, "it is counted", func() bool {
		g.say("cache", "stats", "--json").read(t, &stats)
		return stats.Total.Hits == 1
	})
	if stats.Total.SavedMicroUSD != first.Metadata.CostMicroUSD || stats.Shared == nil || stats.Shared.Entries != 1 || stats.Total.Stored != 1 {
		t.Errorf("%+v %+v", stats.Total, stats.Shared)
	}
	var shown []cache.Shown
	g.say("cache", "show", "--content", "--json").read(t, &shown)
	if len(shown) != 1 || strings.Contains(string(shown[0].Request), "example.com") || !strings.Contains(string(shown[0].Request), "<EMAIL_1>") {
		t.Errorf("%+v", shown)
	}
	var removed cacheRemoved
	g.say("cache", "clear", "--json").read(t, &removed)
	if removed.Files != 1 || removed.Shared != 1 || removed.SharedError != "" {
		t.Errorf("%+v", removed)
	}
	if r := ask("cleared", "The capital of France, please, ann@example.com"); r.Metadata.CacheHit {
		t.Error("what was cleared was given again")
	}
	if err := os.RemoveAll(filepath.Join(g.state, ".bedrock_cache")); err != nil {
		t.Fatal(err)
	}
	if r := ask("deleted", "The capital of Spain, please"); r.Status != messages.StatusSuccess {
		t.Errorf("%+v", r)
	}
}

func TestFileInThePlaceOfTheCacheIsNamed(t *testing.T) {
	t.Parallel()
	g := newGround(t, quickSettings)
	if err := os.MkdirAll(g.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(g.state, ".bedrock_cache"), []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	const says = ".bedrock_cache is no folder, where the cache keeps its files: move it away, or name a folder in the setting cache.default.cache_dir"
	for _, verb := range [][]string{{"stats"}, {"show"}, {"clear", "--yes"}, {"prune"}} {
		g.say(append([]string{"cache"}, verb...)...).wants(t, exitEnvironment, says)
	}
	core, told := observer.New(zap.WarnLevel)
	warnOfFolder(zap.New(core), filepath.Join(g.state, ".bedrock_cache"))
	warnOfFolder(zap.New(core), filepath.Join(g.state, "not there yet"))
	if all := told.All(); len(all) != 1 || !strings.HasSuffix(fmt.Sprint(all[0].ContextMap()["error"]), says) {
		t.Errorf("the process that starts says %+v", all)
	}
}
